"""Residual and cross-stage partial (CSP) blocks: the computational blocks of YOLOv4-CSP and YOLOR."""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .roles import CLOSED, InsideWidth, OutsideWidth, Repeats


@dataclass(frozen=True, slots=True)
class DarkBlock:
    """A residual block: 1x1 conv to half the channels, 3x3 conv back, plus the input where the widths agree.

    `reversed` exchanges the two kernels: as many parameters and operations, and the layer before the sum is the 1x1
    conv, so that the 3x3 one may be a RepConv (YOLOv7, arXiv:2207.02696, section 5.4.2 and Fig. 7).

    Source: facts of the released YOLOv4-CSP and YOLOR models ("Bottleneck").
    """

    out: OutsideWidth
    reversed: bool = False
    residual: bool = True

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        residual = self.residual and x.shape.channels == self.out
        return dark_block(net, x, self.out // 2, self.out, residual=residual, reverse=self.reversed)


@dataclass(frozen=True, slots=True)
class CspA:
    """A chain of dark blocks on one half of the channels, the other half past it, joined by a 1x1 conv (YOLOR P6).

    With `tail`, a further 1x1 conv ends the chain (the backbones of YOLOv4-CSP and YOLOR-CSP, "CSPC").
    """

    out: OutsideWidth
    repeats: Repeats
    tail: bool = False
    reversed: bool = False
    residual: bool = True
    hidden: InsideWidth | None = None  # channels of each branch; half of `out` where None

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        half = self.out // 2 if self.hidden is None else self.hidden
        stem = net.conv(x, half, at="stem")
        path = dark_chain(net, stem, half, self.repeats, residual=self.residual, reverse=self.reversed)
        if self.tail:
            path = net.conv(path, half, at="tail")
        return net.conv(net.concat(path, net.conv(x, half, at="bypass")), self.out, at="out")


@dataclass(frozen=True, slots=True)
class CspB:
    """As `CspA`, but both branches start from one 1x1 conv and keep its width; not residual as released (the necks)."""

    out: OutsideWidth
    repeats: Repeats
    reversed: bool = False
    residual: bool = False
    hidden: InsideWidth | None = None  # channels of each branch; those of `out` where None

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        width = self.out if self.hidden is None else self.hidden
        stem = net.conv(x, width, at="stem")
        path = dark_chain(net, stem, width, self.repeats, residual=self.residual, reverse=self.reversed)
        return net.conv(net.concat(path, net.conv(stem, width, at="bypass")), self.out, at="out")


Dark = DarkBlock | CspA | CspB  # what a dark block is in


def dark_chain(net: Lowering, x: Feature, width: int, repeats: int, *, residual: bool, reverse: bool) -> Feature:
    """Dark blocks one after another, as wide inside as outside."""
    for block in range(1, repeats + 1):
        x = dark_block(net.inside(f"block{block}"), x, width, width, residual=residual, reverse=reverse)
    return x


def dark_block(net: Lowering, x: Feature, hidden: int, out: int, *, residual: bool, reverse: bool) -> Feature:
    """1x1 conv, 3x3 conv, or 3x3 then 1x1 in reverse, and the input where it is residual."""
    first, second = (3, 1) if reverse else (1, 3)
    y = net.conv(net.conv(x, hidden, first, at="conv1"), out, second, at="conv2")
    return net.add(x, y) if residual else y
