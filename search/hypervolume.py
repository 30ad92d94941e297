"""What points dominate up to a reference point, exactly, in any number of objectives; and what each adds to it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .pareto import Points, as_losses, pareto_front
from .quantities import Direction


def hypervolume(points: ArrayLike, directions: Sequence[Direction], reference: Sequence[float]) -> float:
    """The volume that rows of `points` (n, k) dominate up to a `reference` point (k,); rows beyond it add nothing.

    Two objectives take O(n log n), three O(n^2 log n), and each further one a factor of up to n.

    Raises:
        ValueError: the directions do not fit the columns.
    """
    corner = as_losses([reference], directions)[0]
    losses = as_losses(points, directions)
    return _volume(losses[(losses < corner).all(axis=1)], corner)


def contributions(losses: Points, corner: NDArray[np.float64]) -> NDArray[np.float64]:
    """The volume (n,) that each of (n, k) points, all to be minimised and none dominated, alone dominates."""
    if losses.shape[1] == 2:
        order = np.lexsort((losses[:, 1], losses[:, 0]))
        x, y = np.minimum(losses[order], corner).T
        alone = (np.append(x[1:], corner[0]) - x) * (np.append(corner[1], y[:-1]) - y)
        return alone[np.argsort(order)]
    inside = np.minimum(losses, corner)
    return np.array(
        [
            np.prod(corner - point) - _volume(np.maximum(np.delete(inside, index, axis=0), point), corner)
            for index, point in enumerate(inside)
        ]
    )


def _volume(losses: Points, corner: NDArray[np.float64]) -> float:
    """By the last objective from its worst value on, each point adds what no better one dominates, a slice thick.

    In that slice the better ones are as deep as the point, so that what they share with it has one objective fewer.
    Source: While, Bradstreet, Barone, "A fast way of calculating exact hypervolumes", IEEE TEC 16 (2012).
    """
    front = losses[pareto_front(losses, ("minimize",) * len(corner))]
    if len(corner) == 1:
        return float((corner - front.min(axis=0, initial=corner[0])).item()) if len(front) else 0.0
    if len(corner) == 2:
        x, y = front[np.lexsort((front[:, 1], front[:, 0]))].T
        return float(np.sum((corner[0] - x) * (np.append(corner[1], y[:-1])[: len(y)] - y)))
    front = front[np.argsort(-front[:, -1], kind="stable")]
    total = 0.0
    for index, point in enumerate(front):
        shared = _volume(np.maximum(front[index + 1 :, :-1], point[:-1]), corner[:-1])
        total += (corner[-1] - point[-1]) * (np.prod(corner[:-1] - point[:-1]) - shared)
    return float(total)
