"""Which detections are right: those of a class matched with the objects of it, and, for confusions, of all classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .data.records import Dataset, ImageRecord, Split
from .scoring import MAX_DETS, Found

ANY_AREA = (0.0, 1e10)  # square pixels. Source: pycocotools' `Params`


@dataclass(frozen=True, eq=False)
class Matches:
    """The detections of a class over a split, best first; those within a crowd are left out."""

    scores: np.ndarray  # (n,) float
    right: np.ndarray  # (n,) bool
    objects: int  # to find


def match_classes(
    found: Sequence[Found], split: Split, dataset: Dataset, *, iou: float = 0.5, max_dets: int = MAX_DETS
) -> list[Matches]:
    """Match detections with objects of their class, as COCO does: the surest first, each with its best free object.

    Source: pycocotools' `evaluateImg`.
    """
    records = {record.image_id: record for record in split.images}
    scores: list[list[np.ndarray]] = [[] for _ in dataset.classes]
    right: list[list[np.ndarray]] = [[] for _ in dataset.classes]
    for image in found:
        record = records[image.image_id]
        for label in np.unique(image.labels):
            mine = np.flatnonzero(image.labels == label)
            mine = mine[np.argsort(-image.scores[mine], kind="stable")][:max_dets]
            hit, ignored = (each[:, 0] for each in match(image.boxes[mine], record, int(label), np.array([iou])))
            scores[label].append(image.scores[mine][~ignored])
            right[label].append(hit[~ignored])
    return [
        _joined(scores[label], right[label], sum(int(((r.labels == label) & ~r.crowd).sum()) for r in split.images))
        for label in range(len(dataset.classes))
    ]


def _joined(scores: list[np.ndarray], right: list[np.ndarray], objects: int) -> Matches:
    if not scores:
        return Matches(np.zeros(0), np.zeros(0, dtype=bool), objects)
    every = np.concatenate(scores)
    order = np.argsort(-every, kind="stable")
    return Matches(every[order], np.concatenate(right)[order], objects)


def match(
    boxes: np.ndarray, record: ImageRecord, label: int, ious: np.ndarray, area: tuple[float, float] = ANY_AREA
) -> tuple[np.ndarray, np.ndarray]:
    """Match boxes (n, 4) of a class in an image, best first, at each of T thresholds, as COCO does.

    Args:
        boxes: x1, y1, x2, y2 in pixels.
        record: the image's objects.
        label: the class.
        ious: (T,) least overlaps.
        area: square pixels of the objects that count; others, and what lies on them, count neither way.

    Returns:
        (n, T) which find an object, and (n, T) which do not count: in a crowd, or of another area.

    Source: pycocotools' `evaluateImg`.
    """
    wanted = record.labels == label
    objects, crowd = record.boxes[wanted], record.crowd[wanted]
    aside = crowd | out_of(record.area[wanted], area)
    overlap = np.where(crowd, overlaps(boxes, objects, of_first=True), overlaps(boxes, objects))
    right, ignored = (np.zeros((len(boxes), len(ious)), dtype=bool) for _ in range(2))
    free = np.ones((len(ious), len(objects)), dtype=bool)
    for row in np.flatnonzero((overlap >= ious.min()).any(axis=1)):  # one by one: what a surer one takes is gone
        near = (overlap[row] >= ious[:, None]) & (free | crowd)
        proper = (near & ~aside).any(axis=1)  # an object that counts is taken before one that does not
        candidates = near & (aside != proper[:, None])
        at = np.flatnonzero(candidates.any(axis=1))
        values = np.where(candidates[at], overlap[row], -1.0)
        best = len(objects) - 1 - values[:, ::-1].argmax(axis=1)  # of equals the last, as pycocotools has it
        free[at, best] = False
        right[row, at], ignored[row, at] = proper[at], ~proper[at]
    strayed = out_of((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), area)
    return right, ignored | (~right & strayed[:, None])


def out_of(areas: np.ndarray, area: tuple[float, float]) -> np.ndarray:
    """Which of some areas (n,) lie outside of a range, whose ends belong to it."""
    return (areas < area[0]) | (areas > area[1])


def confusion(
    found: Sequence[Found], split: Split, dataset: Dataset, *, conf: float = 0.25, iou: float = 0.45
) -> np.ndarray:
    """What objects are taken for: (classes + 1, classes + 1) counts, row the class found, column the true one.

    The last column counts detections of nothing, the last row objects that were not found. Detections above `conf` and
    objects that overlap more than `iou` are paired one to one, the greatest overlap first, whatever their classes.
    What lies in a crowd and finds no object does not count.
    """
    nothing = len(dataset.classes)
    counts = np.zeros((nothing + 1, nothing + 1), dtype=np.int64)
    by_id = {image.image_id: image for image in found}
    for record in split.images:
        image = by_id[record.image_id]
        sure = image.scores > conf
        boxes, guesses = image.boxes[sure], image.labels[sure]
        objects, labels = record.boxes[~record.crowd], record.labels[~record.crowd]
        overlap = overlaps(boxes, objects)
        rows, columns = np.nonzero(overlap > iou)
        free_row, free_column = np.ones(len(boxes), dtype=bool), np.ones(len(objects), dtype=bool)
        for pair in np.argsort(-overlap[rows, columns], kind="stable"):  # each pair may use up those after it
            row, column = rows[pair], columns[pair]
            if free_row[row] and free_column[column]:
                free_row[row] = free_column[column] = False
                counts[guesses[row], labels[column]] += 1
        crowded = (overlaps(boxes, record.boxes[record.crowd], of_first=True) > iou).any(axis=1)
        np.add.at(counts[:, nothing], guesses[free_row & ~crowded], 1)
        np.add.at(counts[nothing], labels[free_column], 1)
    return counts


def overlaps(boxes: np.ndarray, others: np.ndarray, *, of_first: bool = False) -> np.ndarray:
    """IoU (n, m) of boxes (n, 4) and others (m, 4), x1, y1, x2, y2; the share of the first met if `of_first`."""
    boxes, others = boxes.astype(np.float64), others.astype(np.float64)
    sizes, other_sizes = (those[:, 2:] - those[:, :2] for those in (boxes, others))
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    # Corner plus size, rounded as pycocotools has it: an overlap of exactly a threshold falls on the same side.
    high = np.minimum((boxes[:, :2] + sizes)[:, None], (others[:, :2] + other_sizes)[None])
    inner = (high - low).clip(min=0).prod(axis=2)
    area, other_area = sizes.prod(axis=1), other_sizes.prod(axis=1)
    whole = area[:, None] + (0 if of_first else other_area[None] - inner)
    return inner / np.maximum(whole, 1e-12)
