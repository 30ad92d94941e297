"""Expected improvement against draws of the score, and what it saves of a search on a table of real results."""

from pathlib import Path

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.search.gaussian_process import GaussianProcess
from catscale.search.hypervolume import hypervolume
from catscale.search.improvement import expected_improvement
from catscale.search.replay import Problem, Strategy, replay
from catscale.search.replay_table import read_table

TABLE = Path(__file__).resolve().parents[2] / "studies" / "narrow-tiny-bccd.csv"


def test_the_expected_improvement_is_the_mean_over_draws_of_the_score() -> None:
    rng = np.random.default_rng(0)
    costs, scores = rng.uniform(0, 1, 12), rng.uniform(0, 1, 12)
    mean, deviation, cost = np.array([0.4, 0.9, 0.7]), np.array([0.3, 0.1, 0.02]), np.array([0.1, 0.5, 0.95])
    exact = expected_improvement(mean, deviation, cost, scores, costs, 1.0)

    def volume(*more: tuple[float, float]) -> float:
        points = [*zip(scores, costs, strict=True), *more]
        return hypervolume(points, ("maximize", "minimize"), (0.0, 1.0))

    for place in range(3):
        drawn = np.maximum(rng.normal(mean[place], deviation[place], 4000), 0.0)
        gains = [volume((score, cost[place])) - volume() for score in drawn]
        assert exact[place] == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / 4000**0.5 + 1e-3)


def test_a_gaussian_process_interpolates_and_knows_where_it_does_not() -> None:
    inputs = np.random.default_rng(0).uniform(0, 1, (40, 2))

    def truth(at: np.ndarray) -> np.ndarray:
        return np.sin(4 * at[:, 0]) + at[:, 1] ** 2

    model = GaussianProcess(inputs, truth(inputs))
    between = np.random.default_rng(1).uniform(0.1, 0.9, (50, 2))
    mean, deviation = model.predict(between)
    assert np.abs(mean - truth(between)).max() < 0.1
    assert model.predict(np.array([[3.0, 3.0]]))[1][0] > 5 * deviation.max()


def test_a_known_cost_saves_budget_on_a_real_table() -> None:
    table = read_table(TABLE)
    problem = Problem(table, ("ap", "gflops"))
    budget = len(table.results) * table.epochs

    def needed(strategy: Strategy) -> int:
        return sum(replay(problem, strategy, budget, seed, 0.95).reached(0.95) or budget for seed in range(3))

    assert 1.5 * needed(Strategy("ehvi", "none", "new")) < needed(Strategy("random", "none", "new"))
    with pytest.raises(InputError, match="ehvi: is for two objectives"):
        replay(Problem(table, ("ap", "gflops", "params")), Strategy("ehvi"), budget, 0)
