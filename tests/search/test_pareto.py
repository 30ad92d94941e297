"""The front against its definition, by brute force."""

from typing import get_args

import numpy as np
import pytest
from catscale.search import pareto
from catscale.search.pareto import knee, pareto_front
from catscale.search.quantities import Direction
from hypothesis import given, settings
from hypothesis import strategies as st

small = st.integers(0, 6).map(float)  # few values, so that ties and equal points are common
ends = st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0])


@st.composite
def problems(draw: st.DrawFn, objectives: st.SearchStrategy[int]) -> tuple[np.ndarray, list[Direction]]:
    k = draw(objectives)
    rows = draw(st.lists(st.lists(small | ends, min_size=k, max_size=k), max_size=25))
    directions = draw(st.lists(st.sampled_from(get_args(Direction)), min_size=k, max_size=k))
    return np.array(rows, dtype=float).reshape(-1, k), directions


def brute_force(points: np.ndarray, directions: list[Direction]) -> list[int]:
    losses = points * [-1 if way == "maximize" else 1 for way in directions]
    valid = [i for i in range(len(losses)) if not np.isnan(losses[i]).any()]
    return [
        i for i in valid if not any((losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in valid)
    ]


@pytest.mark.parametrize("way", ["plain", "thinned", "moocore"])
def test_the_front_is_what_nothing_dominates(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "moocore":
        pytest.importorskip("moocore")
    monkeypatch.setattr(pareto, "MANY", 10**9 if way == "plain" else 1)
    if way == "thinned":
        monkeypatch.setattr(pareto, "find_spec", lambda name: None)

    @settings(max_examples=200, deadline=None)
    @given(problems(st.integers(1, 5)))
    def holds(problem: tuple[np.ndarray, list[Direction]]) -> None:
        points, directions = problem
        assert pareto_front(points, directions).tolist() == brute_force(points, directions)

    holds()


def test_the_knee_is_furthest_from_the_line_between_the_ends() -> None:
    latency_ms, ap = [1.0, 2.0, 3.0, 8.0, 9.0], [0.1, 0.4, 0.43, 0.5, 0.2]
    assert knee(np.array([latency_ms, ap]).T, ["minimize", "maximize"]) == 1


def test_a_single_point_is_front_and_knee() -> None:
    assert pareto_front([[1, 2]], ["minimize", "maximize"]).tolist() == [0]
    assert knee([[1, 2]], ["minimize", "maximize"]) == 0


def test_there_is_no_knee_of_nothing() -> None:
    with pytest.raises(ValueError, match="no point"):
        knee([[float("nan"), 1.0]], ["minimize", "maximize"])


@pytest.mark.parametrize("objectives", [2, 4])
def test_a_million_points_take_a_moment(objectives: int) -> None:
    points = np.random.default_rng(0).random((1_000_000, objectives))
    ways: list[Direction] = ["minimize"] * objectives
    front = points[pareto_front(points, ways)]
    assert len(front) == len(pareto_front(front, ways))
    some = points[::50]
    assert not any((front <= point).all(axis=1).any() for point in front - 1e-12)
    assert all((front <= point).all(axis=1).any() for point in some)
