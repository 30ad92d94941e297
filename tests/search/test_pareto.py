"""The front against its definition, by brute force."""

from typing import get_args

import numpy as np
import pytest
from catscale.search.pareto import knee, pareto_front
from catscale.search.quantities import Direction
from hypothesis import given, settings
from hypothesis import strategies as st

small = st.integers(0, 6).map(float)  # few values, so that ties and equal points are common


@st.composite
def problems(draw: st.DrawFn, objectives: st.SearchStrategy[int]) -> tuple[np.ndarray, list[Direction]]:
    k = draw(objectives)
    rows = draw(st.lists(st.lists(small | st.just(float("nan")), min_size=k, max_size=k), max_size=25))
    directions = draw(st.lists(st.sampled_from(get_args(Direction)), min_size=k, max_size=k))
    return np.array(rows, dtype=float).reshape(-1, k), directions


def brute_force(points: np.ndarray, directions: list[Direction]) -> list[int]:
    losses = points * [-1 if way == "maximize" else 1 for way in directions]
    valid = [i for i in range(len(losses)) if not np.isnan(losses[i]).any()]
    return [
        i for i in valid if not any((losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in valid)
    ]


@settings(max_examples=300, deadline=None)
@given(problems(st.integers(1, 4)))
def test_the_front_is_what_nothing_dominates(problem: tuple[np.ndarray, list[Direction]]) -> None:
    points, directions = problem
    assert pareto_front(points, directions).tolist() == brute_force(points, directions)


def test_the_knee_is_furthest_from_the_line_between_the_ends() -> None:
    latency_ms, ap = [1.0, 2.0, 3.0, 8.0, 9.0], [0.1, 0.4, 0.43, 0.5, 0.2]
    assert knee(np.array([latency_ms, ap]).T, ["minimize", "maximize"]) == 1


def test_a_single_point_is_front_and_knee() -> None:
    assert pareto_front([[1, 2]], ["minimize", "maximize"]).tolist() == [0]
    assert knee([[1, 2]], ["minimize", "maximize"]) == 0


def test_there_is_no_knee_of_nothing() -> None:
    with pytest.raises(ValueError, match="no point"):
        knee([[float("nan"), 1.0]], ["minimize", "maximize"])


def test_a_hundred_thousand_points_take_a_moment() -> None:
    points = np.random.default_rng(0).random((100_000, 2))
    front = points[pareto_front(points, ["minimize", "maximize"])]
    assert (np.diff(front[np.argsort(front[:, 0]), 1]) > 0).all()
