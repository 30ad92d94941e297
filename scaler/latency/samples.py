"""Statistics of timed runs: a median with its interval, and the ratio of two. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
SEED = 0  # equal samples give equal intervals


@dataclass(frozen=True, slots=True)
class Summary:
    """What timed runs say, in milliseconds; `low_ms` to `high_ms` is the median's confidence interval."""

    runs: int
    median_ms: float
    low_ms: float
    high_ms: float
    iqr_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def width(self) -> float:
        """Of the interval, as a share of the median."""
        return (self.high_ms - self.low_ms) / self.median_ms


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long one takes as another, with its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Whether the interval holds 1: no difference was shown."""
        return self.low <= 1 <= self.high


def summary(samples_ms: Sequence[float], confidence: float = 0.95) -> Summary:
    """Median, its bootstrap interval, interquartile range and tail of at least one run.

    Percentiles are interpolated linearly; the interval is a percentile interval of resampled blocks (`resampled`).
    """
    samples = np.asarray(samples_ms, dtype=float)
    low, high = interval(np.median(samples[resampled(len(samples))], axis=1), confidence)
    quarter, median, three_quarters, p95, p99 = np.percentile(samples, [25, 50, 75, 95, 99])
    return Summary(len(samples), *map(float, (median, low, high, three_quarters - quarter, p95, p99)))


def ratio(
    samples_ms: Sequence[float], base_ms: Sequence[float], confidence: float = 0.95, *, paired: bool = True
) -> Ratio:
    """Ratio of the medians of two graphs, with its interval.

    Args:
        samples_ms: of the one graph.
        base_ms: of the other, by which is divided.
        confidence: of the interval.
        paired: both were taken in the same rounds, one sample of each; a round is then resampled as one, so that what
            slowed both does not widen the ratio's interval.
    """
    samples, base = np.asarray(samples_ms, dtype=float), np.asarray(base_ms, dtype=float)
    if paired and len(samples) != len(base):
        raise ValueError(f"{len(samples)} and {len(base)} samples are not of the same rounds")
    rounds = resampled(len(samples))
    other = rounds if paired else resampled(len(base), seed=SEED + 1)
    ratios = np.median(samples[rounds], axis=1) / np.median(base[other], axis=1)
    return Ratio(float(np.median(samples) / np.median(base)), *interval(ratios, confidence))


def resampled(count: int, *, seed: int = SEED, block: int | None = None, times: int = RESAMPLES) -> np.ndarray:
    """Positions (times, count) of a circular block bootstrap.

    Runs that follow each other are alike, as clocks and neighbours change slowly; taken singly they would make the
    interval too narrow. Blocks of `count ** (1 / 3)` runs keep that likeness. Source: Politis and Romano, 1992;
    Hall, Horowitz and Jing, 1995, for the length.
    """
    block = block or max(1, round(count ** (1 / 3)))
    starts = np.random.default_rng(seed).integers(count, size=(times, -(-count // block)))
    positions = (starts[..., None] + np.arange(block)) % count
    return positions.reshape(times, -1)[:, :count]


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """The middle `confidence` of resampled values."""
    low, high = np.percentile(values, [50 * (1 - confidence), 50 * (1 + confidence)])
    return float(low), float(high)
