"""What several seeds say of a few detectors. Expected numbers are worked out by hand."""

import math

import pytest
from catscale.search.repeats import agreement, means, neighbours

# Trial 1 is 0.01, 0.02 and 0.03 above trial 2, seed by seed, though each varies by far more between seeds.
PAIRED = {1: {5: 0.31, 6: 0.52, 7: 0.13}, 2: {5: 0.30, 6: 0.50, 7: 0.10}}


def test_means_come_with_the_standard_deviation_between_seeds() -> None:
    best, other = means({2: {0: 0.1, 1: 0.3}, 1: {0: 0.5}})
    assert (best.number, best.mean, best.spread) == (1, 0.5, None)
    assert other.mean == pytest.approx(0.2)
    assert other.spread == pytest.approx(0.2 / math.sqrt(2))


def test_differences_are_paired_by_seed() -> None:
    (found,) = neighbours(PAIRED)
    off = 4.302653 * 0.01 / math.sqrt(3)  # Student's 97.5 % quantile of two degrees of freedom
    assert (found.better, found.worse) == (1, 2)
    assert (found.low, found.high) == (pytest.approx(0.02 - off, abs=1e-6), pytest.approx(0.02 + off, abs=1e-6))
    assert found.inside_the_noise
    assert found.words == ("trial 1 is 0.0200 AP above trial 2 (-0.0048 to +0.0448, 95%, 3 seeds): inside the noise")


def test_a_difference_whose_interval_is_above_0_is_beyond_the_noise() -> None:
    (found,) = neighbours({1: {0: 0.50, 1: 0.51, 2: 0.49}, 2: {0: 0.30, 1: 0.311, 2: 0.291}})
    assert found.inside_the_noise is False
    assert found.words.endswith("beyond the noise")


def test_a_single_seed_tells_no_noise() -> None:
    (found,) = neighbours({1: {0: 0.5}, 2: {0: 0.3}})
    assert found.inside_the_noise is None
    assert found.words == "trial 1 is 0.2000 AP above trial 2; a single seed does not tell the noise"


def test_each_is_held_against_the_next_in_the_order_of_means() -> None:
    found = neighbours({4: {0: 0.1, 1: 0.1}, 5: {0: 0.3, 1: 0.3}, 6: {0: 0.2, 1: 0.2}})
    assert [(it.better, it.worse) for it in found] == [(5, 6), (6, 4)]


def test_how_far_the_order_of_the_study_held() -> None:
    full = {1: {0: 0.5, 1: 0.25}, 2: {0: 0.375, 1: 0.375}, 3: {0: 0.25, 1: 0.125}}
    found = agreement({1: 0.9, 2: 0.8, 3: 0.7}, full)  # two means are equal
    assert found
    # Pairs that agree: 1 over 3 and 2 over 3; 1 and 2 are equal in full: tau-b is 2 / sqrt(3 x 2).
    assert found.kendall == pytest.approx(2 / math.sqrt(6))
    assert (found.kendall_low, found.kendall_high) == (pytest.approx(1 / 3), pytest.approx(1.0))  # by seeds 1 and 0
    assert found.detectors == 3


def test_of_three_even_a_perfect_order_comes_about_by_chance_in_one_of_six() -> None:
    found = agreement({1: 0.3, 2: 0.2, 3: 0.1}, {1: {0: 0.6}, 2: {0: 0.5}, 3: {0: 0.4}})
    assert found
    assert (found.kendall, found.spearman) == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.chance == pytest.approx(1 / 6)
    assert "a random order agrees as well with probability 0.17" in found.words


@pytest.mark.parametrize(("study", "full"), [({1: 0.3}, {1: {0: 0.5}}), ({1: 0.3, 2: 0.3}, {1: {0: 0.5}, 2: {0: 0.4}})])
def test_of_one_or_of_equals_there_is_no_order(study: dict[int, float], full: dict[int, dict[int, float]]) -> None:
    assert agreement(study, full) is None
