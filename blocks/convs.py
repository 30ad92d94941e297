"""Single layers as nodes: stems and the convs before the heads."""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .roles import CLOSED, Count, OutsideWidth


@dataclass(frozen=True, slots=True)
class ConvNode:
    """Convolution, batch norm, activation."""

    out: OutsideWidth
    kernel: Count = 1
    stride: Count = 1

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.conv(x, self.out, self.kernel, self.stride)


@dataclass(frozen=True, slots=True)
class RepConvNode:
    """A 3x3 convolution that trains as RepConv (YOLOv7, arXiv:2207.02696, section 4.1)."""

    out: OutsideWidth
    identity: bool = True

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.rep_conv(x, self.out, self.identity)


@dataclass(frozen=True, slots=True)
class ReOrg:
    """Space to depth: the first layer of the models for 1280 pixels."""

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.space_to_depth(x)
