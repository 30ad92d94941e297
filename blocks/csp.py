"""Cross-stage partial (CSP) blocks: the computational blocks of YOLOv4-CSP, YOLOR and CSP-ResNet."""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .residual import Chain, DarkBlock, UnitWord, chain, unit_of
from .roles import CLOSED, InsideWidth, OutsideWidth, Repeats


@dataclass(frozen=True, slots=True)
class CspA:
    """A chain of residual units on one half of the channels, the other half past it, joined by a 1x1 conv (YOLOR P6).

    With `tail`, a further 1x1 conv ends the chain (the backbones of YOLOv4-CSP and YOLOR-CSP, "CSPC").
    """

    out: OutsideWidth
    repeats: Repeats
    tail: bool = False
    reversed: bool = False
    residual: bool = True
    hidden: InsideWidth | None = None  # channels of each branch; half of `out` where None
    unit: UnitWord = "dark"

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        half = self.out // 2 if self.hidden is None else self.hidden
        path = _chain(self, net, net.conv(x, half, at="stem"), half)
        if self.tail:
            path = net.conv(path, half, at="tail")
        return net.conv(net.concat(path, net.conv(x, half, at="bypass")), self.out, at="out")


@dataclass(frozen=True, slots=True)
class CspB:
    """As `CspA`, but both branches start from one 1x1 conv and keep its width.

    The released necks are of dark units that are not residual; of other units, residual.
    """

    out: OutsideWidth
    repeats: Repeats
    reversed: bool = False
    residual: bool = False
    hidden: InsideWidth | None = None  # channels of each branch; those of `out` where None
    unit: UnitWord = "dark"

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        width = self.out if self.hidden is None else self.hidden
        stem = net.conv(x, width, at="stem")
        path = _chain(self, net, stem, width)
        return net.conv(net.concat(path, net.conv(stem, width, at="bypass")), self.out, at="out")


Dark = DarkBlock | Chain | CspA | CspB  # what a dark block may be in


def _chain(block: CspA | CspB, net: Lowering, x: Feature, width: int) -> Feature:
    """The units of a block, as wide outside as its branches."""
    unit = unit_of(block.unit, block.reversed)
    return chain(net, x, unit, block.repeats, width // unit.narrowing, width, residual=block.residual)
