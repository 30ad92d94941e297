"""What the time of a layer depends on: its kind, the maps that it reads, the map that it writes. No torch."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ...blocks.errors import InputError
from ...blocks.graph import Graph, Layer
from ...blocks.levels import AnchorFree, Detect, Distribution, Predict
from ...blocks.measures import Shape
from ...blocks.ops import (
    Add,
    ChannelShuffle,
    Concat,
    Conv,
    Gate,
    GlobalPool,
    GroupConcat,
    MaxPool,
    Op,
    SpaceToDepth,
    TakeGroup,
    Upsample,
)


class LayerKey(NamedTuple):
    """Layers of equal keys take equal time, wherever they stand."""

    kind: str  # "conv 3x3 /2 silu": all that is no width and no size
    inputs: tuple[Shape, ...]
    output: Shape

    def __str__(self) -> str:
        return f"{self.kind}: {' '.join(map(str, self.inputs))} to {self.output}"


def layers_of(deploy: Graph, size: int) -> Iterator[tuple[Layer, LayerKey]]:
    """Each layer of a deploy graph but the image, in order, for an image of `size` pixels."""
    shapes = deploy.shapes(size)
    for layer in deploy.layers:
        if layer.inputs:
            yield layer, LayerKey(kind_of(layer.op), tuple([shapes[name] for name in layer.inputs]), shapes[layer.name])


@lru_cache(maxsize=4096)
def kind_of(op: Op) -> str:
    """The kind of an op of a deploy graph.

    Raises:
        TypeError: it stands in no deploy graph.
    """
    match op:
        case Conv():
            stride = f" /{op.stride}" if op.stride > 1 else ""
            groups = f" groups {op.groups}" if op.groups > 1 else ""
            return f"conv {op.kernel}x{op.kernel}{stride}{groups} {op.act or 'linear'}"
        case Predict():
            return "predict"
        case Detect(levels):
            kind = "" if isinstance(levels[0], Predict) else f"{type(levels[0]).__name__} "
            return f"detect {kind}{len(levels)}"
        case AnchorFree() | Distribution():
            return "join predictions"
        case GlobalPool():
            return "global-pool"
        case Gate():
            return "gate"
        case MaxPool():
            return f"max-pool {op.kernel}x{op.kernel} /{op.stride}"
        case Upsample():
            return f"upsample {op.factor}"
        case SpaceToDepth():
            return "space-to-depth"
        case Concat():
            return "concat"
        case GroupConcat():
            return f"group-concat {op.groups}"
        case ChannelShuffle():
            return f"shuffle {op.groups}"
        case TakeGroup():
            return "take-group"
        case Add():
            return "add"
        case _:
            raise TypeError(f"{op} is no layer of a deploy graph")


def shape_from(text: str, where: str) -> Shape:
    """A shape as `str` writes it.

    Raises:
        InputError: it is none.
    """
    sides = text.split("x")
    if len(sides) != 3 or not all(side.isdecimal() and int(side) for side in sides):
        raise InputError(f"{where}: {text!r} is no shape such as 64x80x80")
    return Shape(*map(int, sides))
