"""COCO's average precision of images drawn again and again, each as often as a weight says."""

import numpy as np

from .kept_matches import IOUS, KeptMatches

RECALLS = np.linspace(0.0, 1.0, 101)  # at which COCO reads precision off
CELLS = 20_000_000  # of an array at most: so many resamples at a time as keep to it


def resampled_ap(kept: KeptMatches, weights: np.ndarray, area: str = "all") -> np.ndarray:
    """AP (B, 10) at each IoU threshold, the mean over classes, of B resamples.

    Every image counts `weights` times, as if it and its detections were there as often; weights of 1 give the AP that
    was reported. A class of which a resample has no object is left out of its mean; NaN where that is all of them.

    Args:
        kept: the matched detections.
        weights: (B, I) whole numbers, at least 0.
        area: one of those in `kept.areas`.

    Raises:
        ValueError: the weights do not fit the images, or the area was not evaluated.
    """
    if weights.ndim != 2 or weights.shape[1] != len(kept.images):
        raise ValueError(f"weights of shape {weights.shape} are not for {len(kept.images)} images")
    index = kept.areas.tolist().index(area)
    by_class = np.full((len(kept.classes), len(weights), len(IOUS)), np.nan)
    for label in range(len(kept.classes)):
        mine = kept.label == label
        objects = weights @ kept.objects[index, :, label].astype(np.int64)
        step = max(1, CELLS // max(1, np.count_nonzero(mine)))
        for start in range(0, len(weights), step):
            chunk = slice(start, start + step)
            drawn = weights[chunk][:, kept.image[mine]].astype(np.int32)
            by_class[label, chunk] = _of_class(
                drawn, kept.right[index, mine], kept.ignored[index, mine], objects[chunk]
            )
    there = ~np.isnan(by_class)
    with np.errstate(invalid="ignore"):
        return np.where(there, by_class, 0.0).sum(axis=0) / there.sum(axis=0)


def _of_class(drawn: np.ndarray, right: np.ndarray, ignored: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """AP (B, 10) of one class: how often (B, D) each detection, best first, was drawn; (D, 10) flags; (B,) objects.

    Precision is read off at right detections alone: between them it only falls, and recall stands still. One that was
    drawn several times counts as its last copy, which has the greatest precision and recall of them.
    """
    found = np.full((len(drawn), right.shape[1]), np.nan)
    some = objects > 0
    # How many recalls are reached by how many hits (B, most objects + 1), rounded as pycocotools has it.
    recalls = np.arange(objects.max(initial=0) + 1) / np.maximum(objects, 1)[:, None]
    reached_by = np.searchsorted(RECALLS, recalls, side="right").astype(np.int32)
    claimed = None
    for place in range(right.shape[1]):
        if claimed is None or (ignored[:, place] != ignored[:, place - 1]).any():
            claimed = np.cumsum(np.where(ignored[:, place], 0, drawn), axis=1, dtype=np.int32)
        at = np.flatnonzero(right[:, place])
        hits = np.cumsum(drawn[:, at], axis=1, dtype=np.int32)
        precision = hits / np.maximum(claimed[:, at], 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # Recalls that are reached here first.
        first = np.diff(np.take_along_axis(reached_by, hits, axis=1), axis=1, prepend=0)
        found[some, place] = (envelope * first).sum(axis=1)[some] / len(RECALLS)
    return found
