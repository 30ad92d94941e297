"""In which layout a checkpoint is: how each family's files name the weights of a layer, and what their numbers mean.

YOLOv7's and YOLOv5's files name a layer by its row (`model.12.conv.weight`), of which YOLOv5 has one for each node of
the zoo's models; YOLOX's by its place, as `yolox` has it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...blocks.levels import Predict
from ..architecture import Architecture
from . import exporting, yolox
from .importing import Slot
from .modules import parts_in_yolov5

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an architecture's weights are in the checkpoints of a family."""

    slots: tuple[Slot, ...]
    adapted: Callable[[State], State] = lambda state: state  # to what our models read, where it differs
    notes: tuple[str, ...] = ()  # what importing cannot carry over


def layout_of(keys: Collection[str], architecture: Architecture, where: str = "checkpoint") -> Layout:
    """The layout that a checkpoint's keys are in, as an architecture fills it.

    Raises:
        InputError: the architecture has no form in that layout.
    """
    if any(key.startswith(yolox.PREFIXES) for key in keys):
        return Layout(yolox.slots(architecture, where), yolox.adapted, yolox.NOTES)
    by_node = _a_row_for_each_node(architecture)
    if by_node and f"{by_node[-1].prefix}.weight" in keys:
        return Layout(by_node)
    return Layout(exporting.slots(architecture))


def _a_row_for_each_node(architecture: Architecture) -> tuple[Slot, ...]:
    """The places of all weights in a file of YOLOv5; none where a node is no row of such a file."""
    found: list[Slot] = []
    for index, node in enumerate(architecture.nodes):
        parts = parts_in_yolov5(node.built)
        if parts is None:
            return ()
        found += [
            Slot(f"model.{index}.{theirs}".rstrip("."), f"{node.name}.{ours}".rstrip("."))
            for theirs, ours in parts.items()
        ]
    if not architecture.head.anchored or architecture.aux:
        return ()
    head = f"model.{len(architecture.nodes)}.m"
    return (*found, *(Slot(f"{head}.{level}", layer) for level, layer in enumerate(architecture.graph().lead)))


def classes_in(tensors: Mapping[str, Tensor], slots: Iterable[Slot], architecture: Architecture) -> int | None:
    """How many classes the maps of a checkpoint's heads are for; None where they are missing, or fit no number."""
    graph = architecture.graph()
    ops: dict[str, Any] = {layer.name: layer.op for layer in graph.layers}
    for slot in slots:
        op, weight = ops[slot.layer], tensors.get(f"{slot.prefix}.weight")
        if weight is None:
            continue
        if isinstance(op, Predict):
            classes, rest = divmod(len(weight), op.rows)
            return None if rest or classes < 6 else classes - 5
        if slot.layer == f"{graph.lead[0]}.cls.out":
            return len(weight)
    return None
