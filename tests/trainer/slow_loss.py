"""The loss and its assignments once more, slowly: one image, object and place after another, from the description.

In float64, with none of the project's code; tests and the benchmark compare with it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, one_hot

Place = tuple[int, int, int, int, int]  # image, anchor, row, column, target
Geometry = tuple[Sequence[Sequence[tuple[float, float]]], Sequence[int]]  # anchors in pixels, and strides

P5_ANCHORS = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)
P6_ANCHORS = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
TWO_LEVELS = (((10, 10), (30, 15)), ((60, 60), (90, 200)))
HEADS = {
    "p5": (P5_ANCHORS, (8, 16, 32)),
    "p6": (P6_ANCHORS, (8, 16, 32, 64)),
    "two levels of two anchors": (TWO_LEVELS, (8, 16)),
}


def slow_candidates(
    targets: list[list[float]], anchors: Sequence[tuple[float, float]], stride: int, grid: tuple[int, int], reach: float
) -> list[Place]:
    """Cells that answer for each target on one level, in the order of emission; anchors in pixels."""
    columns, rows = grid
    places: list[Place] = []
    for shift in range(5):
        for index, anchor in enumerate(anchors):
            for number, (image, _, x, y, w, h) in enumerate(targets):
                x, y, w, h = x * columns, y * rows, w * columns, h * rows
                wide, high = anchor[0] / stride, anchor[1] / stride
                if not w or not h or max(w / wide, wide / w, h / high, high / h) >= 4.0:
                    continue
                moved = [
                    (True, x, y),
                    (math.modf(x)[0] < reach and x > 1, x - reach, y),
                    (math.modf(y)[0] < reach and y > 1, x, y - reach),
                    (math.modf(columns - x)[0] < reach and columns - x > 1, x + reach, y),
                    (math.modf(rows - y)[0] < reach and rows - y > 1, x, y + reach),
                ]
                answers, column, row = moved[shift]
                if answers:
                    column, row = min(max(int(column), 0), columns - 1), min(max(int(row), 0), rows - 1)
                    places.append((int(image), index, row, column, number))
    return places


def slow_ciou(box: Sequence[float], other: Sequence[float], eps: float = 1e-7) -> float:
    (x1, y1, w1, h1), (x2, y2, w2, h2) = box, other

    def overlap(low: float, high: float, other_low: float, other_high: float) -> float:
        return max(min(high, other_high) - max(low, other_low), 0)

    def span(low: float, high: float, other_low: float, other_high: float) -> float:
        return max(high, other_high) - min(low, other_low)

    across = (x1 - w1 / 2, x1 + w1 / 2, x2 - w2 / 2, x2 + w2 / 2)
    down = (y1 - h1 / 2, y1 + h1 / 2, y2 - h2 / 2, y2 + h2 / 2)
    h1, h2 = h1 + eps, h2 + eps
    inner = overlap(*across) * overlap(*down)
    iou = inner / (w1 * h1 + w2 * h2 - inner + eps)
    v = 4 / math.pi**2 * (math.atan(w2 / (h2 + eps)) - math.atan(w1 / (h1 + eps))) ** 2
    diagonal = span(*across) ** 2 + span(*down) ** 2 + eps
    return iou - ((x1 - x2) ** 2 + (y1 - y2) ** 2) / diagonal - v / (v - iou + 1 + eps) * v


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def cross_entropy(logit: float, wanted: float) -> float:
    return max(logit, 0) - logit * wanted + math.log1p(math.exp(-abs(logit)))


def slow_terms(
    maps: list[Any],
    targets: list[list[float]],
    head: Geometry,
    classes: int,
    places_by_level: Sequence[list[Place]],
    smoothing: float = 0.0,
    span: float = 2.0,
) -> tuple[float, float, float]:
    """Box, objectness and class terms before their gains; maps are nested lists."""
    anchors, strides = head
    weights = {3: (4.0, 1.0, 0.4)}.get(len(strides), (4.0, 1.0, 0.25, 0.06, 0.02))
    box = obj = cls = 0.0
    for level, maps_of_level in enumerate(maps):
        rows, columns = len(maps_of_level[0][0]), len(maps_of_level[0][0][0])
        places = places_by_level[level]
        wanted: dict[tuple[int, int, int, int], float] = {}
        box_of_level = cls_of_level = 0.0
        for image, anchor, row, column, number in places:
            logits = maps_of_level[image][anchor][row][column]
            x, y, w, h = (2 * sigmoid(value) for value in logits[:4])
            wide, high = (side / strides[level] for side in anchors[level][anchor])
            _, label, tx, ty, tw, th = targets[number]
            x, y = ((value / 2 - 0.5) * span + 0.5 for value in (x, y))
            found = (x, y, w**2 * wide, h**2 * high)
            overlap = slow_ciou(found, (tx * columns - column, ty * rows - row, tw * columns, th * rows))
            box_of_level += 1 - overlap
            wanted[image, anchor, row, column] = max(overlap, 0)
            for kind in range(classes):
                hit = 1 - smoothing / 2 if kind == int(label) else smoothing / 2
                cls_of_level += cross_entropy(logits[5 + kind], hit)
        if places:
            box += box_of_level / len(places)
            cls += cls_of_level / len(places) / classes if classes > 1 else 0
        cells = [
            cross_entropy(logits[4], wanted.get((image, anchor, row, column), 0.0))
            for image, kinds in enumerate(maps_of_level)
            for anchor, grid in enumerate(kinds)
            for row, line in enumerate(grid)
            for column, logits in enumerate(line)
        ]
        obj += weights[level] * sum(cells) / len(cells)
    return box, obj, cls


def slow_level_candidates(
    maps: Sequence[Tensor], targets: Tensor, head: Geometry, reach: float = 0.5
) -> list[list[Place]]:
    return [
        slow_candidates(targets.tolist(), anchors, stride, (logits.shape[3], logits.shape[2]), reach)
        for logits, anchors, stride in zip(maps, *head, strict=True)
    ]


def slow_ota(
    maps: Sequence[Tensor],
    targets: Tensor,
    head: Geometry,
    places: Sequence[list[Place]],
    top_k: int,
    span: float = 2.0,
    dtype: torch.dtype = torch.float64,
) -> list[list[Place]]:
    """Which of the places answer, and for which target, image by image; with objects x candidates x classes at once."""
    anchors, strides = head
    height, width = (side * strides[0] for side in maps[0].shape[2:4])
    scale = targets.new_tensor([width, height, width, height]).to(dtype)
    owners: dict[tuple[int, int], int] = {}
    for image in range(len(maps[0])):
        objects = (targets[:, 0] == image).nonzero().flatten()
        columns = [
            (level, number) for level, found in enumerate(places) for number, p in enumerate(found) if p[0] == image
        ]
        if not len(objects) or not columns:
            continue
        logits: list[Tensor] = []
        boxes: list[Tensor] = []
        for level, number in columns:
            _, anchor, row, column, _ = places[level][number]
            logits.append(maps[level][image, anchor, row, column].detach().to(dtype))
            x, y, w, h = logits[-1][:4].sigmoid()
            wide, high = anchors[level][anchor]
            x = (column + 0.5 + span * (x - 0.5)) * strides[level]
            y = (row + 0.5 + span * (y - 0.5)) * strides[level]
            boxes.append(torch.stack((x, y, 4 * w * w * wide, 4 * h * h * high)))
        overlap = slow_iou(targets[objects, 2:6].to(dtype) * scale, torch.stack(boxes))
        chosen = torch.stack(logits)
        q = (chosen[:, 5:].sigmoid() * chosen[:, 4:5].sigmoid()).sqrt()
        shape = (len(objects), *q.shape)
        label = one_hot(targets[objects, 1].long(), q.shape[1]).to(dtype)
        entropy = binary_cross_entropy(q.expand(shape), label[:, None].expand(shape), reduction="none").sum(dim=2)
        cost = entropy - 3 * (overlap + 1e-8).log()

        taken = torch.zeros_like(cost, dtype=torch.bool)
        for number in range(len(objects)):
            largest = overlap[number].sort(descending=True).values[:top_k]
            count = max(1, int(largest.sum()))
            taken[number, cost[number].sort(stable=True).indices[:count]] = True
        cheapest = cost.sort(dim=0, stable=True).indices[0]
        for column, place in enumerate(columns):
            takers = taken[:, column].nonzero().flatten()
            if len(takers):
                owners[place] = int(objects[takers[0] if len(takers) == 1 else cheapest[column]])
    return [
        [(*place[:4], owners[level, number]) for number, place in enumerate(found) if (level, number) in owners]
        for level, found in enumerate(places)
    ]


def slow_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU (n, m) of boxes (n, 4) and others (m, 4), both cx, cy, w, h."""
    overlap = 1.0
    for axis in (0, 1):
        low, high = ((boxes[:, axis] + sign * boxes[:, axis + 2] / 2)[:, None] for sign in (-1, 1))
        other_low, other_high = (others[:, axis] + sign * others[:, axis + 2] / 2 for sign in (-1, 1))
        overlap = overlap * (high.minimum(other_high) - low.maximum(other_low)).clamp(min=0)
    return overlap / (boxes[:, 2:].prod(dim=1)[:, None] + others[:, 2:].prod(dim=1) - overlap)


def random_maps(head: str, size_px: int, batch: int, classes: int, seed: int) -> list[Tensor]:
    anchors, strides = HEADS[head]
    random = torch.Generator().manual_seed(seed)
    shapes = [(batch, len(a), size_px // s, size_px // s, 5 + classes) for a, s in zip(anchors, strides, strict=True)]
    return [(2 * torch.randn(shape, generator=random)).requires_grad_() for shape in shapes]


def random_targets(count: int, batch: int, classes: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    targets = torch.rand((count, 6), generator=random)
    targets[:, 0] = (targets[:, 0] * batch).floor()
    targets[:, 1] = (targets[:, 1] * classes).floor()
    targets[:, 4:] = 0.01 + targets[:, 4:] ** 2
    return targets
