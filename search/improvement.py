"""The candidate that is expected to add most to a front of a score and a cost, where the cost is known beforehand.

A detector's cost is counted in a moment, and only its score has to be trained for. So the score alone is modelled, and
the expected improvement of the hypervolume has a closed form: a sum over the steps of the front so far.

Source: Emmerich, Giannakoglou, Naujoks, "Single- and multiobjective evolutionary optimization assisted by Gaussian
    random field metamodels", IEEE TEC 10 (2006), with one objective certain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from scipy.special import ndtr

from .gaussian_process import Array, GaussianProcess

WORD = 0.7  # how far apart two words lie, where the ends of a range lie 1 apart: half the square


@dataclass(frozen=True)
class Seen:
    """A candidate whose score is known; or is under way, where it is None."""

    params: Mapping[str, Any]
    cost: float  # above zero; less is better
    score: float | None  # from 0; more is better


def most_improving(
    distributions: Mapping[str, BaseDistribution], seen: Sequence[Seen], left: Sequence[tuple[Mapping[str, Any], float]]
) -> int:
    """Which of the candidates that are `left`, with their costs, is expected to add most to the hypervolume.

    Hypervolume is measured on the logarithm of the cost, up to the largest one, and from a score of 0. What is under
    way counts as if it came to what is expected of it.
    """
    costs = np.log([*(one.cost for one in seen), *(cost for _, cost in left)])
    largest, span = float(costs.max()), float(np.ptp(costs)) or 1.0
    params = [*(one.params for one in seen), *(params for params, _ in left)]
    inputs = np.column_stack([_inputs(distributions, params), (costs - costs.min()) / span])
    known = np.array([one.score is not None for one in seen])
    scores = np.array([0.0 if one.score is None else one.score for one in seen])
    count = len(seen)
    model = GaussianProcess(inputs[:count][known], scores[known])
    if not known.all():
        scores[~known] = model.predict(inputs[:count][~known])[0]
    mean, deviation = model.predict(inputs[count:])
    return int(np.argmax(expected_improvement(mean, deviation, costs[count:], scores, costs[:count], largest)))


def expected_improvement(
    mean: Array, deviation: Array, cost: Array, scores: Array, costs: Array, largest: float
) -> Array:
    """By how much (m,) hypervolume is expected to grow by candidates of certain cost and normally distributed score.

    Args:
        mean: of the candidates' scores, (m,).
        deviation: their standard deviation, (m,), above zero.
        cost: of the candidates, (m,); less is better.
        scores: of what there is, (n,); more is better, from 0.
        costs: of what there is, (n,).
        largest: the cost up to which volume is measured.
    """
    steps = [(-math.inf, 0.0)]  # from this cost on, this score is there
    for index in np.lexsort((-scores, costs)):
        if scores[index] > steps[-1][1]:
            steps.append((float(costs[index]), float(scores[index])))
    ends = [*(begin for begin, _ in steps[1:]), largest]
    total = np.zeros(len(mean))
    for (begin, level), end in zip(steps, ends, strict=True):
        width = np.clip(min(end, largest) - np.maximum(begin, cost), 0.0, None)
        z = (mean - level) / deviation
        total += width * deviation * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))
    return total


def _inputs(distributions: Mapping[str, BaseDistribution], params: Sequence[Mapping[str, Any]]) -> Array:
    """Numbers (n, d) from 0 to 1, words as a column each."""
    columns: list[list[float]] = []
    for name, kind in distributions.items():
        if isinstance(kind, CategoricalDistribution):
            columns += [[WORD * (one[name] == word) for one in params] for word in kind.choices]
        else:
            low, high = kind.low, kind.high  # type: ignore[attr-defined]
            columns.append([(one[name] - low) / ((high - low) or 1) for one in params])
    return np.array(columns, dtype=np.float64).T
