"""Statistics of samples, against closed forms, the standard library and known truths."""

import statistics
from math import comb, exp

import numpy as np
import pytest
from catscale.scaler.latency.samples import interval, ratio, resampled, summary
from hypothesis import given
from hypothesis import strategies as st

TIMES = st.lists(st.floats(0.01, 1e4), min_size=5, max_size=60)


@given(TIMES)
def test_percentiles_are_the_standard_librarys(samples: list[float]) -> None:
    found = summary(samples)
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    assert found.runs == len(samples)
    assert found.median_ms == pytest.approx(statistics.median(samples))
    assert found.iqr_ms == pytest.approx(cuts[74] - cuts[24], abs=1e-9 * max(samples))
    assert (found.p95_ms, found.p99_ms) == pytest.approx((cuts[94], cuts[98]))
    assert min(samples) <= found.low_ms <= found.high_ms <= max(samples)


@given(TIMES, st.sampled_from([0.25, 2.0, 1024.0]))
def test_another_unit_scales_everything_alike(samples: list[float], unit: float) -> None:
    one, other = summary(samples), summary([unit * sample for sample in samples])
    assert other.width == pytest.approx(one.width)
    assert (other.low_ms, other.high_ms) == pytest.approx((unit * one.low_ms, unit * one.high_ms))


def test_single_runs_resampled_give_the_exact_bootstrap_distribution_of_the_median() -> None:
    """At least (n + 1) / 2 of n draws fall on the k smallest samples: a binomial tail. Source: Efron, 1979."""
    n = 15
    medians = np.median(np.arange(n)[resampled(n, block=1)], axis=1)
    for k in range(1, n + 1):
        exact = sum(comb(n, j) * (k / n) ** j * (1 - k / n) ** (n - j) for j in range((n + 1) // 2, n + 1))
        assert np.mean(medians < k) == pytest.approx(exact, abs=0.04)  # of 2000 resamples: 3.5 standard errors


def covered(correlation: float, *, block: int | None, trials: int = 150, n: int = 60) -> float:
    """How often the interval of log-normal samples, each like the one before, holds their true median, 1."""
    random, hits = np.random.default_rng(7), 0
    for _ in range(trials):
        value, samples = random.standard_normal(), []
        for _ in range(n):
            value = correlation * value + (1 - correlation**2) ** 0.5 * random.standard_normal()
            samples.append(exp(0.1 * value))
        low, high = interval(np.median(np.array(samples)[resampled(n, block=block)], axis=1), 0.95)
        hits += low <= 1 <= high
    return hits / trials


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    assert 0.89 <= covered(0, block=None) <= 0.99


def test_blocks_keep_the_interval_honest_where_runs_are_like_the_one_before() -> None:
    singly, in_blocks = covered(0.6, block=1), covered(0.6, block=None)
    assert singly < 0.82
    assert in_blocks >= singly + 0.05


def test_what_slowed_both_in_a_round_does_not_blur_their_ratio() -> None:
    drift = 1 + np.random.default_rng(0).random(50)
    paired, apart = ratio(1.1 * drift, drift), ratio(1.1 * drift, drift, paired=False)
    assert (paired.value, paired.low, paired.high) == pytest.approx((1.1, 1.1, 1.1))
    assert not paired.within_noise
    assert apart.low < 1 < apart.high
    assert apart.within_noise


@given(TIMES)
def test_a_graph_beside_itself_is_within_noise(samples: list[float]) -> None:
    found = ratio(samples, samples)
    assert found.value == 1
    assert found.within_noise


def test_samples_of_other_rounds_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="5 and 6 samples are not of the same rounds"):
        ratio([1.0] * 5, [1.0] * 6)
