"""Task-aligned assignment: an object takes the points that class and box fit best together."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .boxes import paired_iou
from .points import Answers, Chosen, Objects, Predictions, near_objects, settled
from .tables import DEAR, Bids, Table, overlaps, rows_of

EPS = 1e-9  # beside the largest metric of an object; as released
TWO = 0x40000000  # the bits of a float32


@dataclass(frozen=True, slots=True)
class TaskAlignedAssigner:
    """An object takes the `top_k` points inside it of the highest metric: the score of its class x IoU^6.

    The score is the class's probability, times the objectness where there is one. A point that several take goes to the
    object of its image that its box overlaps most, whether that one took it or not. The quality of an answer is its
    metric over the largest of its object's answers, times the largest IoU of these. Of equal metrics, as where no box
    overlaps the object, the first point is taken, and of equal overlaps the first object wins; the source leaves both
    to the device.

    Source: TOOD, arXiv:2108.07755, section 3.2; alpha 1, beta 6 and 13 points as in PP-YOLOE, arXiv:2203.16250, section
        2.2.
    """

    top_k: int = 13
    compact: bool | None = None  # see `points.settled`
    chunk: int | None = None

    def __call__(self, predictions: Predictions, objects: Objects) -> Answers:
        """See `PointAssigner`."""
        candidates = near_objects(objects, predictions)
        chosen = predictions.at(candidates.to(predictions.logits.device, non_blocking=True)).padded()
        rule = _Metric(self.top_k, chosen, chosen.boxes().T.contiguous(), _scores(chosen), objects)
        place, target, weight = settled(
            predictions, objects, candidates, rule.bidding, compact=self.compact, chunk=self.chunk
        )
        taken = predictions.at(place, weight)
        iou = paired_iou(taken.boxes(), objects.corners[target]) * weight
        metric = _scores(taken).gather(1, objects.labels[target, None])[:, 0] * _sixth_power(iou)
        best, most = (iou.new_zeros(len(objects.image)).scatter_reduce(0, target, it, "amax") for it in (metric, iou))
        return Answers(place, target, metric / (best[target] + EPS) * most[target], weight)


@dataclass(frozen=True, slots=True)
class _Metric:
    """What objects want of candidates; see `tables.Bidding`."""

    top_k: int
    points: Chosen
    boxes: Tensor  # (4, P + 1) corners in pixels
    scores: Tensor  # (P + 1, classes)
    objects: Objects

    def bidding(self, table: Table) -> Callable[[slice], Bids]:
        images, width = table.candidates.shape
        chosen = table.candidates.flatten()
        boxes = self.boxes.index_select(1, chosen).view(4, images, 1, width)
        scores = self.scores.index_select(0, chosen).view(images, width, -1).transpose(1, 2).contiguous()
        x, y = self.points.middle.index_select(0, chosen).T.reshape(2, images, 1, width)
        real = self.points.stride[table.candidates, 0][:, None] > 0

        def bids(rows: slice) -> Bids:
            objects = table.objects[:, rows]
            corners = self.objects.corners[objects]
            left, top, right, bottom = corners[..., None].unbind(2)
            inside = (x > left) & (x < right) & (y > top) & (y < bottom) & real
            overlap = overlaps(corners, boxes)
            metric = rows_of(scores, self.objects.labels[objects]).mul_(_sixth_power(overlap))
            most = min(self.top_k, width)
            count = inside.sum(dim=2).clamp(max=most) * table.real[:, rows]
            return Bids(_turned(metric).where(inside, DEAR), count, most, _turned(overlap))

        return bids


def _scores(points: Chosen) -> Tensor:
    """(P, classes) probability of each class, times the objectness where there is one."""
    scores = points.classes.sigmoid()
    return scores if points.objectness is None else scores * points.objectness.sigmoid()


def _sixth_power(numbers: Tensor) -> Tensor:
    square = numbers * numbers
    return square * square * square


def _turned(numbers: Tensor) -> Tensor:
    """Positive float32 that sort the other way round than numbers from 0 to 2, without loss."""
    return (TWO - numbers.view(torch.int32)).view(torch.float32)
