"""Assignment and loss of heads without anchors once more, slowly: image by image, object by object, point by point.

In float64 and plain Python, from the description, with none of the project's code; tests and the benchmark compare with
it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import torch
from torch import Tensor

from .slow_loss import cross_entropy, sigmoid

BINS = 17
Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """What a head says in the middle of a cell."""

    column: int
    row: int
    stride: int
    box_logits: list[float]  # 4, or 4 x 17
    objectness: float | None  # logit
    classes: list[float]  # logits

    @property
    def xy(self) -> tuple[float, float]:
        return (self.column + 0.5) * self.stride, (self.row + 0.5) * self.stride

    @property
    def sides(self) -> list[list[float]]:
        """The logits of each side's bins."""
        return [self.box_logits[BINS * side : BINS * (side + 1)] for side in range(4)]

    @property
    def box(self) -> Corners:
        if self.objectness is None:
            distances = []
            for logits in self.sides:
                powers = [math.exp(value) for value in logits]
                distances.append(sum(index * power for index, power in enumerate(powers)) / sum(powers) * self.stride)
            left, top, right, bottom = distances
            return self.xy[0] - left, self.xy[1] - top, self.xy[0] + right, self.xy[1] + bottom
        x, y = (self.box_logits[0] + self.column) * self.stride, (self.box_logits[1] + self.row) * self.stride
        w, h = (math.exp(value) * self.stride for value in self.box_logits[2:])
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2


@dataclass(frozen=True)
class Thing:
    """An object of an image."""

    row: int  # of the targets
    label: int
    box: Corners

    @property
    def middle(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def holds(self, xy: tuple[float, float]) -> bool:
        return self.box[0] < xy[0] < self.box[2] and self.box[1] < xy[1] < self.box[3]


Assigned = dict[int, tuple[Thing, float]]  # by point of an image: its object, and the quality


def points_of(maps: Sequence[Tensor], strides: Sequence[int], image: int, kind: str) -> list[Point]:
    found: list[Point] = []
    for level, stride in zip(maps, strides, strict=True):
        for row, line in enumerate(level[image, 0].tolist()):
            for column, fields in enumerate(line):
                if kind == "et":
                    found.append(Point(column, row, stride, fields[: 4 * BINS], None, fields[4 * BINS :]))
                else:
                    found.append(Point(column, row, stride, fields[:4], fields[4], fields[5:]))
    return found


def things_of(targets: Tensor, image: int, width: int, height: int) -> list[Thing]:
    found: list[Thing] = []
    for row, (of, label, x, y, w, h) in enumerate(targets.tolist()):
        if int(of) == image:
            box = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
            found.append(Thing(row, int(label), box))
    return found


def areas(one: Corners, other: Corners) -> tuple[float, float, float]:
    """Of the intersection, the union and the smallest box around both."""
    x1, y1, x2, y2 = (max(a, b) for a, b in zip(one, other, strict=True))
    u1, v1, u2, v2 = (min(a, b) for a, b in zip(one, other, strict=True))
    inner = max(u2 - x1, 0) * max(v2 - y1, 0)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return inner, both - inner, (x2 - u1) * (y2 - v1)


def iou(one: Corners, other: Corners) -> float:
    inner, union, _ = areas(one, other)
    return inner / union if union else 0.0


def largest(scores: Iterable[float]) -> int:
    """The place of the largest; of equal ones the first."""
    numbers = list(scores)
    return numbers.index(max(numbers))


def slow_simota(points: list[Point], things: list[Thing], top_k: int = 10) -> Assigned:
    """Candidates inside any box or within 2.5 strides of a middle; cost, dynamic k, and who wins what several take."""

    def central(point: Point, thing: Thing) -> bool:
        return all(abs(a - b) < 2.5 * point.stride for a, b in zip(point.xy, thing.middle, strict=True))

    candidates = [
        index
        for index, point in enumerate(points)
        if any(thing.holds(point.xy) or central(point, thing) for thing in things)
    ]
    costs: list[list[float]] = []
    taken: dict[int, list[int]] = {}
    for number, thing in enumerate(things):
        overlaps = [iou(points[index].box, thing.box) for index in candidates]
        row: list[float] = []
        for index, overlap in zip(candidates, overlaps, strict=True):
            point = points[index]
            cost = -3 * math.log(overlap + 1e-8)
            for label, logit in enumerate(point.classes):
                q = sigmoid(logit)
                if point.objectness is not None:
                    q = math.sqrt(q * sigmoid(point.objectness))
                cost -= math.log(q if label == thing.label else 1 - q)
            row.append(cost + (0 if thing.holds(point.xy) and central(point, thing) else 100000))
        costs.append(row)
        count = max(1, int(sum(sorted(overlaps, reverse=True)[:top_k])))
        for place in sorted(range(len(row)), key=lambda place: row[place])[:count]:
            taken.setdefault(place, []).append(number)
    found: Assigned = {}
    for place, takers in taken.items():
        winner = takers[0] if len(takers) == 1 else largest(-row[place] for row in costs)
        found[candidates[place]] = things[winner], iou(points[candidates[place]].box, things[winner].box)
    return found


def slow_task_aligned(points: list[Point], things: list[Thing], top_k: int = 13) -> Assigned:
    """The 13 points inside an object of the highest score x IoU^6, and the quality in proportion to the best."""

    def metric(point: Point, thing: Thing) -> float:
        score = sigmoid(point.classes[thing.label])
        if point.objectness is not None:
            score *= sigmoid(point.objectness)
        return score * iou(point.box, thing.box) ** 6

    taken: dict[int, list[int]] = {}
    for number, thing in enumerate(things):
        inside = [index for index, point in enumerate(points) if thing.holds(point.xy)]
        for index in sorted(inside, key=lambda index: -metric(points[index], thing))[:top_k]:
            taken.setdefault(index, []).append(number)
    owner = {
        index: takers[0] if len(takers) == 1 else largest(iou(points[index].box, thing.box) for thing in things)
        for index, takers in taken.items()
    }
    found: Assigned = {}
    for index, number in owner.items():
        thing = things[number]
        its = [points[other] for other, of in owner.items() if of == number]
        best, most = (max(score(point, thing) for point in its) for score in (metric, lambda p, t: iou(p.box, t.box)))
        found[index] = thing, metric(points[index], thing) / (best + 1e-9) * most
    return found


def slow_atss(points: list[Point], things: list[Thing], nearest: int = 9) -> Assigned:
    """The 9 nearest points of each level whose squares of 5 strides overlap the object more than mean + deviation."""

    def square(point: Point) -> Corners:
        x, y, half = *point.xy, 2.5 * point.stride
        return x - half, y - half, x + half, y + half

    def distance(point: Point, thing: Thing) -> float:
        return sum((a - b) ** 2 for a, b in zip(point.xy, thing.middle, strict=True))

    taken: dict[int, list[int]] = {}
    for number, thing in enumerate(things):
        chosen: list[int] = []
        for stride in sorted({point.stride for point in points}):
            level = [index for index, point in enumerate(points) if point.stride == stride]
            chosen += sorted(level, key=lambda index: distance(points[index], thing))[:nearest]
        overlaps = [iou(square(points[index]), thing.box) for index in chosen]
        least = fmean(overlaps) + stdev(overlaps)
        for index, overlap in zip(chosen, overlaps, strict=True):
            if overlap > least and thing.holds(points[index].xy):
                taken.setdefault(index, []).append(number)
    found: Assigned = {}
    for index, takers in taken.items():
        winner = takers[0] if len(takers) == 1 else largest(iou(square(points[index]), thing.box) for thing in things)
        found[index] = things[winner], iou(points[index].box, things[winner].box)
    return found


SLOW: dict[str, Callable[[list[Point], list[Thing]], Assigned]] = {
    "simota": slow_simota,
    "task-aligned": slow_task_aligned,
    "atss": slow_atss,
}


def slow_decoupled_terms(points: list[Point], assigned: Assigned, *, raw: bool) -> tuple[float, float, float]:
    """Of one image: 5 (1 - IoU^2) and the raw box's L1, objectness, classes; before they are divided."""
    box = obj = cls = 0.0
    for index, point in enumerate(points):
        assert point.objectness is not None
        obj += cross_entropy(point.objectness, 1.0 if index in assigned else 0.0)
        if index not in assigned:
            continue
        thing, quality = assigned[index]
        box += 5 * (1 - iou(point.box, thing.box) ** 2)
        if raw:
            w, h = thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]
            aim = (
                thing.middle[0] / point.stride - point.column,
                thing.middle[1] / point.stride - point.row,
                math.log(w / point.stride + 1e-8),
                math.log(h / point.stride + 1e-8),
            )
            box += sum(abs(a - b) for a, b in zip(point.box_logits, aim, strict=True))
        for label, logit in enumerate(point.classes):
            cls += cross_entropy(logit, quality if label == thing.label else 0.0)
    return box, obj, cls


def slow_distribution_terms(points: list[Point], assigned: Assigned) -> tuple[float, float, float]:
    """Of one image: 2.5 GIoU and 0.5 distribution focal loss, nothing, varifocal loss; before they are divided."""
    box = cls = 0.0
    for index, point in enumerate(points):
        thing, quality = assigned.get(index, (None, 0.0))
        for label, logit in enumerate(point.classes):
            own = thing is not None and label == thing.label
            weight = quality if own else 0.75 * sigmoid(logit) ** 2
            cls += cross_entropy(logit, quality if own else 0.0) * weight
        if thing is None:
            continue
        inner, union, around = areas(point.box, thing.box)
        box += 2.5 * quality * (1 - (inner / union - (around - union) / around))
        x, y = point.xy
        ends = (x - thing.box[0], y - thing.box[1], thing.box[2] - x, thing.box[3] - y)
        focal = 0.0
        for logits, distance in zip(point.sides, ends, strict=True):
            cells = min(max(distance / point.stride, 0), BINS - 1 - 0.01)
            below = int(cells)
            log_sum = math.log(sum(math.exp(value) for value in logits))
            focal += (log_sum - logits[below]) * (below + 1 - cells) + (log_sum - logits[below + 1]) * (cells - below)
        box += 0.5 * quality * focal / 4
    return box, 0.0, cls


def random_point_maps(
    kind: str, size_px: int, batch: int, classes: int, seed: int, strides: Sequence[int] = (8, 16, 32)
) -> list[Tensor]:
    fields = 5 + classes if kind == "decoupled" else 4 * BINS + classes
    random = torch.Generator().manual_seed(seed)
    shapes = [(batch, 1, size_px // stride, size_px // stride, fields) for stride in strides]
    return [torch.randn(shape, generator=random).requires_grad_() for shape in shapes]
