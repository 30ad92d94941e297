"""Asynchronous successive halving with several objectives: the best 1/eta of those that reached a rung go on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .curves import Curve
from .hypervolume import contributions
from .pareto import Points, pareto_front
from .stopping import Decision


@dataclass(frozen=True)
class Halving:
    """Stops a trial that is not among the best 1/eta, rounded up, of all that have reached the rung so far.

    Best by non-dominated sorting on score at the rung and costs; of the front that does not fit as a whole, those
    stay that add most to its hypervolume. Nobody waits: a trial is judged among those that came before it.

    Source: Li et al., "A system for massively parallel hyperparameter tuning", arXiv:1810.05934, the variant that
        stops; Schmucker et al., "Multi-objective asynchronous successive halving", arXiv:2106.12639.
    """

    eta: float = 2.0

    def decide(self, history: Sequence[Curve], own: Curve, rung: int) -> Decision:
        pool = {curve.number: curve for curve in (*history, own) if len(curve.scores) >= rung}
        numbers = sorted(pool)
        losses = np.array([(-pool[number].at(rung), *pool[number].costs) for number in numbers])
        keep = math.ceil(len(numbers) / self.eta)
        kept = best(losses, keep)
        words = f"the best {keep} of {len(numbers)} after epoch {rung}"
        if numbers.index(own.number) in kept:
            return Decision(False, f"among {words}")
        return Decision(True, f"{own.at(rung):.3f} after epoch {rung}, not among {words}")


def best(losses: Points, keep: int) -> set[int]:
    """The rows of (n, k), all to be minimised, that come first: by fronts, then by what they add to the last one.

    One row after another leaves the front that does not fit, each time the one that adds least, the last of equals.
    Hypervolume is measured in ranks: no unit or scale of an objective matters.
    """
    left = np.arange(len(losses))
    kept: set[int] = set()
    while len(left):
        front = left[pareto_front(losses[left], ("minimize",) * losses.shape[1])]
        if len(kept) + len(front) > keep:
            return kept | set(_spread(losses, front, keep - len(kept)))
        kept |= set(front.tolist())
        left = np.setdiff1d(left, front)
    return kept


def _spread(losses: Points, front: np.ndarray, keep: int) -> list[int]:
    while len(front) > keep:
        ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in losses[front].T], axis=1)
        added = contributions(ranks.astype(np.float64), np.full(losses.shape[1], len(front), dtype=np.float64))
        least = np.flatnonzero(added == added.min())[-1]
        front = np.delete(front, least)
    return front.tolist()
