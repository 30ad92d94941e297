"""Proposals for a replay by the expected improvement of the hypervolume, over every candidate that is left."""

from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from .improvement import Seen, most_improving
from .replay_sampler import Among, Exhausted, combination
from .replay_table import Combination

START = 8  # whole trainings of candidates drawn at random, before there is anything to go by


class Improving(Among):
    """Candidates drawn at random until some are known, then those that are expected to add most."""

    cost: Callable[[Combination], float]
    score: Callable[[int], float | None]  # of a trial, by its number: what its whole training came to, or would have

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self.left:
            raise Exhausted
        begun = [it for it in study.get_trials(deepcopy=False) if it.params.keys() == self.distributions.keys()]
        seen = [
            Seen(it.params, self.cost(combination(self.table, it.params)), self.score(it.number))
            for it in begun
            if it.state in (TrialState.COMPLETE, TrialState.RUNNING)
        ]
        if sum(one.score is not None for one in seen) < START:
            return super().sample_relative(study, trial, search_space)
        left = list(self.left)
        params = [self.params(values) for values in left]
        costs = map(self.cost, left)
        chosen = most_improving(self.distributions, seen, list(zip(params, costs, strict=True)))
        del self.left[left[chosen]]
        return params[chosen]
