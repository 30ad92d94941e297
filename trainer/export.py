"""A run's detector as a file that others run, held against the detector itself on an image before it is kept."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule

from ..blocks.errors import CatscaleError, InputError
from ..scaler.build import deploy
from ..scaler.suppression import suppress
from .checkpoint import read_header
from .data.images import letterbox, read_image
from .data.scenes import draw_scene
from .data.sources import open_dataset
from .run_folder import Run, RunFolder, Which, load_run, versions

Format = Literal["onnx", "torch", "python"]
FORMATS: tuple[Format, ...] = get_args(Format)
NAMES = {"onnx": "{}.onnx", "torch": "{}.pt2", "python": "{}_python"}  # of best or last; the last is a folder
MOST_APART = 1e-3  # of a score, and of a box as a share of the input's side: float32 sums in another order


@dataclass(frozen=True)
class ExportSettings:
    """What is written, and what it says of itself."""

    format: Format
    size_px: int  # side of the square input that is meant, and the only one where `fixed`
    nms: bool = False  # ONNX alone: suppressed detections come out, not all boxes
    fixed: bool = False  # a batch of one image of `size_px`; else any batch, and sides of any multiple of the stride
    conf: float = 0.25  # YOLOv7's demonstration settings, as in `predict`
    iou: float = 0.45
    max_det: int = 300


@dataclass(frozen=True)
class Made:
    """What an exported file makes of a batch."""

    boxes: np.ndarray  # (B, N, 5 + classes), before any suppression
    detections: np.ndarray | None = None  # (n, 7), where the file suppresses


Runner = Callable[[list[Tensor]], list[Made]]  # of input batches


@dataclass(frozen=True)
class Check:
    """How far the exported file and the detector are apart on one input."""

    shape: tuple[int, ...]  # (B, 3, H, W)
    box_px: float  # largest difference of a coordinate
    score: float  # largest difference of an objectness, class or score


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was seen to work."""

    path: Path
    format: Format
    bytes: int
    image: str  # that the checks were made on
    runtime: str
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"path": str(self.path)}


def export(
    folder: Path, settings: ExportSettings, *, out: Path | None = None, image: Path | None = None, which: Which = "best"
) -> Exported:
    """Write the deploy graph of a run, run what was written, and keep it where it computes the same.

    Args:
        folder: of the run.
        settings: format and form.
        out: the file (for `python` the folder) to write; beside the run's weights where None.
        image: to compare on; where None the first of the run's validation split, or a drawn scene where that is gone.
        which: weights of the best or the last epoch.

    Raises:
        InputError: no such run, settings that contradict each other, or a package of the format is missing.
        CatscaleError: the exported file computes something else; nothing is kept.
    """
    if settings.nms and settings.format != "onnx":
        raise InputError(f"--nms: {settings.format} gives all boxes; only --format onnx holds a suppression")
    if settings.fixed and settings.format == "python":
        raise InputError("--fixed: generated Python takes any batch and size; leave it out")
    run = load_run(folder, which)
    model = deploy(run.model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    shown, pixels = _pixels(run, image)
    facts = facts_of(run, settings, which)
    path = out or run.folder / NAMES[settings.format].format(which)
    inputs = [_batch(pixels, 1, settings.size_px)]
    if not settings.fixed:  # another batch and another size than the model was traced with
        inputs.append(_batch(pixels, 2, settings.size_px + run.arch.strides[-1]))

    def check(runner: Runner) -> tuple[Check, ...]:
        return tuple(
            _compare(batch, found, model, settings, path) for batch, found in zip(inputs, runner(inputs), strict=True)
        )

    match settings.format:
        case "onnx":
            from .export_onnx import write_onnx as write
        case "torch":
            from .export_program import write_program as write
        case "python":
            from .export_python import write_python as write
    runtime, checks = write(model, path, settings, facts, check)
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
    return Exported(path, settings.format, size, shown, runtime, checks)


def facts_of(run: Run, settings: ExportSettings, which: Which) -> dict[str, Any]:
    """What an exported file says of itself: plain data, the same in every format."""
    header = read_header(RunFolder(run.folder).weights(which))
    found = (
        "detections (n, 7): image of the batch, x1, y1, x2, y2 in pixels of the input, score, class; best first"
        if settings.nms
        else "boxes (B, N, 5 + classes): cx, cy, w, h in pixels of the input, objectness, classes as probabilities"
    )
    return {
        "architecture": run.arch.name,
        "fingerprint": run.arch.fingerprint,
        "epoch": header.epoch,
        "ap": header.ap,
        "ap50": header.ap50,
        "names": list(run.classes),
        "category_ids": list(run.facts.category_ids),
        "strides": list(run.arch.strides),
        "size_px": settings.size_px,
        "conf": settings.conf,
        "iou": settings.iou,
        "max_det": settings.max_det,
        "nms": settings.nms,
        "input": "images (B, 3, H, W): RGB from 0 to 1, letterboxed on grey 114; sides multiples of the last stride",
        "output": found,
        "catscale": versions()["catscale"],
        "torch": str(torch.__version__),
    }


def dynamic_shapes(model: GraphModule, settings: ExportSettings) -> dict[str, Any] | None:
    """Which sides of the input may vary, for `torch.export`; None where they are fixed."""
    if settings.fixed:
        return None
    stride = model.meta["architecture"].strides[-1]
    rows, columns = (stride * torch.export.Dim(name, max=2**16) for name in ("rows", "columns"))
    return {"images": {0: torch.export.Dim("batch", max=2**16), 2: rows, 3: columns}}


def example(settings: ExportSettings) -> Tensor:
    """An input to trace with. Two images where the batch may vary: `torch.export` takes a 1 for a constant."""
    return torch.zeros(1 if settings.fixed else 2, 3, settings.size_px, settings.size_px)


def _pixels(run: Run, image: Path | None) -> tuple[str, np.ndarray]:
    """An image (H, W, 3) uint8 to compare on, and what to call it."""
    if image is not None:
        return str(image), read_image(image)
    try:
        first = open_dataset(run.facts.data).split("val").images[0].path
        return str(first), read_image(first)
    except InputError:  # the run was copied here without its data: any picture does
        return "a drawn scene", draw_scene(np.random.default_rng(0), 512).image


def _batch(image: np.ndarray, count: int, size_px: int) -> Tensor:
    """A batch (count, 3, S, S) of an image and its mirror image."""
    square, _ = letterbox(image, size_px)
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255
    return torch.cat((pixels, pixels.flip(3)))[:count].contiguous()


def _compare(batch: Tensor, made: Made, model: GraphModule, settings: ExportSettings, path: Path) -> Check:
    with torch.inference_mode():
        wanted = model(batch).numpy()
    if made.boxes.shape != wanted.shape:
        raise CatscaleError(f"{path}: gives {made.boxes.shape} for {tuple(batch.shape)}, not {wanted.shape}; not kept")
    apart = np.abs(made.boxes.astype(np.float64) - wanted)
    box, score = apart[..., :4].max(), apart[..., 4:].max()
    if made.detections is not None:  # of the file's own boxes: rounding may order equal scores otherwise
        more_box, more_score = _apart(made.detections, _detections(torch.from_numpy(made.boxes), settings))
        box, score = max(box, more_box), max(score, more_score)
    tied = " (of equal scores, as an untrained detector gives, another may be kept)" if settings.nms else ""
    if not (box <= MOST_APART * max(batch.shape[2:]) and score <= MOST_APART):
        raise CatscaleError(
            f"{path}: differs from the detector by {box:.3g} px and {score:.3g} in scores for an input of "
            f"{tuple(batch.shape)}{tied}; not kept"
        )
    return Check(tuple(batch.shape), float(box), float(score))


def _detections(boxes: Tensor, settings: ExportSettings) -> np.ndarray:
    """What our own suppression leaves of boxes, as rows (n, 7) of image, x1, y1, x2, y2, score, class."""
    rows: list[Tensor] = []
    kept = suppress(boxes, conf=settings.conf, iou=settings.iou, max_det=boxes.shape[1], multi_label=False)
    for place, image in enumerate(kept):
        columns = torch.full_like(image.scores, place), image.boxes, image.scores, image.labels
        table = torch.column_stack(columns)
        rows += [table[image.labels == label][: settings.max_det] for label in image.labels.unique()]
    return torch.cat(rows).numpy() if rows else np.zeros((0, 7))


def _apart(found: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """Largest difference of box and score between detections (n, 7) and those nearest to them, both ways round."""
    if len(found) != len(wanted):
        return np.inf, np.inf
    if not len(found):
        return 0.0, 0.0
    places = np.array([0, 6])
    same = (found[:, None, places] == wanted[None][..., places]).all(axis=2)
    box = np.where(same, np.abs(found[:, None, 1:5] - wanted[None, :, 1:5]).max(axis=2), np.inf)
    score = np.where(same, np.abs(found[:, None, 5] - wanted[None, :, 5]), np.inf)
    either = [
        (box[rows, nearest].max(), score[rows, nearest].max())
        for rows, nearest in ((np.arange(len(found)), box.argmin(axis=1)), (box.argmin(axis=0), np.arange(len(wanted))))
    ]
    return max(pair[0] for pair in either), max(pair[1] for pair in either)
