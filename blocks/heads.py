"""Heads: what stands between a pyramid level's feature and its raw map, with weights of its own for each level.

A head is an attribute of the architecture, and fits any neck. Its widths have roles as a block's have.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from .graph import Feature, Lowering
from .levels import AnchorFree, Anchors, Distribution, Predict
from .ops import Conv, Gate, GlobalPool
from .roles import CLOSED, Count, OutsideWidth


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """What a detector has at one level of its pyramid."""

    classes: int
    stride: int  # pixels of the network input for each cell
    anchors: Anchors  # of a head without any, none
    implicit: bool


class Head(Protocol):
    """A kind of head: frozen data, and one method that lowers it at one level."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    anchored: ClassVar[bool]  # whether its boxes are relative to anchors

    def lower(self, net: Lowering, x: Feature, level: LevelFacts) -> Feature:
        """Write the layers of one level; give its raw map."""
        ...


@dataclass(frozen=True, slots=True)
class AnchorHead:
    """One 1x1 conv for all that is said of each anchor's box (YOLOv3 to v5, YOLOR, YOLOv7)."""

    anchored: ClassVar[bool] = True
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, x: Feature, level: LevelFacts) -> Feature:
        return net.layer(Predict(level.anchors, level.classes, level.stride, level.implicit), x)


@dataclass(frozen=True, slots=True)
class DecoupledHead:
    """A 1x1 conv, then 3x3 convs for the class beside 3x3 convs for box and objectness; one box for each cell.

    Source: YOLOX, arXiv:2107.08430, section 2.1 and Fig. 2.
    """

    width: OutsideWidth = 256  # channels of every conv, at every level
    convs: Count = 2  # 3x3 convs of each branch

    anchored: ClassVar[bool] = False
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, x: Feature, level: LevelFacts) -> Feature:
        stem = net.conv(x, self.width, at="stem")
        branches = {"cls": stem, "box": stem}
        for branch in branches:
            for conv in range(1, self.convs + 1):
                branches[branch] = net.conv(branches[branch], self.width, 3, at=f"{branch}.conv{conv}")
        box, objectness, classes = (
            net.layer(Conv(out, act=None, norm=False), branches[branch], at=f"{branch}.{place}")
            for branch, place, out in (("box", "out", 4), ("box", "obj", 1), ("cls", "out", level.classes))
        )
        return net.layer(AnchorFree(level.classes, level.stride), box, objectness, classes)


@dataclass(frozen=True, slots=True)
class EtHead:
    """Efficient task-aligned head: class and box each from a gated feature; a box's sides are distributions.

    Source: PP-YOLOE, arXiv:2203.16250, section 2.2 and Fig. 2; generalised focal loss, arXiv:2006.04388.
    """

    bins: Count = 17  # of a side: it reaches up to bins - 1 cells

    anchored: ClassVar[bool] = False
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, x: Feature, level: LevelFacts) -> Feature:
        mean = net.layer(GlobalPool(), x, at="mean")
        aligned = {branch: self._aligned(net.inside(branch), x, mean) for branch in ("cls", "box")}
        aligned["cls"] = net.add(aligned["cls"], x, at="cls.sum")
        box, classes = (
            net.layer(Conv(out, 3, act=None, norm=False), aligned[branch], at=f"{branch}.out")
            for branch, out in (("box", 4 * self.bins), ("cls", level.classes))
        )
        return net.layer(Distribution(level.classes, level.stride, self.bins), box, classes)

    def _aligned(self, net: Lowering, x: Feature, mean: Feature) -> Feature:
        numbers = net.layer(Conv(x.shape.channels, act="sigmoid", norm=False), mean, at="attention")
        return net.conv(net.layer(Gate(), x, numbers, at="gate"), x.shape.channels, at="conv")


HEADS: dict[str, type[Head]] = {"anchor": AnchorHead, "decoupled": DecoupledHead, "et": EtHead}
HEAD_WORDS: dict[type[Head], str] = {kind: word for word, kind in HEADS.items()}
