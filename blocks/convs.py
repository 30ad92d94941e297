"""Single convolutions as nodes: stems, the convs before the heads, and whatever is written out layer by layer."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from .graph import Feature, Lowering
from .ops import Activation, Conv, RepConv
from .roles import CLOSED, Count, OutsideWidth


@dataclass(frozen=True, slots=True)
class ConvNode:
    """Convolution, batch norm, activation: the architecture's where `act` does not name another, or `none`."""

    out: OutsideWidth
    kernel: Count = 1
    stride: Count = 1
    groups: Count = 1
    act: Activation | Literal["none"] | None = None

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        act = None if self.act == "none" else self.act or net.act
        return net.layer(Conv(self.out, self.kernel, self.stride, self.groups, act), x)


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
