"""The Pareto front of any number of objectives, and its knee. Numbers in, numbers out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .quantities import Direction

Points = NDArray[np.float64]


def pareto_front(points: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.int64]:
    """Rows of `points` (n, k) that no other row dominates, in ascending order.

    A row dominates another where it is nowhere worse and somewhere better; equal rows stay together. A row with NaN
    is never on the front. Two objectives take O(n log n); more take O(n x front).

    Raises:
        ValueError: the directions do not fit the columns.
    """
    losses = as_losses(points, directions)
    valid = np.flatnonzero(~np.isnan(losses).any(axis=1))
    kept = _front_2d(losses[valid]) if losses.shape[1] == 2 else _front(losses[valid])
    return np.sort(valid[kept])


def knee(points: ArrayLike, directions: Sequence[Direction]) -> int:
    """The row of the front where gaining in one objective begins to cost much in the others.

    Each objective is brought to 0 (best on the front) … 1 (worst on it); the knee has the smallest sum. With two
    objectives that is the point furthest from the line through the two ends of the front. The first of equals.

    Raises:
        ValueError: there is no point without NaN, or the directions do not fit.
    """
    front = pareto_front(points, directions)
    if not len(front):
        raise ValueError("no point to choose from")
    losses = as_losses(points, directions)[front]
    low, high = losses.min(axis=0), losses.max(axis=0)
    return int(front[np.argmin(((losses - low) / np.where(high > low, high - low, 1.0)).sum(axis=1))])


def as_losses(points: ArrayLike, directions: Sequence[Direction]) -> Points:
    """Every objective as one to minimise."""
    values = np.asarray(points, dtype=np.float64).reshape(-1, len(directions))
    if set(directions) - {"maximize", "minimize"}:
        raise ValueError(f"directions are maximize or minimize, not {list(directions)}")
    return values * np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])


def _front_2d(losses: Points) -> NDArray[np.int64]:
    """By the first objective, then the second, each row must beat the best second so far, or equal its holder."""
    order = np.lexsort((losses[:, 1], losses[:, 0]))
    first, second = losses[order].T
    best_before = np.minimum.accumulate(np.concatenate(([np.inf], second)))[:-1]
    leads = second < best_before
    holder = np.maximum.accumulate(np.where(leads, np.arange(len(order)), 0)) if len(order) else order
    equal = (first == first[holder]) & (second == second[holder]) if len(order) else leads
    return order[leads | equal]


def _front(losses: Points) -> NDArray[np.int64]:
    """The lexicographically first of the rows left is on the front; what it dominates goes; and so on."""
    order = np.lexsort(losses.T[::-1])
    left = losses[order]
    kept: list[int] = []
    while len(order):
        leader = left[0]
        same = (left == leader).all(axis=1)
        kept.extend(order[same])
        stays = (left < leader).any(axis=1)
        order, left = order[stays], left[stays]
    return np.array(kept, dtype=np.int64)
