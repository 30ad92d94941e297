"""Precision, recall and F1 of a detector's classes, over recall and over the confidence that is asked for."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .matching import Matches

CONFIDENCES = np.linspace(0, 1, 201)
RECALLS = np.linspace(0, 1, 101)  # at which COCO reads precision off


@dataclass(frozen=True, eq=False)
class Curves:
    """One row for each class; a class without objects is NaN throughout. At IoU 0.5."""

    names: tuple[str, ...]
    precision: np.ndarray  # (classes, 201) of detections with at least each of `CONFIDENCES`; 1 where there are none
    recall: np.ndarray  # (classes, 201)
    f1: np.ndarray  # (classes, 201)
    precision_at_recall: np.ndarray  # (classes, 101), the greatest at this recall or above

    @property
    def best(self) -> tuple[float, float]:
        """The confidence at which the mean F1 is greatest, and that F1."""
        mean = mean_of(self.f1)
        return float(CONFIDENCES[mean.argmax()]), float(mean.max())

    def to_json(self) -> dict[str, Any]:
        """Plain data, None for NaN."""
        confidence, f1 = self.best
        rows = {key: _plain(value) for key, value in asdict(self).items() if isinstance(value, np.ndarray)}
        axes = {"confidence": CONFIDENCES.round(4).tolist(), "recall_points": RECALLS.round(4).tolist()}
        return {"iou": 0.5, "best_confidence": confidence, "best_f1": f1, "names": self.names} | axes | rows


def curves_of(matches: Sequence[Matches], names: Sequence[str]) -> Curves:
    """The curves of classes whose detections were matched at IoU 0.5."""
    rows = [_rows(one) for one in matches]
    precision, recall, at_recall = (np.stack([row[index] for row in rows]) for index in range(3))
    both = np.maximum(precision + recall, 1e-12)
    return Curves(tuple(names), precision, recall, 2 * precision * recall / both, at_recall)


def mean_of(rows: np.ndarray) -> np.ndarray:
    """The mean over the classes (first axis) that have objects."""
    return rows[~np.isnan(rows).any(axis=1)].mean(axis=0)


def _rows(one: Matches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision and recall at each confidence, and precision at each recall."""
    if not one.objects:
        return tuple(np.full(len(axis), np.nan) for axis in (CONFIDENCES, CONFIDENCES, RECALLS))  # type: ignore[return-value]
    claimed = np.arange(len(one.scores) + 1)
    right = np.concatenate(([0], one.right.cumsum()))
    precision, recall = np.where(claimed > 0, right / np.maximum(claimed, 1), 1.0), right / one.objects
    taken = np.searchsorted(-one.scores, -CONFIDENCES, side="right")  # detections at least as sure
    envelope = np.maximum.accumulate(precision[:0:-1])[::-1]
    reached = np.searchsorted(recall[1:], RECALLS, side="left")
    at_recall = np.concatenate((envelope, [0.0]))[reached]
    return precision[taken], recall[taken], at_recall


def _plain(rows: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else round(float(value), 5) for value in row] for row in rows]
