"""Cross-stage partial blocks of re-parameterised residual units: the computational blocks of PP-YOLOE.

Source: PP-YOLOE, arXiv:2203.16250, section 2.2 and Fig. 3 (RepResBlock, CSPRepResStage).
"""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .pyramid import pooled
from .residual import Unit
from .roles import CLOSED, OutsideWidth, Repeats

REP_UNIT = Unit((3, 3), rep=True)


@dataclass(frozen=True, slots=True)
class CspRepStage:
    """Residual units on one half of the channels that come in, the other half past them, a channel attention over both.

    Each branch is half as wide as the input; a 1x1 conv ends it.
    """

    out: OutsideWidth
    repeats: Repeats

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        half = x.shape.channels // 2
        bypass = net.conv(x, half, at="bypass")
        path = _units(net, net.conv(x, half, at="stem"), half, range(self.repeats), residual=True)
        return net.conv(net.excite(net.concat(bypass, path), "hard_sigmoid"), self.out, at="out")


@dataclass(frozen=True, slots=True)
class CspRepPan:
    """Units, not residual, on one half of the output's channels, the other half past them; a 1x1 conv ends it.

    With `spp`, spatial pyramid pooling and a 1x1 conv stand in the middle of the units.
    """

    out: OutsideWidth
    repeats: Repeats
    spp: bool = False

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        half = self.out // 2
        bypass = net.conv(x, half, at="bypass")
        path = net.conv(x, half, at="stem")
        middle = (self.repeats - 1) // 2 + 1 if self.spp else 0
        path = _units(net, path, half, range(middle), residual=False)
        if self.spp:
            path = net.conv(net.concat(path, *pooled(net, path), at="pools"), half, at="spp")
        path = _units(net, path, half, range(middle, self.repeats), residual=False)
        return net.conv(net.concat(bypass, path), self.out, at="out")


def _units(net: Lowering, x: Feature, width: int, places: range, *, residual: bool) -> Feature:
    for place in places:
        x = REP_UNIT.lower(net.inside(f"block{place + 1}"), x, width, width, residual=residual)
    return x
