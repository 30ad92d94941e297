"""Anchors that suit the objects of a data set: how many objects find one, and a better set where too few do. No torch.

An anchor fits an object where neither side differs by a factor `anchor_t`: the assigner's own rule. The worse of the
two ratios min(r, 1/r) is exp(-d), d being the larger of the two differences of the logarithms of their sides. So
anchors are fitted in log space, where the rule is a distance.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..blocks.errors import InputError
from ..blocks.heads import HEAD_WORDS
from ..blocks.levels import Anchors
from ..scaler.architecture import Architecture
from ..scaler.stages import given_anchors
from .data.records import Split
from .recipe import Wanted

ENOUGH = 0.98  # of the objects; below it, `auto` fits anchors. Source: YOLOv7 as released
SMALLEST_PX = 2.0  # anchors are no smaller, and objects with no side as long are not fitted to. Source: as above
STARTS, ITERATIONS = 5, 30  # of k-means; it goes on from the best
GENERATIONS = 1000
MUTATED, SIGMA = 0.9, 0.1  # share of sides that change in a generation, and by how much. Source: YOLOv7 as released
MOST_OBJECTS = 5000  # drawn from a larger set to fit to; the recall is that of all
BLOCK = 65536  # objects at a time


@dataclass(frozen=True)
class Recall:
    """How a set of anchors suits objects."""

    found: float  # share of objects that an anchor fits: the best possible recall
    ratio: float  # mean over objects of the best anchor's worse ratio of sides; 1 is an anchor of that very size
    anchors_per_object: float  # that fit it


@dataclass(frozen=True)
class Settled:
    """An architecture with the anchors that it is to be trained with."""

    arch: Architecture
    before: Recall
    after: Recall

    @property
    def changed(self) -> bool:
        return self.before != self.after

    def __str__(self) -> str:
        before, after = self.before, self.after
        return (
            f"anchors {'changed' if self.changed else 'kept'}: {before.found:.4f} of the objects find one before, "
            f"{after.found:.4f} after; mean ratio of sides {before.ratio:.3f} before, {after.ratio:.3f} after"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        levels = [[side for anchor in level for side in anchor] for level in self.arch.anchors]
        return {"anchors": levels, "before": asdict(self.before), "after": asdict(self.after)}


def check_anchored(arch: Architecture) -> None:
    """Raise an InputError where a detector's head has no anchors."""
    if not arch.head.anchored:
        raise InputError(f"{arch.name}: anchors: its head, {HEAD_WORDS[type(arch.head)]}, has none to fit")


def settle_anchors(
    arch: Architecture, split: Split, wanted: Wanted, *, size_px: int, anchor_t: float, seed: int
) -> Settled:
    """The anchors that a training begins with: those of the architecture, fitted ones, or given ones.

    `auto` keeps the architecture's where 98 % of the objects find one, and where fitted ones are found by no more.

    Args:
        arch: the detector; levels and anchors for each level stay as many, unless they are given.
        split: what is learnt from.
        wanted: "auto", "keep", or for each level, finest first, widths and heights in px: [[10, 13, 16, 30], ...].
        size_px: side of the input.
        anchor_t: largest factor between the sides of an object and an anchor that fits it.
        seed: the same seed gives the same anchors.

    Raises:
        InputError: given anchors do not fit the architecture, or the split has no objects.
    """
    sizes = object_sizes(split, size_px)
    before = recall(sizes, arch.anchors, anchor_t)
    if wanted == "keep" or (wanted == "auto" and before.found >= ENOUGH):
        return Settled(arch, before, before)
    if wanted != "auto":
        given = arch.replace(anchors=given_anchors(arch, wanted))
        return Settled(given, before, recall(sizes, given.anchors, anchor_t))
    fitted = fit_anchors(arch, sizes, anchor_t=anchor_t, seed=seed)
    return fitted if fitted.after.found > before.found else Settled(arch, before, before)


def object_sizes(split: Split, size_px: int) -> np.ndarray:
    """Widths and heights of the objects in px of an input that the longer side of their image fills: (n, 2) float64.

    Crowds are left out.

    Raises:
        InputError: there are none.
    """
    parts = (
        (record.boxes[:, 2:] - record.boxes[:, :2])[~record.crowd] * (size_px / max(record.width, record.height))
        for record in split.images
    )
    sizes = np.concatenate([np.empty((0, 2)), *parts])
    if not len(sizes):
        raise InputError(f"anchors: split {split.name!r} has no objects to fit them to; annotate some")
    return sizes


def recall(sizes: np.ndarray, anchors: Sequence[Anchors], anchor_t: float) -> Recall:
    """How the anchors of all levels together suit objects of (n, 2) px."""
    centres = _log([anchor for level in anchors for anchor in level])
    found = ratio = fitting = 0.0
    for start in range(0, len(sizes), BLOCK):
        distance = _distances(_log(sizes[start : start + BLOCK]), centres)
        nearest = distance.min(axis=0)
        found += (nearest < np.log(anchor_t)).sum()
        fitting += (distance < np.log(anchor_t)).sum()
        ratio += np.exp(-nearest).sum()
    return Recall(*(round(float(total) / len(sizes), 6) for total in (found, ratio, fitting)))


def fit_anchors(arch: Architecture, sizes: np.ndarray, *, anchor_t: float, seed: int) -> Settled:
    """Fit as many anchors as the architecture has to objects of (n, 2) px; larger anchors go to coarser levels.

    k-means, then mutation: a change of all sides stays where the mean ratio of the best anchors that fit is higher.

    Source: YOLO9000, arXiv:1612.08242, section 2 (k-means of box sizes); YOLOv7 as released (mutation, its constants
        and its measure). k-means here is of logarithms, where the source divides sizes by their deviation.

    Raises:
        InputError: the head has no anchors.
    """
    check_anchored(arch)
    rng = np.random.default_rng(seed)
    counts = [len(level) for level in arch.anchors]
    large = sizes[(sizes >= SMALLEST_PX).any(axis=1)]
    logs = _log(large if len(large) else sizes)
    if len(logs) > MOST_OBJECTS:
        logs = logs[rng.choice(len(logs), MOST_OBJECTS, replace=False)]
    starts = [np.maximum(_k_means(logs, sum(counts), rng), np.log(SMALLEST_PX)) for _ in range(STARTS)]
    score, first = max((_fitness(logs, start, anchor_t), number) for number, start in enumerate(starts))
    best = starts[first]
    for _ in range(GENERATIONS):
        chance, size, direction = rng.random(best.shape), rng.random(), rng.standard_normal(best.shape)
        factors = np.clip(1 + (chance < MUTATED) * size * direction * SIGMA, 0.3, 3)
        mutant = np.maximum(best + np.log(factors), np.log(SMALLEST_PX))
        if (its_score := _fitness(logs, mutant, anchor_t)) > score:
            best, score = mutant, its_score
    by_area = np.exp(best[np.argsort(best.sum(axis=1), kind="stable")]).round(1)
    levels = np.split(by_area, np.cumsum(counts)[:-1])
    fitted = arch.replace(anchors=tuple(tuple(map(tuple, level.tolist())) for level in levels))
    return Settled(fitted, *(recall(sizes, it.anchors, anchor_t) for it in (arch, fitted)))


def _log(sizes: Any) -> np.ndarray:
    """Logarithms of (n, 2) sides in px; those of objects thinner than a thousandth are that of a thousandth."""
    return np.log(np.maximum(np.asarray(sizes, dtype=np.float64), 1e-3))


def _distances(logs: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The larger difference of the logarithms of the sides, of each anchor (K, 2) from each object (n, 2): (K, n)."""
    across, down = (np.abs(centres[:, side, None] - logs[None, :, side]) for side in range(2))
    return np.maximum(across, down, out=across)


def _fitness(logs: np.ndarray, centres: np.ndarray, anchor_t: float) -> float:
    """Mean over objects of the best anchor's worse ratio of sides, 0 where none fits."""
    nearest = _distances(logs, centres).min(axis=0)
    return float((np.exp(-nearest) * (nearest < np.log(anchor_t))).mean())


def _k_means(logs: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Centres (count, 2) of points (n, 2), begun with k-means++."""
    centres = logs[rng.integers(len(logs), size=1)]
    squares = ((logs - centres[0]) ** 2).sum(axis=1)
    while len(centres) < count:
        weights = squares if squares.any() else np.ones(len(logs))  # fewer different points than centres
        centres = np.vstack([centres, logs[rng.choice(len(logs), p=weights / weights.sum())]])
        squares = np.minimum(squares, ((logs - centres[-1]) ** 2).sum(axis=1))
    for _ in range(ITERATIONS):
        owner = ((logs[None] - centres[:, None]) ** 2).sum(axis=2).argmin(axis=0)
        sizes = np.bincount(owner, minlength=count)
        sums = np.stack([np.bincount(owner, weights=logs[:, side], minlength=count) for side in range(2)], axis=1)
        moved = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres
