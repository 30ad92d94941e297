"""Residual units: what they are made of, and blocks of one of them or of a chain; `csp` holds chains too."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from .graph import Feature, Lowering
from .measures import ShapeError
from .ops import RepConv
from .roles import CLOSED, Count, OutsideWidth, Repeats

UnitWord = Literal["dark", "dark_half", "res", "resx"]


@dataclass(frozen=True, slots=True)
class Unit:
    """Convs one after another, the last as wide as the output, the others narrower; then the input is added.

    By itself, and in a chain by itself, a unit is half as wide inside as outside.
    """

    kernels: tuple[int, ...]
    groups: int = 1  # of the conv that is larger than 1x1
    narrowing: int = 1  # width outside / width inside, in a CSP block
    rep: bool = False  # the last conv trains as RepConv, without identity, as it stands before a sum

    def lower(self, net: Lowering, x: Feature, inner: int, out: int, *, residual: bool) -> Feature:
        """Write its layers; the input is added if it is residual and as wide as the output."""
        y = x
        for place, kernel in enumerate(self.kernels, 1):
            width = out if place == len(self.kernels) else inner
            if self.rep and place == len(self.kernels):
                y = net.layer(RepConv(width, act=net.act, identity=False), y, at=f"conv{place}")
            else:
                y = net.conv(y, width, kernel, groups=self.groups if kernel > 1 else 1, at=f"conv{place}")
        return net.add(x, y) if residual and x.shape.channels == out else y


UNITS: dict[UnitWord, Unit] = {
    "dark": Unit((1, 3)),
    "dark_half": Unit((1, 3), narrowing=2),  # the first stage of YOLOv4's backbone
    "res": Unit((1, 3, 1), narrowing=2),
    "resx": Unit((1, 3, 1), groups=32),
}


def unit_of(word: UnitWord, reverse: bool) -> Unit:
    """A unit by its word; in reverse, a dark one has its 3x3 conv first.

    Raises:
        ShapeError: a unit of another kind is to be reversed, whose kernels are the same from either end.
    """
    unit = UNITS[word]
    if reverse and unit.kernels == unit.kernels[::-1]:
        raise ShapeError(f"reversed: a {word} unit has 1x1 convs on both sides; leave it out, or use unit: dark")
    return replace(unit, kernels=unit.kernels[::-1]) if reverse else unit


def chain(net: Lowering, x: Feature, unit: Unit, repeats: int, inner: int, out: int, *, residual: bool) -> Feature:
    """Units one after another."""
    for block in range(1, repeats + 1):
        x = unit.lower(net.inside(f"block{block}"), x, inner, out, residual=residual)
    return x


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
        return unit_of("dark", self.reversed).lower(net, x, self.out // 2, self.out, residual=self.residual)


@dataclass(frozen=True, slots=True)
class ResBlock:
    """A residual block: 1x1 conv to half the channels, 3x3 conv, 1x1 conv back, plus the input where the widths agree.

    With 32 groups in the 3x3 conv it is ResNeXt's (arXiv:1611.05431).

    Source: ResNet, arXiv:1512.03385, Fig. 5; the width inside as in YOLOR as released ("Res", "ResX").
    """

    out: OutsideWidth
    groups: Count = 1
    residual: bool = True

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        unit = replace(UNITS["res"], groups=self.groups)
        return unit.lower(net, x, self.out // 2, self.out, residual=self.residual)


@dataclass(frozen=True, slots=True)
class Chain:
    """Residual blocks one after another, of one kind and as wide: the stages of Darknet-53 (YOLOv3).

    Source: YOLOv3, arXiv:1804.02767, Table 1.
    """

    out: OutsideWidth
    repeats: Repeats
    unit: UnitWord = "dark"
    reversed: bool = False
    residual: bool = True

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        unit = unit_of(self.unit, self.reversed)
        return chain(net, x, unit, self.repeats, self.out // 2, self.out, residual=self.residual)
