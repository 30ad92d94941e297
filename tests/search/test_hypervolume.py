"""Hypervolume against counted cells, inclusion and exclusion, chance and Optuna's; contributions by definition."""

from itertools import combinations
from typing import get_args

import numpy as np
import pytest
from catscale.search.hypervolume import contributions, hypervolume
from catscale.search.pareto import pareto_front
from catscale.search.quantities import Direction
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

small = st.integers(0, 6).map(float)  # few values, so that ties and equal points are common


@st.composite
def losses(draw: st.DrawFn, most: int, columns: st.SearchStrategy[int] = st.integers(1, 4)) -> np.ndarray:
    k = draw(columns)
    return np.array(draw(st.lists(st.lists(small, min_size=k, max_size=k), max_size=most)), dtype=float).reshape(-1, k)


def minimised(points: np.ndarray, corner: float) -> float:
    k = points.shape[1]
    return hypervolume(points, ["minimize"] * k, [corner] * k)


@settings(max_examples=150, deadline=None)
@given(losses(12), st.sampled_from([4.0, 7.0]))
def test_it_counts_the_cells_that_are_dominated(points: np.ndarray, corner: float) -> None:
    cells = np.stack(np.meshgrid(*[np.arange(corner)] * points.shape[1]), axis=-1).reshape(-1, points.shape[1])
    dominated = (points[None] <= cells[:, None]).all(axis=-1).any(axis=-1)
    assert minimised(points, corner) == pytest.approx(dominated.sum())


@settings(max_examples=60, deadline=None)
@given(losses(6))
def test_it_is_the_boxes_included_and_excluded(points: np.ndarray) -> None:
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in combinations(points, size):
            total += (-1) ** (size + 1) * np.prod(7.0 - np.max(some, axis=0))
    assert minimised(points, 7.0) == pytest.approx(total)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_it_is_that_of_optuna(k: int) -> None:
    points = np.random.default_rng(k).random((40, k))
    assert minimised(points, 1.0) == pytest.approx(compute_hypervolume(points, np.ones(k)))


def test_it_is_the_share_of_random_points_that_are_dominated() -> None:
    rng = np.random.default_rng(0)
    points, darts = rng.random((30, 4)), rng.random((20_000, 4))
    hit = np.zeros(len(darts), dtype=bool)
    for point in points:
        hit |= (point <= darts).all(axis=1)
    assert minimised(points, 1.0) == pytest.approx(hit.mean(), abs=0.015)  # four standard errors


@given(st.lists(st.sampled_from(get_args(Direction)), min_size=3, max_size=3))
def test_what_is_to_be_maximised_counts_from_the_other_side(directions: list[Direction]) -> None:
    signs = np.array([-1.0 if way == "maximize" else 1.0 for way in directions])
    points = np.random.default_rng(1).random((8, 3))
    assert hypervolume(points * signs, directions, signs.tolist()) == pytest.approx(minimised(points, 1.0))


def test_a_point_beyond_the_reference_adds_nothing() -> None:
    assert hypervolume([[2, 0.1], [9, 0.9]], ["minimize", "maximize"], [5, 0.0]) == pytest.approx(0.3)


@settings(max_examples=100, deadline=None)
@given(losses(10, st.integers(2, 4)))
def test_a_contribution_is_what_is_lost_without_the_point(points: np.ndarray) -> None:
    front = points[pareto_front(points, ["minimize"] * points.shape[1])]
    lost = [minimised(front, 7.0) - minimised(np.delete(front, i, axis=0), 7.0) for i in range(len(front))]
    assert contributions(front, np.full(points.shape[1], 7.0)) == pytest.approx(lost)
