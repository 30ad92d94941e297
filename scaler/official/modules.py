"""The official modules: how a row reads into a block, how a layer or block writes into a row, whose weights are where.

One closed table each for modules of several layers (`COMPOSITES`) and of one (`read_plain`, `write_plain`). A row is
addressed by its module and arguments; a part of its weights by a *slot*, the prefix of its keys in a checkpoint.

Source: facts of the released YOLOv7, YOLOR and YOLOv5 (r6.1) models.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ...blocks.convs import ConvNode, RepConvNode
from ...blocks.csp import CspA, CspB
from ...blocks.errors import InputError, nearest
from ...blocks.ops import Add, Concat, Conv, GroupConcat, MaxPool, Op, RepConv, SpaceToDepth, Upsample
from ...blocks.plain import Fold, GroupJoin, Join, MaxPoolNode, ReOrg, Sum, UpsampleNode
from ...blocks.pyramid import Spp, SppCspc
from ...blocks.residual import UNITS, Chain, DarkBlock, ResBlock, UnitWord
from ...blocks.roles import Block
from ...blocks.stems import StemBlock
from ...blocks.transitions import DownC, StridedConv
from .rows import Config, Row

MAY_BE_PLAIN = ("Bottleneck", "C3")  # modules whose second argument, False, leaves out their residual connections
OF_YOLOV5 = ("C3", "SPPF")  # modules of YOLOv5's files alone: read, and never written, as YOLOv7's loader has none
GROUPS = 2  # the only number of groups that Chuncat and Foldcut know


@dataclass(frozen=True, slots=True)
class Composite:
    """An official module that is a whole block of ours: its sub-layers' names, and ours for the same layers."""

    make: Callable[[int, int], Block]  # of output channels and repeats
    places: Mapping[str, str]

    def slots(self, block: Block) -> dict[str, str]:
        """Every sub-layer with weights: the official name within the row, and ours within the block."""
        if not isinstance(block, CspA | CspB | Chain):
            return dict(self.places)
        alone = isinstance(block, Chain)
        chain = {
            f"{_repeat(repeat, block.repeats, alone)}cv{conv}": f"block{repeat + 1}.conv{conv}"
            for repeat in range(block.repeats)
            for conv in range(1, len(UNITS[block.unit].kernels) + 1)
        }
        return chain if alone else {**self.places, **chain}


def _repeat(repeat: int, repeats: int, alone: bool) -> str:
    """What stands before the name of a sub-layer in a chain: one unit by itself is not numbered."""
    if not alone:
        return f"m.{repeat}."
    return f"{repeat}." if repeats > 1 else ""


def _csp(name: str, unit: UnitWord) -> dict[str, Composite]:
    """The three kinds of cross-stage partial modules with one unit inside; the second is residual unless it is dark."""
    return {
        f"{name}A": Composite(lambda out, repeats: CspA(out, repeats, unit=unit), CSP),
        f"{name}B": Composite(
            lambda out, repeats: CspB(out, repeats, residual=unit != "dark", unit=unit),
            CSP,
        ),
        f"{name}C": Composite(
            lambda out, repeats: CspA(out, repeats, tail=True, unit=unit),
            {"cv1": "stem", "cv2": "bypass", "cv3": "tail", "cv4": "out"},
        ),
    }


def _or_chain(block: Callable[[int], Block], unit: UnitWord) -> Callable[[int, int], Block]:
    """A unit by itself, or in a sequence where its row is repeated."""
    return lambda out, repeats: block(out) if repeats == 1 else Chain(out, repeats, unit)


RES = {"cv1": "conv1", "cv2": "conv2", "cv3": "conv3"}
CSP = {"cv1": "stem", "cv2": "bypass", "cv3": "out"}
COMPOSITES: dict[str, Composite] = {
    "SPPCSPC": Composite(
        lambda out, _: SppCspc(out),
        {
            "cv1": "conv1",
            "cv2": "bypass",
            "cv3": "conv2",
            "cv4": "conv3",
            "cv5": "conv4",
            "cv6": "conv5",
            "cv7": "out",
        },
    ),
    "DownC": Composite(lambda out, _: DownC(out), {"cv1": "conv1", "cv2": "conv2", "cv3": "pool_conv"}),
    "Stem": Composite(lambda out, _: StemBlock(out), {"cv1": "conv1", "cv2": "conv2", "cv3": "conv3", "cv4": "out"}),
    "Bottleneck": Composite(_or_chain(DarkBlock, "dark"), {"cv1": "conv1", "cv2": "conv2"}),
    "Res": Composite(_or_chain(ResBlock, "res"), RES),
    "ResX": Composite(_or_chain(lambda out: ResBlock(out, UNITS["resx"].groups), "resx"), RES),
    **_csp("BottleneckCSP", "dark"),
    **_csp("ResCSP", "res"),
    **_csp("ResXCSP", "resx"),
    "C3": Composite(CspA, CSP),
    "SPPF": Composite(lambda out, _: Spp(out, chained=True), {"cv1": "stem", "cv2": "out"}),
}
REPEATS_INSIDE = tuple(name for name in COMPOSITES if name != "Stem")  # one block of ours, however often it stands


@dataclass(frozen=True, slots=True)
class Head:
    """An official detection module."""

    implicit: bool
    aux: bool


HEADS: dict[str, Head] = {
    "Detect": Head(implicit=False, aux=False),
    "IDetect": Head(implicit=True, aux=False),
    "IAuxDetect": Head(implicit=True, aux=True),
}
PLAIN = ("Conv", "RepConv", "MP", "SP", "ReOrg", "Concat", "Chuncat", "Shortcut", "Foldcut", "nn.Upsample")
MODULES = (*PLAIN, *COMPOSITES, *HEADS)


def composite_of(block: Block) -> tuple[str, int, list[Any]] | None:
    """The official module that is exactly this block, its repeats, and its arguments after the channels."""
    rest: list[Any] = []
    if isinstance(block, DarkBlock | Chain) and not block.residual:
        block, rest = replace(block, residual=True), [False]
    repeats, out = getattr(block, "repeats", 1), getattr(block, "out", 0)
    several = replace(block, repeats=2) if isinstance(block, Chain) else block  # one that is a chain of one, too
    written = ((name, kind) for name, kind in COMPOSITES.items() if name not in OF_YOLOV5)
    found = (name for name, kind in written if kind.make(out, getattr(several, "repeats", 1)) == several)
    return next(((name, repeats, rest) for name in found if not rest or name in MAY_BE_PLAIN), None)


def read_block(config: Config, row: Row) -> Block:
    """The block that a row is; one of `Row.number` in sequence where it is none of `REPEATS_INSIDE`.

    Raises:
        InputError: the module or its arguments are unknown, or nothing here computes what they ask for.
    """
    if row.module in COMPOSITES:
        match list(row.args):
            case [out, True | False] if row.module in MAY_BE_PLAIN:
                pass
            case [out, 5] if row.module == "SPPF":  # the window of its pools
                pass
            case [out]:
                pass
            case _:
                raise _unsupported(config, row)
        if not _counts(out):
            raise _unsupported(config, row)
        block = COMPOSITES[row.module].make(config.channels(out), config.repeats(row))
        return replace(block, residual=False) if False in row.args else block  # type: ignore[type-var]
    if row.module not in PLAIN:
        raise config.fault(row, f"unknown module {row.module!r}; {nearest(row.module, MODULES)}")
    return _read_plain(config, row)


def _read_plain(config: Config, row: Row) -> Block:
    match row.module, list(row.args):
        case "Conv", [out, *rest] if _counts(out):
            kernel, stride, padding, groups, act = _convolution(config, row, rest, kernel=1)
            if padding not in ((None, kernel // 2) if kernel % 2 else ((kernel - 1) // 2,)):
                raise config.fault(row, f"args: a padding of {padding}; only that of half the kernel is supported")
            return ConvNode(config.channels(out), kernel, stride, groups, act)
        case "RepConv", [out, *rest] if _counts(out):
            kernel, stride, padding, groups, act = _convolution(config, row, rest, kernel=3)
            if (kernel, padding in (None, 1), act) != (3, True, "silu"):
                raise config.fault(row, "args: a RepConv is 3x3, padded by 1, with SiLU")
            return RepConvNode(config.channels(out), identity=stride == 1, stride=stride, groups=groups)
        case "MP", [] | [2]:
            return MaxPoolNode(2, 2)
        case "SP", [kernel] if _counts(kernel) and kernel % 2:
            return MaxPoolNode(kernel)
        case "ReOrg", []:
            return ReOrg()
        case "Concat", [1]:
            return Join()
        case "Chuncat", [1]:
            return GroupJoin(GROUPS)
        case "Shortcut", [1]:
            return Sum()
        case "Foldcut", [1]:
            return Fold(GROUPS)
        case "nn.Upsample", [None, 2 | 2.0, "nearest"]:
            return UpsampleNode()
    raise _unsupported(config, row)


def _unsupported(config: Config, row: Row) -> InputError:
    return config.fault(row, f"args: {list(row.args)} are not supported")


def _convolution(config: Config, row: Row, rest: list[Any], kernel: int) -> tuple[int, int, int | None, int, Any]:
    """Kernel, stride, padding, groups and activation of a row's arguments after the channels."""
    defaults: list[Any] = [kernel, 1, None, 1, True]
    kernel, stride, padding, groups, act = [*rest, *defaults[len(rest) :]][:5]
    act = {True: "silu", False: "none", None: "none"}.get(act, act)
    counts = all(_counts(value) for value in (kernel, stride, groups))
    if len(rest) > 5 or not counts or act not in ("silu", "leaky_relu", "none"):
        raise _unsupported(config, row)
    return kernel, stride, padding, groups, act


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def parts_in_yolov5(block: Block) -> Mapping[str, str] | None:
    """Names of a node's sub-layers with weights in YOLOv5's files, where a node is a row, and ours; None: no row is it.

    A single layer's are empty.
    """
    match block:
        case CspA(unit="dark", tail=False, reversed=False, hidden=None):
            return COMPOSITES["C3"].slots(block)
        case Spp(chained=True):
            return COMPOSITES["SPPF"].slots(block)
        case ConvNode(norm=True) | StridedConv():
            return {"": ""}
        case Join() | UpsampleNode():
            return {}
        case _:
            return None


def write_plain(op: Op) -> tuple[str, list[Any]] | None:
    """The official module and arguments of a primitive layer, as words of the file; None where there is none."""
    match op:
        case Conv(out, kernel, stride, groups, "silu" | "leaky_relu" | None as act):
            padding = None if kernel % 2 else (kernel - 1) // 2  # the module's own is half of an odd kernel
            return "Conv", [out, kernel, stride, *_tail(padding, groups, act)]
        case RepConv(out, stride, groups, "silu"):
            return "RepConv", [out, 3, stride, *_tail(None, groups, "silu")]
        case MaxPool(2, 2):
            return "MP", []
        case MaxPool(kernel, 1):
            return "SP", [kernel]
        case SpaceToDepth():
            return "ReOrg", []
        case Concat():
            return "Concat", [1]
        case GroupConcat(groups) if groups == GROUPS:
            return "Chuncat", [1]
        case Add():
            return "Shortcut", [1]
        case Upsample(2):
            return "nn.Upsample", [None, 2, "nearest"]
    return None


def _tail(padding: int | None, groups: int, act: Literal["silu", "leaky_relu"] | None) -> list[Any]:
    """What follows a convolution's stride, where it differs from what the official module takes by itself."""
    words = {"leaky_relu": "nn.LeakyReLU(0.1)", None: "nn.Identity()"}
    if act != "silu":
        return [padding, groups, words[act]]
    if groups > 1:
        return [padding, groups]
    return [] if padding is None else [padding]
