"""Spatial pyramid pooling, and the joints of the feature pyramid."""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .roles import CLOSED, OutsideWidth

POOLS = (5, 9, 13)


def pooled(net: Lowering, x: Feature) -> list[Feature]:
    """Max pools of one feature, at stride 1, smallest window first."""
    return [net.max_pool(x, kernel, at=f"pool{kernel}") for kernel in POOLS]


@dataclass(frozen=True, slots=True)
class Pools:
    """A feature and its max pools, the largest window first, joined, as in YOLOv4 (arXiv:2004.10934)."""

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.concat(*reversed(pooled(net, x)), x, at="")


@dataclass(frozen=True, slots=True)
class Spp:
    """Spatial pyramid pooling of a 1x1 conv to half the channels that came in, ended by a 1x1 conv.

    `chained`: three 5x5 pools, each of the one before, which is the same function of less work (YOLOv5's "SPPF").

    Source: arXiv:1406.4729; as in the released YOLOv5 and YOLOX.
    """

    out: OutsideWidth
    chained: bool = False

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        stem = net.conv(x, x.shape.channels // 2, at="stem")
        parts = [stem]
        for kernel in POOLS:
            source, window = (parts[-1], POOLS[0]) if self.chained else (stem, kernel)
            parts.append(net.max_pool(source, window, at=f"pool{kernel}"))
        return net.conv(net.concat(*parts, at="pools"), self.out, at="out")


@dataclass(frozen=True, slots=True)
class SppCspc:
    """Cross-stage partial spatial pyramid pooling, its inner width equal to its output's.

    Source: YOLOv7 and YOLOR as released ("SPPCSPC").
    """

    out: OutsideWidth

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        path = net.conv(x, self.out, at="conv1")
        path = net.conv(path, self.out, kernel=3, at="conv2")
        path = net.conv(path, self.out, at="conv3")
        path = net.conv(net.concat(path, *pooled(net, path), at="pools"), self.out, at="conv4")
        path = net.conv(path, self.out, kernel=3, at="conv5")
        bypass = net.conv(x, self.out, at="bypass")
        return net.conv(net.concat(path, bypass), self.out, at="out")


@dataclass(frozen=True, slots=True)
class SppTiny:
    """The spatial pyramid pooling of YOLOv7-tiny: two 1x1 stems, one of them pooled, joined twice."""

    out: OutsideWidth

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        bypass, path = (net.conv(x, self.out, at=place) for place in ("bypass", "stem"))
        path = net.conv(net.concat(*reversed(pooled(net, path)), path, at="pools"), self.out, at="conv")
        return net.conv(net.concat(path, bypass), self.out, at="out")


@dataclass(frozen=True, slots=True)
class TopDown:
    """The step down the pyramid: a 1x1 conv of the coarse map, up-sampled, beside a 1x1 conv of the backbone's.

    Inputs: the coarse map, then the backbone's map of twice its height and width.
    """

    out: OutsideWidth  # channels of each 1x1 conv

    arity: ClassVar[int | None] = 2
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        coarse, route = inputs
        up = net.upsample(net.conv(coarse, self.out, at="reduce"), at="upsample")
        return net.concat(net.conv(route, self.out, at="lateral"), up)
