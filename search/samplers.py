"""Who proposes the next candidate: Optuna's samplers, kept from proposing what was tried before."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from .space import BASE
from .study import Study

TRIES = 32  # draws before a new combination of a small space is picked at random

Combination = tuple[tuple[str, Any], ...]


class Untried(BaseSampler):
    """Proposes whole combinations of values by the study's sampler, each once as long as there are new ones.

    What is proposed as the n-th candidate depends on the study's seed, on n, and on the trials before: not on whether
    the study was interrupted, nor how often trials were taken up again.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.distributions: dict[str, BaseDistribution] = study.distributions()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if "fixed_params" in trial.system_attrs:  # enqueued: nothing to propose
            return {}
        tried = self.tried(study)
        rng = np.random.default_rng([self.study.sampler.seed, self.proposed(study)])
        if self.study.sampler.kind == "grid":
            return next(iter(self.untried(tried)), {})
        inner = self._inner(int(rng.integers(2**31)))
        proposal = self._draw(inner, study, trial)
        for _ in range(TRIES):
            if _combination(proposal) not in tried:
                return proposal
            proposal = self._draw(inner, study, trial)
        left = self.untried(tried) if self.study.combinations is not None else []
        return left[rng.integers(len(left))] if left else proposal

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        seed = self.study.sampler.seed + trial.number
        return RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)

    def proposed(self, study: optuna.Study) -> int:
        """How many candidates have been proposed; those taken up again count once."""
        trials = study.get_trials(deepcopy=False)
        return sum(
            "continues" not in trial.user_attrs
            and ("reference" in trial.user_attrs or trial.params.keys() == self.distributions.keys())
            for trial in trials
        )

    def tried(self, study: optuna.Study) -> set[Combination]:
        """Every combination that a trial has or had."""
        trials = study.get_trials(deepcopy=False)
        return {_combination(trial.params) for trial in trials if trial.params.keys() == self.distributions.keys()}

    def untried(self, tried: set[Combination]) -> list[dict[str, Any]]:
        """What is left of a finite space, in order."""
        bases = self.study.base if BASE in self.distributions else (None,)
        everything = (
            {**({BASE: base} if base else {}), **values} for base in bases for values in self.study.space.combinations()
        )
        return [values for values in everything if _combination(values) not in tried]

    def exhausted(self, study: optuna.Study) -> bool:
        """Whether every combination of a finite space has been tried."""
        combinations = self.study.combinations
        return combinations is not None and len(self.tried(study)) >= combinations

    def _inner(self, seed: int) -> BaseSampler:
        match self.study.sampler.kind:
            case "nsga2":
                return NSGAIISampler(seed=seed, population_size=max(self.study.sampler.startup, 2))
            case "random":
                return RandomSampler(seed)
            case _:
                return TPESampler(seed=seed, n_startup_trials=self.study.sampler.startup)

    def _draw(self, inner: BaseSampler, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        joint = inner.sample_relative(study, trial, inner.infer_relative_search_space(study, trial))
        alone = self.distributions.keys() - joint.keys()
        return {
            name: joint[name] if name not in alone else inner.sample_independent(study, trial, name, distribution)
            for name, distribution in self.distributions.items()
        }


def _combination(values: Mapping[str, Any]) -> Combination:
    return tuple(sorted((name, round(v, 9) if isinstance(v, float) else v) for name, v in values.items()))
