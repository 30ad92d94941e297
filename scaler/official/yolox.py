"""The layout of YOLOX's checkpoints: a prefix for each node of the zoo's models, and for each layer of a level's head.

Its network reads BGR in 0 to 255; ours RGB in 0 to 1, which its first convolution is turned to, exact up to rounding.

Source: facts of YOLOX as released (since version 0.1.1; before, images were normalised, which no file says).
"""

from torch import Tensor

from ...blocks.convs import ConvNode
from ...blocks.csp import CspA
from ...blocks.errors import InputError
from ...blocks.heads import DecoupledHead
from ...blocks.ops import Conv, RepConv
from ...blocks.pyramid import Spp
from ...blocks.roles import Block
from ...blocks.transitions import StridedConv
from ..architecture import Architecture
from .importing import Slot
from .modules import COMPOSITES

PREFIXES = ("backbone.backbone.", "head.stems.")  # keys of no other family begin so
NOTES = (
    "YOLOX places an image at the top left of its square, and weights of before August 2021 read normalised colours: "
    "its published AP is of its own preparation of images",
)
NODES = {
    "stem.conv": "backbone.backbone.stem.conv",
    "backbone.p2.down": "backbone.backbone.dark2.0",
    "backbone.p2.csp": "backbone.backbone.dark2.1",
    "backbone.p3.down": "backbone.backbone.dark3.0",
    "backbone.p3.csp": "backbone.backbone.dark3.1",
    "backbone.p4.down": "backbone.backbone.dark4.0",
    "backbone.p4.csp": "backbone.backbone.dark4.1",
    "backbone.p5.down": "backbone.backbone.dark5.0",
    "backbone.p5.spp": "backbone.backbone.dark5.1",
    "backbone.p5.csp": "backbone.backbone.dark5.2",
    "neck.p5.conv": "backbone.lateral_conv0",
    "neck.p4.csp1": "backbone.C3_p4",
    "neck.p4.conv": "backbone.reduce_conv1",
    "neck.p3.csp1": "backbone.C3_p3",
    "neck.p4.down": "backbone.bu_conv2",
    "neck.p4.csp2": "backbone.C3_n3",
    "neck.p5.down": "backbone.bu_conv1",
    "neck.p5.csp2": "backbone.C3_n4",
}
STEM = "stem.conv.conv.weight"  # ours, of the convolution that reads the image, as squares of 2x2 pixels
BRANCHES = {"cls": "cls_convs", "box": "reg_convs"}
PREDICTIONS = {"cls.out": "cls_preds", "box.out": "reg_preds", "box.obj": "obj_preds"}


def slots(architecture: Architecture, where: str) -> tuple[Slot, ...]:
    """The places of an architecture's weights.

    Raises:
        InputError: it has a node, or a head, that YOLOX's files have no place for.
    """
    found: list[Slot] = []
    weighted = {layer.node for layer in architecture.graph().layers if isinstance(layer.op, Conv | RepConv)}
    for node in architecture.nodes:
        if node.name in weighted:
            parts = _parts(node.built)
            if node.name not in NODES or parts is None:
                raise _no_place(where, architecture, f"node {node.name}")
            found += [
                Slot(f"{NODES[node.name]}.{theirs}".rstrip("."), f"{node.name}.{ours}".rstrip("."))
                for theirs, ours in parts.items()
            ]
    if not isinstance(architecture.head, DecoupledHead):
        raise _no_place(where, architecture, "the head")
    for level, lead in enumerate(architecture.graph().lead):
        found.append(Slot(f"head.stems.{level}", f"{lead}.stem"))
        found += [
            Slot(f"head.{theirs}.{level}.{conv}", f"{lead}.{ours}.conv{conv + 1}")
            for ours, theirs in BRANCHES.items()
            for conv in range(architecture.head.convs)
        ]
        found += [Slot(f"head.{theirs}.{level}", f"{lead}.{ours}") for ours, theirs in PREDICTIONS.items()]
    return tuple(found)


def adapted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of ours, whose first convolution reads RGB in 0 to 1 instead of BGR in 0 to 255."""
    colours = state[STEM].unflatten(1, (-1, 3))  # (C_out, 4 pixels, 3 colours, k, k)
    return state | {STEM: 255 * colours.flip(2).flatten(1, 2)}


def _parts(block: Block) -> dict[str, str] | None:
    """Names of a node's sub-layers in YOLOX's files, and ours; None where they have none."""
    match block:
        case CspA(unit="dark", tail=False, reversed=False, hidden=None):
            return {theirs.replace("cv", "conv"): ours for theirs, ours in COMPOSITES["C3"].slots(block).items()}
        case Spp(chained=False):
            return {"conv1": "stem", "conv2": "out"}
        case ConvNode() | StridedConv():
            return {"": ""}
        case _:
            return None


def _no_place(where: str, architecture: Architecture, what: str) -> InputError:
    return InputError(
        f"{where}: weights of another architecture: they are in YOLOX's layout, which has no place for {what} of "
        f"{architecture.name}; name a YOLOX, such as yolox-s"
    )
