"""Transitions between stages: three ways to halve height and width that can stand in for each other, and a bare pool.

The three give `out` channels whatever came in, so that one can be exchanged for another in place.
"""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .measures import ShapeError
from .roles import CLOSED, OutsideWidth


@dataclass(frozen=True, slots=True)
class StridedConv:
    """A plain 3x3 convolution of stride 2 (YOLOv7-W6, and the neck of YOLOv7-tiny)."""

    out: OutsideWidth

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.conv(x, self.out, kernel=3, stride=2)


@dataclass(frozen=True, slots=True)
class PoolConv:
    """Max-pool then 1x1 conv, beside a 1x1 conv then 3x3 conv of stride 2, half the channels each (YOLOv7)."""

    out: OutsideWidth

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        half = _half(self.out)
        pooled = net.conv(net.max_pool(x, 2, 2, at="pool"), half, at="pool_conv")
        strided = net.conv(net.conv(x, half, at="conv1"), half, kernel=3, stride=2, at="conv2")
        return net.concat(strided, pooled)


@dataclass(frozen=True, slots=True)
class DownC:
    """As `PoolConv`, but the 1x1 conv before the strided one keeps the channels that came in (YOLOv7-E6, D6, E6E)."""

    out: OutsideWidth

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        half = _half(self.out)
        strided = net.conv(net.conv(x, x.shape.channels, at="conv1"), half, kernel=3, stride=2, at="conv2")
        pooled = net.conv(net.max_pool(x, 2, 2, at="pool"), half, at="pool_conv")
        return net.concat(strided, pooled)


@dataclass(frozen=True, slots=True)
class Pool:
    """A 2x2 max-pool of stride 2 alone: it keeps its channels (the backbone of YOLOv7-tiny)."""

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.max_pool(x, 2, 2)


def _half(out: int) -> int:
    if out % 2:
        raise ShapeError(f"{out} channels cannot be shared by two branches; use an even number")
    return out // 2
