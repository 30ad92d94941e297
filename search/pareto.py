"""The Pareto front of any number of objectives, and its knee. Numbers in, numbers out."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .quantities import Direction

Points = NDArray[np.float64]
MANY = 1000  # rows from which thinning them out, or a library, is worth its while
FAVOURED = 3.0  # how much more one objective counts in the choice of a row that leads in it


def pareto_front(points: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.int64]:
    """Rows of `points` (n, k) that no other row dominates, in ascending order.

    A row dominates another where it is nowhere worse and somewhere better; equal rows stay together. A row with NaN
    is never on the front. One or two objectives take O(n log n); more take O(n x front), or much less where moocore is
    installed (the extra `front`).

    Raises:
        ValueError: the directions do not fit the columns.
    """
    losses = as_losses(points, directions)
    rows = np.flatnonzero(~np.isnan(losses).any(axis=1))
    rows = rows[_thinned(losses[rows])]
    return np.sort(rows[_among(losses[rows])])


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


def _thinned(losses: Points) -> NDArray[np.int64]:
    """The rows that are left when what a few good ones dominate is gone: of a large cloud, few.

    Any row may be chosen for that: it takes away only what it dominates.
    """
    left = np.arange(len(losses))
    if len(left) < MANY or not losses.shape[1]:
        return left
    low, high = losses.min(axis=0), losses.max(axis=0)
    with np.errstate(invalid="ignore"):  # infinities have no place between low and high, and lead nothing
        places = np.nan_to_num((losses - low) / np.where(high > low, high - low, 1.0), nan=1.0, posinf=1.0)
    weights = np.vstack((np.ones(len(low)), 1 + FAVOURED * np.eye(len(low))))
    for leader in losses[[np.argmin(places @ weight) for weight in weights]]:
        rows = losses[left]
        left = left[(rows < leader).any(axis=1) | (rows == leader).all(axis=1)]
    return left


def _among(losses: Points) -> NDArray[np.int64]:
    if losses.shape[1] == 1:
        return np.flatnonzero(losses[:, 0] == losses[:, 0].min(initial=np.inf))
    if losses.shape[1] == 2:
        return _front_2d(losses)
    if len(losses) >= MANY and find_spec("moocore"):
        from moocore import is_nondominated

        # Ranks say the same, and are finite: infinities end moocore 0.3 with a segmentation fault.
        ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in losses.T], axis=1)
        return np.flatnonzero(is_nondominated(ranks.astype(np.float64), keep_weakly=True))
    return _front(losses)


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
