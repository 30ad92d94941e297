"""Asynchronous successive halving with several objectives: the best 1/eta of those that reached a rung go on."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .curves import Curve
from .hypervolume import contributions
from .pareto import Points, pareto_front
from .stopping import Decision

CORNER = 1.1  # up to which hypervolume is measured, the worst of each objective being at 1


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
    Hypervolume is measured with each objective brought to 0 … 1 over all rows, up to 1.1; costs above zero (all columns
    but the first) as their logarithms, as detectors span orders of magnitude.
    """
    unit = unit_losses(losses)
    kept: set[int] = set()
    for front in fronts(losses):
        if len(kept) + len(front) > keep:
            return kept | set(_spread(unit, front, keep - len(kept)))
        kept |= set(front.tolist())
    return kept


def fronts(losses: Points) -> Iterator[NDArray[np.int64]]:
    """The rows of (n, k), all to be minimised, by non-dominated sorting: those of the front, of the next one, …"""
    left = np.arange(len(losses))
    while len(left):
        front = left[pareto_front(losses[left], ("minimize",) * losses.shape[1])]
        yield front
        left = np.setdiff1d(left, front)


def unit_losses(losses: Points) -> Points:
    """Each column of (n, k), a score and costs, from 0 (best) to 1 (worst); costs above zero by their logarithms."""
    columns = [losses[:, 0], *(np.log(costs) if (costs > 0).all() else costs for costs in losses[:, 1:].T)]
    spans = np.stack(columns, axis=1) - np.array([column.min() for column in columns])
    return spans / np.maximum(spans.max(axis=0), np.finfo(np.float64).tiny)


def _spread(unit: Points, front: NDArray[np.int64], keep: int) -> list[int]:
    while len(front) > keep:
        added = contributions(unit[front], np.full(unit.shape[1], CORNER))
        front = np.delete(front, np.flatnonzero(added == added.min())[-1])
    return front.tolist()
