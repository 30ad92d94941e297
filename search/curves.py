"""Learning curves, and where one that has begun will end, by those that have ended. Numbers in, numbers out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

CONFIDENCE = 0.9  # of the upper end of an extrapolation, and of the lower


@dataclass(frozen=True)
class Curve:
    """A trial's score, of which more is better, after each of its epochs so far, and its costs, of which less is."""

    number: int  # of the trial
    scores: tuple[float, ...]  # of its best epoch until then, as a trial's result is that of its best epoch
    costs: tuple[float, ...] = ()  # known before training
    final: float | None = None  # after the whole training; None while it lasts, and where it was stopped

    def at(self, epoch: int) -> float:
        """The score after an epoch, counted from 1; of a training that ended before by itself, its last."""
        return self.scores[min(epoch, len(self.scores)) - 1]

    def until(self, epoch: int) -> "Curve":
        """The curve as it was after an epoch."""
        return Curve(self.number, self.scores[:epoch], self.costs)


@dataclass(frozen=True)
class Interval:
    """Where a trial's final score is expected."""

    low: float
    middle: float
    high: float


def best_so_far(scores: Iterable[float]) -> tuple[float, ...]:
    """The greatest score until each epoch."""
    return tuple(accumulate(scores, max))


def extrapolated(own: Curve, finished: Sequence[Curve], confidence: float = CONFIDENCE) -> Interval | None:
    """The final score of a curve; None where too few `finished` ones say how wrong that would be.

    What a curve gains from here to its end is regressed, over the finished ones, on its score here and on its gain
    since half as many epochs. The error is that of each finished one as foretold by the others: the upper end holds
    with the probability `confidence` where the new curve is one like them, as does the lower end.

    Source: the jackknife+ of Barber et al., "Predictive inference with the jackknife+", arXiv:1905.02928, without its
        spread of the predictions. Regressing the end on the part seen: Baker et al., arXiv:1705.10823.
    """
    epoch = len(own.scores)
    finished = sorted((curve for curve in finished if curve.final is not None), key=lambda curve: curve.number)
    rank = math.ceil((len(finished) + 1) * confidence)
    if rank > len(finished):
        return None
    seen = np.array([_features(curve, epoch) for curve in finished])
    centre, scale = seen.mean(axis=0), seen.std(axis=0)
    columns = (seen - centre) / np.where(scale > 0, scale, 1.0)
    gains = np.array([(curve.final or 0.0) - curve.at(epoch) for curve in finished])
    # One finished curve's weight pulls the slopes to 0, so that a few curves alike do not make steep ones.
    inverse = np.linalg.inv(columns.T @ columns + np.eye(2))
    slopes = inverse @ columns.T @ gains
    leverage = 1 / len(finished) + np.einsum("ij,jk,ik->i", columns, inverse, columns)
    errors = np.sort((gains - gains.mean() - columns @ slopes) / (1 - leverage))
    here = (np.array(_features(own, epoch)) - centre) / np.where(scale > 0, scale, 1.0)
    middle = own.at(epoch) + gains.mean() + here @ slopes
    ends = middle + errors[len(finished) - rank], middle, middle + errors[rank - 1]
    return Interval(*(max(float(end), own.at(epoch)) for end in ends))


def expected_end(own: Curve | None, history: Sequence[Curve]) -> float | None:
    """What a curve's whole training came to, or is expected to; None where there is no telling."""
    if own is None or own.final is not None:
        return None if own is None else own.final
    expected = extrapolated(own, [curve for curve in history if curve.number != own.number])
    return None if expected is None else expected.middle


def _features(curve: Curve, epoch: int) -> tuple[float, float]:
    return curve.at(epoch), curve.at(epoch) - curve.at(max(epoch // 2, 1))
