"""A detector as a folder with one generated Python file and its weights, which need torch and nothing else."""

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, fx, nn

from ..blocks import modules, point_boxes
from ..blocks.errors import CatscaleError
from ..scaler.documents import write_text, written
from .export import Check, ExportSettings, Made, Runner

if TYPE_CHECKING:
    from collections.abc import Callable

CODE, WEIGHTS = "model.py", "model.safetensors"
DECODERS = (modules.DetectLayer, point_boxes.PointDetectLayer)

_TEMPLATE = '''\
"""{architecture}: a detector of {count}, written by catscale {catscale}. It needs torch and nothing else.

    detector = load()
    boxes = detector(images)

Input: {input}.
Output: {output}.
"""

import json
from pathlib import Path
from typing import Iterable

import torch
from torch import Tensor, nn

NAMES = {names}
STRIDES = {strides}
{boxes}
SIZE_PX, CONF, IOU, MAX_DET = {size_px}, {conf}, {iou}, {max_det}  # meant for this detector


{functions}


class Detect(nn.Module):
    """Raw maps of all levels to boxes."""

    def forward(self, *maps: Tensor) -> Tensor:
        return {decoded}


class Detector(nn.Module):
    """{architecture}, everything folded."""

    def __init__(self) -> None:
        super().__init__()
{layers}

    def _put(self, name: str, layer: nn.Module) -> None:
        """Make `layer` reachable as self.a.b.c for the name "a.b.c"."""
        *places, last = name.split(".")
        holder = self
        for place in places:
            if not hasattr(holder, place):
                holder.add_module(place, nn.Module())
            holder = getattr(holder, place)
        holder.add_module(last, layer)

{forward}


def load(weights: Path = Path(__file__).with_name("model.safetensors")) -> Detector:
    """The detector with its weights, in eval mode. The file is read as the safetensors format has it."""
    data = bytearray(Path(weights).read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    state = {{}}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            low, high = (start + offset for offset in entry["data_offsets"])
            state[name] = torch.frombuffer(data[low:high], dtype=torch.float32).reshape(entry["shape"])
    detector = Detector()
    detector.load_state_dict(state)
    return detector.eval().requires_grad_(False)
'''

# Catscale must not be there for the file to work, so it is kept out.
_RUN = """\
import sys
sys.modules["catscale"] = None
sys.path.insert(0, sys.argv[1])
import torch, model
detector = model.load()
torch.save([detector(batch) for batch in torch.load(sys.argv[2], weights_only=True)], sys.argv[3])
"""


def write_python(
    model: fx.GraphModule,
    path: Path,
    settings: ExportSettings,
    facts: dict[str, Any],
    check: "Callable[[Runner], tuple[Check, ...]]",
) -> tuple[str, tuple[Check, ...]]:
    """Write `model.py` and `model.safetensors` into a folder, run them in a process of their own, and compare.

    See `export`. The code is what torch.fx prints of the deploy graph, with its layers taken apart into torch's own.
    """
    code = generate(model, facts)
    tensors = {name: value.float().contiguous() for name, value in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / CODE).write_text(code, encoding="utf-8")
        save_file(tensors, Path(place) / WEIGHTS, metadata={"catscale": json.dumps(facts)})
        checks = check(lambda inputs: _run(Path(place), inputs))
    write_text(path / CODE, code)
    with written(path / WEIGHTS) as beside:
        save_file(tensors, beside, metadata={"catscale": json.dumps(facts)})
    return f"python {sys.version.split()[0]}, torch {torch.__version__}, without catscale", checks


def generate(model: fx.GraphModule, facts: dict[str, Any]) -> str:
    """The text of `model.py` for a deploy model."""
    graph = _Plain().trace(model)
    decoder: modules.DetectLayer | point_boxes.PointDetectLayer | None = None
    layers: list[str] = []
    for call in list(graph.nodes):
        if call.op == "call_module":
            layer = model.get_submodule(call.target)
            if isinstance(layer, nn.Identity):
                call.replace_all_uses_with(call.args[0])
                graph.erase_node(call)
                continue
            if isinstance(layer, DECODERS):
                decoder = layer
            made = "Detect()" if layer is decoder else f"nn.{layer!r}"
            layers.append(f"        self._put({call.target!r}, {made})")
    assert decoder is not None
    printed = graph.python_code("self")
    forward = printed.src.strip().replace("forward(self, images)", "forward(self, images: Tensor) -> Tensor")
    strides, boxes, decoded, functions = _decoding(decoder)
    for name, value in printed.globals.items():
        if inspect.isfunction(value) and value.__module__.startswith(modules.__name__.split(".")[0]):
            forward = forward.replace(name, value.__name__)
            functions.append(value)
    said = {key: facts[key] for key in ("input", "output", "catscale", "size_px", "conf", "iou", "max_det")}
    name = re.sub(r"[^\w.+-]", "_", facts["architecture"])  # any text; layers' names are words and dots
    count = len(facts["names"])
    return _TEMPLATE.format(
        **said,
        architecture=name,
        count=f"{count} class{'es' * (count > 1)}",
        names=repr(tuple(facts["names"])),
        strides=repr(tuple(strides)),
        boxes=boxes,
        decoded=decoded,
        functions="\n\n".join(dedent(inspect.getsource(function)) for function in functions).rstrip(),
        layers="\n".join(layers),
        forward="\n".join(f"    {line}" if line.strip() else "" for line in forward.splitlines()),
    )


def _decoding(
    decoder: modules.DetectLayer | point_boxes.PointDetectLayer,
) -> "tuple[list[int], str, str, list[Callable[..., Any]]]":
    """Strides, what else is said of boxes, how they are decoded, and the functions that this takes."""
    if isinstance(decoder, modules.DetectLayer):
        anchors = tuple(anchors for anchors, _ in decoder.levels)
        said = f"ANCHORS = {anchors!r}  # width, height in pixels, of each level\nAnchors = tuple[tuple[int, int], ...]"
        functions = [modules.boxes_from_sigmoids, modules.decode]
        return [stride for _, stride in decoder.levels], said, "decode(maps, ANCHORS, STRIDES)", functions
    said = f"BINS = {decoder.bins!r}  # of the distribution of each side; None: a box is an offset and a size"
    return decoder.strides, said, "decode_points(maps, STRIDES, BINS)", point_boxes.DECODING


class _Plain(fx.Tracer):
    """Takes our layers apart into torch's own; the decoding stays whole, as its loop over levels is code of its own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, DECODERS) or m.__module__.startswith("torch.nn")


def _run(place: Path, inputs: list[Tensor]) -> list[Made]:
    """What the generated file makes of input batches, in a process that cannot import catscale."""
    given, made = place / "inputs.pt", place / "outputs.pt"
    torch.save(inputs, given)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", _RUN, str(place), str(given), str(made)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CatscaleError(f"the generated {CODE} does not run: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return [Made(output.numpy()) for output in torch.load(made, weights_only=True)]
