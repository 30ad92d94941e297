"""ELAN and E-ELAN: the computational blocks of YOLOv7."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from .graph import Feature, Lowering
from .roles import CLOSED, Count, Depth, InsideWidth, OutsideWidth

Form = Literal["parallel", "grouped", "shuffled"]


@dataclass(frozen=True, slots=True)
class Elan:
    """Efficient layer aggregation: two 1x1 stems, `taps` stages of 3x3 convs, a concat of all of them, a 1x1 conv.

    With `groups` > 1 it is E-ELAN, in one of three forms:

    - `parallel`, as released: that many ELANs side by side, each with weights of its own, added up. The first keeps the
      layer names of the plain ELAN, so that its weights carry over.
    - `grouped`, as drawn: stems expand channels and cardinality, the other convs are group convolutions, the tapped
      features are sorted by group (*shuffle*) and the groups of the last conv added up (*merge cardinality*). The same
      function as `parallel`, as many parameters (`scaler.cardinality` carries the weights over).
    - `shuffled`: as `grouped`, but channels are mixed between the groups before the last conv, as in ShuffleNet
      (arXiv:1707.01083). Another function, for comparison; not what the paper's models do.

    In each, `group2.out` and so on is the output of one group before the cardinality is merged.

    Source: YOLOv7, arXiv:2207.02696, section 3.1 and Fig. 2 (c), (d).
    """

    width: InsideWidth  # channels of each 3x3 conv, of one group
    taps: Depth  # stages whose output reaches the concat
    convs_per_tap: Count  # 3x3 convs in a stage
    out: OutsideWidth  # channels after the 1x1 conv
    stem: InsideWidth | None = None  # channels of each stem; the width where None
    groups: Count = 1
    form: Form = "parallel"
    kernel: Count = 3  # of the convs in the stages
    newest_first: bool = True  # order of the concat: the last tap first, as in the released models, or the stems first

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        if self.groups == 1:
            return self._aggregate(net, x)
        if self.form != "parallel":
            return net.fold(self._aggregate(net, x, self.groups), self.groups)
        rest = (self._aggregate(net.inside(f"group{group}"), x) for group in range(2, self.groups + 1))
        return net.add(self._aggregate(net, x), *rest)

    def _aggregate(self, net: Lowering, x: Feature, groups: int = 1) -> Feature:
        stem = groups * (self.width if self.stem is None else self.stem)
        bypass, path = (net.conv(x, stem, at=place) for place in ("bypass", "stem"))
        taps = [bypass, path]
        for tap in range(1, self.taps + 1):
            for conv in range(1, self.convs_per_tap + 1):
                place = f"tap{tap}.conv{conv}"
                path = net.conv(path, groups * self.width, self.kernel, groups=groups, at=place)
            taps.append(path)
        taps = taps[::-1] if self.newest_first else taps
        joined = net.concat(*taps) if groups == 1 else net.group_concat(groups, *taps)
        if groups > 1 and self.form == "shuffled":
            joined = net.shuffle(joined, groups)
        return net.conv(joined, groups * self.out, groups=groups, at="out")
