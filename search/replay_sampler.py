"""Proposals for a replay: those of Optuna's samplers, kept to candidates of the table that were not proposed before."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from .replay_table import Combination, Table

TRIES = 4  # draws before any candidate that is left is taken


class Exhausted(Exception):
    """Every allowed candidate has been proposed."""


class Among(BaseSampler):
    """A sampler's proposals, drawn again until one is new and among the allowed; then any of those that is left.

    Of `pool()` such proposals, where that is more than one, the one whose place `best` gives.
    """

    def __init__(
        self,
        allowed: Sequence[Combination],
        table: Table,
        inner: BaseSampler,
        distributions: Mapping[str, BaseDistribution],
        rng: np.random.Generator,
        pool: Callable[[], int] = lambda: 1,
        best: Callable[[Sequence[Combination]], int] = lambda pool: 0,
    ) -> None:
        self.pool, self.best = pool, best
        self.left = dict.fromkeys(allowed)
        self.table, self.inner, self.distributions, self.rng = table, inner, dict(distributions), rng

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        wanted = self.pool()
        found: dict[Combination, dict[str, Any]] = {}
        for _ in range(TRIES * wanted):
            proposal = self._draw(study, trial)
            values = combination(self.table, proposal)
            if values in self.left:
                found.setdefault(values, proposal)
                if len(found) == wanted:
                    break
        if found:
            values = list(found)[self.best(list(found))]
            del self.left[values]
            return found[values]
        if not self.left:
            raise Exhausted
        values = list(self.left)[self.rng.integers(len(self.left))]
        del self.left[values]
        return self.params(values)

    def params(self, values: Combination) -> dict[str, Any]:
        """A candidate as Optuna would have drawn it."""
        return {
            name: self.table.domains[name].index(value) if isinstance(kind, IntDistribution) else value
            for (name, kind), value in zip(self.distributions.items(), values, strict=True)
        }

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        raise AssertionError(f"{param_name} is part of every proposal")

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self.inner.after_trial(study, trial, state, values)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(study, trial)

    def _draw(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        joint = self.inner.sample_relative(study, trial, self.inner.infer_relative_search_space(study, trial))
        return {
            name: joint[name] if name in joint else self.inner.sample_independent(study, trial, name, distribution)
            for name, distribution in self.distributions.items()
        }


def distribution(values: tuple[Any, ...]) -> BaseDistribution:
    """What Optuna draws for a parameter: numbers by their place in order, as a study's steps are; words as choices."""
    if all(isinstance(value, int | float) for value in values):
        return IntDistribution(0, len(values) - 1)
    return CategoricalDistribution(values)


def combination(table: Table, params: Mapping[str, Any]) -> Combination:
    """The candidate that is meant by what Optuna drew."""
    return tuple(
        domain[params[name]] if all(isinstance(value, int | float) for value in domain) else params[name]
        for name, domain in table.domains.items()
    )
