"""Concatenation-based blocks of other families, to which the same scaling rule applies: VoVNet's and DenseNet's."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from .graph import Feature, Lowering
from .ops import TakeGroup
from .roles import CLOSED, Count, Depth, InsideWidth, OutsideWidth


@dataclass(frozen=True, slots=True)
class Osa:
    """One-shot aggregation: a chain of 3x3 convs, a concat of the input and of every one of them, a 1x1 conv.

    Source: VoVNet, arXiv:1904.09730, section 3.3 and Fig. 1 (b).
    """

    width: InsideWidth  # channels of each conv of the chain
    layers: Depth
    out: OutsideWidth  # channels after the 1x1 conv
    kernel: Count = 3
    newest_first: bool = False  # order of the concat: the input first, or the end of the chain

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        taps = list(inputs)
        for layer in range(1, self.layers + 1):
            taps.append(net.conv(taps[-1], self.width, self.kernel, at=f"conv{layer}"))
        taps = taps[::-1] if self.newest_first else taps
        return net.conv(net.concat(*taps), self.out, at="out")


@dataclass(frozen=True, slots=True)
class PartialOsa:
    """A chain of 3x3 convs on one half of the channels that come in, a concat of all of them, a 1x1 conv.

    What came in is joined again outside, so that one half of it is past the block ("partial in computation").

    Source: Scaled-YOLOv4, arXiv:2011.08036, section 3.2 (CSPOSANet); darknet's YOLOv4-tiny, with the second half.
    """

    width: InsideWidth  # channels of each conv of the chain
    layers: Depth
    out: OutsideWidth  # channels after the 1x1 conv
    half: Literal["first", "second"] = "second"

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        path = net.layer(TakeGroup(int(self.half == "second"), 2), x, at="half")
        taps: list[Feature] = []
        for layer in range(1, self.layers + 1):
            path = net.conv(path, self.width, 3, at=f"conv{layer}")
            taps.append(path)
        return net.conv(net.concat(*reversed(taps)), self.out, at="out")  # of one tap too: its width is what r is of


@dataclass(frozen=True, slots=True)
class Dense:
    """Dense block: every layer reads a concat of the input and of all layers before it; a 1x1 conv ends it.

    A layer is a 3x3 conv, with `bottleneck` after a 1x1 conv of that width (DenseNet-B).

    Source: DenseNet, arXiv:1608.06993, section 3 and Fig. 1.
    """

    growth: InsideWidth  # channels that each layer adds
    layers: Depth
    out: OutsideWidth  # channels after the 1x1 conv, DenseNet's transition
    bottleneck: InsideWidth | None = None
    kernel: Count = 3

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (joined,) = features = list(inputs)
        for layer in range(1, self.layers + 1):
            inside = net.inside(f"layer{layer}")
            y = joined if self.bottleneck is None else inside.conv(joined, self.bottleneck, at="bottleneck")
            features.append(inside.conv(y, self.growth, self.kernel, at="conv"))
            joined = inside.concat(*features)
        return net.conv(joined, self.out, at="out")
