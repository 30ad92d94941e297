"""A torch model as an ONNX file: what `export` writes of a trained detector, and what other runtimes' latency is of."""

import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from ..blocks.errors import InputError
from .architecture import Architecture
from .build import build

if TYPE_CHECKING:
    from onnx import ModelProto

IMAGES, BOXES = "images", "boxes"
SEED = 0  # of the weights of a graph that is only timed: equal graphs give equal files


def require_onnx(asked: str, *more: str) -> None:
    """Refuse where packages are missing that write ONNX, and `more` that use it.

    Raises:
        InputError: says what was `asked`, which package is missing and how to get it.
    """
    for package in ("onnx", "onnxscript", *more):  # torch's exporter needs both
        try:
            import_module(package)
        except ImportError as error:
            raise InputError(
                f"{asked}: needs the package {error.name}; install it with: pip install 'catscale[onnx]'"
            ) from error


def to_onnx(model: GraphModule, example: Tensor, dynamic_shapes: dict[str, Any] | None = None) -> "ModelProto":
    """The graph of images (B, 3, H, W) to boxes (B, N, 5 + classes), by torch's exporter.

    Args:
        model: a deploy model.
        example: images to trace with.
        dynamic_shapes: the sides of the images that may vary, for `torch.export`; none where None.
    """
    with warnings.catch_warnings(action="ignore"):  # torch's remarks to its own developers
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[IMAGES],
            output_names=[BOXES],
            dynamic_shapes=dynamic_shapes,
        )
    assert program is not None
    return program.model_proto


def save_onnx(proto: "ModelProto", path: Path, facts: Mapping[str, Any]) -> None:
    """Check a graph and write it, with facts as its metadata: text as it is, all else as JSON."""
    import onnx

    onnx.helper.set_model_props(
        proto, {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    )
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def write_timed_graph(architecture: Architecture, path: Path, *, batch: int, size: int, half: bool = False) -> None:
    """Write the deploy graph for one batch and size in pixels, with fresh weights: its time is asked, not its boxes.

    Fixed shapes let a runtime choose its kernels and its memory beforehand, and each chooses alike. `half`: weights,
    images and all in between are float16.

    Raises:
        InputError: a package is missing.
    """
    require_onnx("latency by ONNX")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build(architecture, "deploy").eval().requires_grad_(False)
    form = torch.float16 if half else torch.float32
    proto = to_onnx(model.to(form), torch.zeros(batch, 3, size, size, dtype=form))
    save_onnx(
        proto,
        path,
        {"architecture": architecture.name, "fingerprint": architecture.fingerprint, "weights": "fresh, untrained"},
    )


@contextmanager
def timed_graph(architecture: Architecture, *, batch: int, size: int, half: bool = False) -> Iterator[Path]:
    """The same as a file that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="catscale-") as folder:
        path = Path(folder) / "graph.onnx"
        write_timed_graph(architecture, path, batch=batch, size=size, half=half)
        yield path
