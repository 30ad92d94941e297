"""Residual and cross-stage partial (CSP) blocks: the computational blocks of YOLOv4-CSP and YOLOR."""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .roles import CLOSED, OutsideWidth, Repeats


@dataclass(frozen=True, slots=True)
class DarkBlock:
    """A residual block: 1x1 conv to half the channels, 3x3 conv back, plus the input where the widths agree.

    Source: facts of the released YOLOv4-CSP and YOLOR models ("Bottleneck").
    """

    out: OutsideWidth

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return dark_block(net, x, self.out // 2, self.out, residual=x.shape.channels == self.out)


@dataclass(frozen=True, slots=True)
class CspA:
    """A chain of dark blocks on one half of the channels, the other half past it, joined by a 1x1 conv (YOLOR P6).

    With `tail`, a further 1x1 conv ends the chain (the backbones of YOLOv4-CSP and YOLOR-CSP, "CSPC").
    """

    out: OutsideWidth
    repeats: Repeats
    tail: bool = False

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        half = self.out // 2
        path = dark_chain(net, net.conv(x, half, at="stem"), half, self.repeats, residual=True)
        if self.tail:
            path = net.conv(path, half, at="tail")
        return net.conv(net.concat(path, net.conv(x, half, at="bypass")), self.out, at="out")


@dataclass(frozen=True, slots=True)
class CspB:
    """As `CspA`, but both branches start from one 1x1 conv, keep its width, and nothing is residual (the necks)."""

    out: OutsideWidth
    repeats: Repeats

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        stem = net.conv(x, self.out, at="stem")
        path = dark_chain(net, stem, self.out, self.repeats, residual=False)
        return net.conv(net.concat(path, net.conv(stem, self.out, at="bypass")), self.out, at="out")


def dark_chain(net: Lowering, x: Feature, width: int, repeats: int, *, residual: bool) -> Feature:
    """Dark blocks one after another, as wide inside as outside."""
    for block in range(1, repeats + 1):
        x = dark_block(net.inside(f"block{block}"), x, width, width, residual=residual)
    return x


def dark_block(net: Lowering, x: Feature, hidden: int, out: int, *, residual: bool) -> Feature:
    """1x1 conv, 3x3 conv, and the input where it is residual."""
    y = net.conv(net.conv(x, hidden, at="conv1"), out, kernel=3, at="conv2")
    return net.add(x, y) if residual else y
