"""What several seeds say of a few detectors: means, differences beside the noise, ranks. Numbers in, numbers out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import kendalltau, spearmanr, t

CONFIDENCE = 0.95  # of the interval of a difference

Scores = Mapping[int, Mapping[int, float]]  # by the number of a trial, AP by seed


@dataclass(frozen=True)
class Mean:
    """A detector's AP over its seeds."""

    number: int  # of the trial
    mean: float
    spread: float | None  # standard deviation between seeds; None of a single one
    seeds: int


@dataclass(frozen=True)
class Difference:
    """By how much one detector is better than another, over the seeds that both were trained with."""

    better: int  # numbers of trials
    worse: int
    mean: float
    low: float | None  # the interval of the mean; None with a single seed
    high: float | None
    seeds: int

    @property
    def inside_the_noise(self) -> bool | None:
        """Whether the interval holds 0: no difference was shown. None where one seed cannot say."""
        return None if self.low is None or self.high is None else self.low <= 0 <= self.high

    @property
    def words(self) -> str:
        """For a person."""
        difference = f"trial {self.better} is {self.mean:.4f} AP above trial {self.worse}"
        if self.low is None or self.high is None:
            return f"{difference}; a single seed does not tell the noise"
        seeds = f"{CONFIDENCE:.0%}, {self.seeds} seeds"
        verdict = "inside the noise" if self.inside_the_noise else "beyond the noise"
        return f"{difference} ({self.low:+.4f} to {self.high:+.4f}, {seeds}): {verdict}"


@dataclass(frozen=True)
class Agreement:
    """How far two orders of the same detectors agree: 1 the same, 0 none, -1 reversed."""

    kendall: float
    spearman: float
    chance: float  # probability that a random order agrees as well or better, by Kendall's tau
    kendall_low: float  # over single seeds, the least and the greatest
    kendall_high: float
    detectors: int

    @property
    def words(self) -> str:
        """For a person."""
        return (
            f"rank correlation of AP in the study and in full: Kendall {self.kendall:+.2f} (single seeds "
            f"{self.kendall_low:+.2f} to {self.kendall_high:+.2f}), Spearman {self.spearman:+.2f}, of {self.detectors} "
            f"detectors; a random order agrees as well with probability {self.chance:.2f}"
        )


def means(scores: Scores) -> list[Mean]:
    """Each detector's mean, the best first."""
    found = []
    for number, by_seed in scores.items():
        values = np.array(list(by_seed.values()), dtype=np.float64)
        spread = float(values.std(ddof=1)) if len(values) > 1 else None
        found.append(Mean(number, float(values.mean()), spread, len(values)))
    return sorted(found, key=lambda it: (-it.mean, it.number))


def neighbours(scores: Scores) -> list[Difference]:
    """Each detector against the next one in the order of their means.

    Differences are paired by seed: what a seed does to both alike is no noise of their difference. The interval is
    Student's, of the mean of differences that are taken to be normal.
    """
    order = [it.number for it in means(scores)]
    return [_difference(scores, better, worse) for better, worse in pairwise(order)]


def agreement(study: Mapping[int, float], scores: Scores) -> Agreement | None:
    """How far the order of some detectors in the study foretold that of their means in full.

    None where there is no order to compare: fewer than two detectors, or all alike in one of the two.

    Args:
        study: AP in the study, by the number of a trial.
        scores: of the same trials.
    """
    numbers = list(scores)
    low = [study[number] for number in numbers]
    full = [float(np.mean(list(scores[number].values()))) for number in numbers]
    if len(set(low)) < 2 or len(set(full)) < 2:
        return None
    seeds = set.intersection(*(set(by_seed) for by_seed in scores.values()))
    singles = [_kendall(low, [scores[number][seed] for number in numbers])[0] for seed in sorted(seeds)]
    tau, chance = _kendall(low, full)
    known = [single for single in singles if math.isfinite(single)] or [tau]
    rho = np.asarray(spearmanr(low, full), dtype=np.float64)[0]
    return Agreement(tau, float(rho), chance, min(known), max(known), len(numbers))


def _difference(scores: Scores, better: int, worse: int) -> Difference:
    shared = sorted(scores[better].keys() & scores[worse].keys())
    gaps = np.array([scores[better][seed] - scores[worse][seed] for seed in shared], dtype=np.float64)
    mean = float(gaps.mean())
    if len(gaps) < 2:
        return Difference(better, worse, mean, None, None, len(gaps))
    off = float(t.ppf((1 + CONFIDENCE) / 2, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps)))
    return Difference(better, worse, mean, mean - off, mean + off, len(gaps))


def _kendall(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Tau, and the probability of as high a one in a random order: exact where no two are equal."""
    tau, probability = np.asarray(kendalltau(one, other, alternative="greater"), dtype=np.float64).tolist()
    return tau, probability
