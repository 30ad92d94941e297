"""ELAN and E-ELAN: the computational blocks of YOLOv7."""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .roles import CLOSED, Count, Depth, InsideWidth, OutsideWidth


@dataclass(frozen=True, slots=True)
class Elan:
    """Efficient layer aggregation: two 1x1 stems, `taps` stages of 3x3 convs, a concat of all of them, a 1x1 conv.

    With `groups` > 1 it is E-ELAN as released: that many ELANs side by side, each with weights of its own, added up
    (expand and merge cardinality). The first keeps the layer names of the plain ELAN, so that its weights carry over.

    Source: YOLOv7, arXiv:2207.02696, Fig. 2 (c), (d).
    """

    width: InsideWidth  # channels of each 3x3 conv
    taps: Depth  # stages whose output reaches the concat
    convs_per_tap: Count  # 3x3 convs in a stage
    out: OutsideWidth  # channels after the 1x1 conv
    stem: InsideWidth | None = None  # channels of each stem; the width where None
    groups: Count = 1

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        if self.groups == 1:
            return self._aggregate(net, x)
        rest = (self._aggregate(net.inside(f"group{group}"), x) for group in range(2, self.groups + 1))
        return net.add(self._aggregate(net, x), *rest)

    def _aggregate(self, net: Lowering, x: Feature) -> Feature:
        bypass, path = (
            net.conv(x, self.width if self.stem is None else self.stem, at=place) for place in ("bypass", "stem")
        )
        taps = [bypass, path]
        for tap in range(1, self.taps + 1):
            for conv in range(1, self.convs_per_tap + 1):
                path = net.conv(path, self.width, kernel=3, at=f"tap{tap}.conv{conv}")
            taps.append(path)
        return net.conv(net.concat(*reversed(taps)), self.out, at="out")  # last tap first, as the released weights
