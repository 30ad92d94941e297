"""Whether a trial that has reached a rung is worth the rest of its training. Pure functions of the curves so far.

A rung is an epoch after which is decided. A decision follows from the set of curves alone, not from their order, so
that many workers may decide at the same time, each on what it finds in the storage.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from .curves import CONFIDENCE, Curve, Interval, extrapolated


@dataclass(frozen=True)
class Decision:
    """Whether to stop, and why, or why not."""

    stop: bool
    reason: str
    predicted: Interval | None = None  # final score, where it was asked for


class Stopper(Protocol):
    """Decides at rungs."""

    def decide(self, history: Sequence[Curve], own: Curve, rung: int) -> Decision:
        """Decide on a trial.

        Args:
            history: the curves of the study's trials: finished, stopped and under way; `own` may be among them.
            own: that of the trial, until the rung at least.
            rung: after which epoch, counted from 1.
        """
        ...


@dataclass(frozen=True)
class FrontStopper:
    """Stops what cannot reach the front at its own cost.

    That is: a finished trial costs no more in any objective, and its score is above the upper end of where this
    trial's is expected. Whatever the trial would come to, the other would dominate it.
    """

    confidence: float = CONFIDENCE
    predict: Callable[[Curve, Sequence[Curve], float], Interval | None] = extrapolated

    def decide(self, history: Sequence[Curve], own: Curve, rung: int) -> Decision:
        finished = [curve for curve in history if curve.final is not None and curve.number != own.number]
        cheaper = [curve for curve in finished if _costs_no_more(curve, own)]
        if not cheaper:
            return Decision(False, "nothing finished costs as little")
        predicted = self.predict(own.until(rung), finished, self.confidence)
        if predicted is None:
            return Decision(False, f"{len(finished)} finished trials are too few to tell where it would end")
        best = max(cheaper, key=lambda curve: (curve.final or 0.0, -curve.number))
        score = best.final or 0.0
        words = f"{own.at(rung):.3f} after epoch {rung}, expected to end at {predicted.middle:.3f}"
        if predicted.high < score:
            why = f"{words}, at most {predicted.high:.3f}; trial {best.number} has {score:.3f} and costs no more"
            return Decision(True, why, predicted)
        return Decision(False, f"{words}, perhaps {predicted.high:.3f}; it may reach the front", predicted)


def most_promising(history: Sequence[Curve], stopped: Collection[int]) -> int | None:
    """Which of the `stopped` trials to take up again when nothing new is left to try; None where there is none.

    The one that was furthest above, or least below, every finished trial that costs no more, after as many epochs.
    """
    finished = [curve for curve in history if curve.final is not None]

    def lead(curve: Curve) -> float:
        epoch = len(curve.scores)
        rivals = [rival.at(epoch) for rival in finished if _costs_no_more(rival, curve)]
        return curve.at(epoch) - max(rivals, default=0.0)

    found = [curve for curve in history if curve.number in stopped]
    return max(found, key=lambda curve: (lead(curve), -curve.number)).number if found else None


def default_rungs(epochs: int) -> tuple[int, ...]:
    """After a quarter, a half and three quarters of the epochs; never after the last."""
    return tuple(sorted({rung for share in (1, 2, 3) if 0 < (rung := epochs * share // 4) < epochs}))


def _costs_no_more(one: Curve, other: Curve) -> bool:
    return all(cost <= bound for cost, bound in zip(one.costs, other.costs, strict=True))
