"""Centre-prior SimOTA: points inside objects and near their middles compete, and those that are both come first."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .boxes import paired_iou
from .dynamic_k import DynamicK
from .points import Answers, Chosen, Objects, Predictions, near_objects, settled


@dataclass(frozen=True, slots=True)
class SimotaAssigner:
    """Of the points inside any object of an image, or near its middle, each object takes the cheapest (`dynamic_k.py`).

    Pairs of a point and an object that it is inside of and near to cost less than all others; the source adds 100 000
    to the others' cost. The quality of an answer is the IoU of the predicted box with the object. Of equal costs the
    first point is taken, and the first object wins.

    Source: YOLOX, arXiv:2107.08430, section 2.1, as released to version 0.3.0, with which the paper's models were
        trained; later ones take only what is within 1.5 cells of a middle.
    """

    top_k: int = 10
    reach: float = 2.5  # cells along both axes
    compact: bool | None = None  # see `points.settled`
    chunk: int | None = None

    def __call__(self, predictions: Predictions, objects: Objects) -> Answers:
        """See `PointAssigner`."""
        candidates = near_objects(objects, predictions, self.reach)
        chosen = predictions.at(candidates.to(predictions.logits.device, non_blocking=True)).padded()
        near = _Near(chosen, objects.corners, self.reach)
        boxes = chosen.boxes().T.contiguous()
        rule = DynamicK(self.top_k, boxes, chosen.classes, chosen.objectness, objects.corners, objects.labels, near)
        place, target, weight = settled(
            predictions, objects, candidates, rule.bidding, compact=self.compact, chunk=self.chunk
        )
        quality = paired_iou(predictions.at(place, weight).boxes(), objects.corners[target])
        return Answers(place, target, quality, weight)


@dataclass(frozen=True, slots=True)
class _Near:
    """Whether a point lies inside an object and within reach of its middle."""

    points: Chosen
    objects: Tensor  # (n, 4) corners in pixels
    reach: float  # cells

    def __call__(self, candidates: Tensor, objects: Tensor) -> Tensor:
        """(b, g, J) of candidates (b, J) and objects (b, g)."""
        low, high = self.objects[objects][:, :, None].chunk(2, dim=3)
        reach = self.reach * self.points.stride[candidates][:, None]
        apart = (self.points.middle[candidates][:, None] - (low + high) / 2).abs_()
        return (apart < torch.minimum(reach, (high - low) / 2)).all(dim=3)
