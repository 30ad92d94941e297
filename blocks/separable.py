"""Depth-wise separable convolution: a filter for each channel, then a mixture of the channels."""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .roles import CLOSED, Count, OutsideWidth


@dataclass(frozen=True, slots=True)
class SeparableConv:
    """A conv of a filter for each channel that comes in, then a 1x1 conv; each with batch norm and activation.

    The depth-wise conv is as wide as the input, whatever a scaling makes of it. As its number of groups is a width,
    detectors with one are counted one by one, not as polynomials in their widths.

    Source: MobileNets, arXiv:1704.04861, section 3.1 and Fig. 3; the small models of YOLOX, arXiv:2107.08430.
    """

    out: OutsideWidth
    kernel: Count = 3
    stride: Count = 1

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        filtered = net.conv(x, x.shape.channels, self.kernel, self.stride, groups=x.shape.channels, at="depthwise")
        return net.conv(filtered, self.out, at="pointwise")
