"""Single convolutions as nodes: stems, the convs before the heads, and whatever is written out layer by layer."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from .graph import Feature, Lowering
from .measures import ShapeError
from .ops import Activation, Conv, Gating, RepConv
from .roles import CLOSED, Count, OutsideWidth


@dataclass(frozen=True, slots=True)
class ConvNode:
    """Convolution, batch norm, activation: the architecture's where `act` does not name another, or `none`.

    A kernel of 6 at stride 2 is space to depth before a 3x3 kernel (YOLOv5's "Focus"), its weights in another order.
    """

    out: OutsideWidth
    kernel: Count = 1
    stride: Count = 1
    groups: Count = 1
    act: Literal[Activation, Gating, "none"] | None = None
    norm: bool = True  # without batch norm it has a bias

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        act = None if self.act == "none" else self.act or net.act
        return net.layer(Conv(self.out, self.kernel, self.stride, self.groups, act, self.norm), x)


@dataclass(frozen=True, slots=True)
class ConvStack:
    """An odd number of convs in turns: 1x1 to `out` channels, 3x3 to twice as many, and a 1x1 at the end.

    Source: the neck of YOLOv4, arXiv:2004.10934, as released (three and five of them).
    """

    out: OutsideWidth
    convs: Count = 3

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        if self.convs % 2 == 0:
            raise ShapeError(f"{self.convs} convs in turns would end in a 3x3 one; use an odd number")
        for place in range(1, self.convs + 1):
            x = net.conv(x, self.out if place % 2 else 2 * self.out, 1 if place % 2 else 3, at=f"conv{place}")
        return x


@dataclass(frozen=True, slots=True)
class RepConvNode:
    """A 3x3 convolution that trains as RepConv (YOLOv7, arXiv:2207.02696, section 4.1)."""

    out: OutsideWidth
    identity: bool = True
    stride: Count = 1
    groups: Count = 1

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.layer(RepConv(self.out, self.stride, self.groups, net.act, self.identity), x)
