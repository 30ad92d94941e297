"""Who proposes the next candidate: Optuna's samplers, kept to candidates that fit and were not tried before."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)  # fmt: skip
from optuna.trial import FrozenTrial, Trial

from .feasible import Combination, Feasible, combination
from .improving import improving
from .past import GENERATION, SEQUENCE, Coding, past
from .proxies.ranking import Ranking
from .settings import LISTING
from .space import BASE
from .study import Study

TRIES = 64  # proposals of a sampler before one that fits is picked at random
TRIES_OF = {"gp": 8}  # a fit of Gaussian processes takes its time


class Untried(BaseSampler):
    """Proposes whole combinations of values by the study's sampler, each once as long as there are new ones.

    With `among`, only such as are worth a trial: what cannot be built or is over a bound never becomes one. With
    `ranking`, the best of several, as long as a proxy is known to tell. What is
    proposed as the n-th candidate depends on the study's seed, on n, and on the trials before: not on whether the study
    was interrupted, nor how often trials were taken up again.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.distributions: dict[str, BaseDistribution] = study.distributions()
        self.among: Feasible | None = None
        self.ranking: Ranking | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if "fixed_params" in trial.system_attrs:  # enqueued: nothing to propose
            return {}
        trials = study.get_trials(deepcopy=False)
        tried = self.tried(trials)
        rng = np.random.default_rng([self.study.sampler.seed, self.proposed(trials)])
        if self.study.sampler.kind in LISTING:
            return self._listed(tried)
        if self.study.sampler.kind == "ehvi":
            coding = Coding(self.study, self.distributions)
            found = improving(self.study, self.among, coding, trials, tried, rng) if self.among else None
            return dict(found) if found is not None else self._any(tried, rng)
        proposal = self._proposed(study, trial, tried, rng)
        return proposal if proposal is not None else self._any(tried, rng)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        seed = self.study.sampler.seed + trial.number
        return RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)

    def proposed(self, trials: Sequence[FrozenTrial]) -> int:
        """How many candidates have been proposed; those taken up again count once."""
        return sum(
            "continues" not in trial.user_attrs
            and ("reference" in trial.user_attrs or trial.params.keys() == self.distributions.keys())
            for trial in trials
        )

    def tried(self, trials: Sequence[FrozenTrial]) -> set[Combination]:
        """Every combination that a trial has or had."""
        return {combination(trial.params) for trial in trials if trial.params.keys() == self.distributions.keys()}

    def untried(self, tried: set[Combination]) -> Iterator[dict[str, Any]]:
        """What is left of a finite space, in order."""
        if self.among is not None and self.among.finite:
            yield from self.among.left(tried)
            return
        for values in self._everything():
            if combination(values) not in tried and not self._refused(values):
                yield values

    def exhausted(self, study: optuna.Study) -> bool:
        """Whether every combination of a finite space that fits has been tried."""
        if self.study.combinations is None:
            return False
        tried = self.tried(study.get_trials(deepcopy=False))
        costly = self.among is not None and self.among.bases.beyond_counts  # to say of the whole space what fits
        if not costly and len(tried) < self.size:
            return False
        return next(self.untried(tried), None) is None

    @property
    def size(self) -> int:
        """Candidates of a finite space that fit, as far as that is known."""
        if self.among is None or not self.among.finite:
            return self.study.combinations or 0
        return self.among.fitting

    @property
    def used_up(self) -> str:
        """What to say when nothing is left."""
        fit, everything = self.size, self.study.combinations or 0
        return f"the space is exhausted: all {fit:,} candidates that fit, of {everything:,}, have been tried"

    def _proposed(
        self, study: optuna.Study, trial: FrozenTrial, tried: set[Combination], rng: np.random.Generator
    ) -> dict[str, Any] | None:
        """What the study's sampler proposes and is new and fits; None where it comes to nothing such."""
        kind, coding = self.study.sampler.kind, Coding(self.study, self.distributions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            inner = self._inner(int(rng.integers(2**31)))
            before = past(self.study, study, coding, inner)
            trials = study.get_trials(deepcopy=False)
            proxy = self.ranking.in_use(trials) if self.ranking else None
            wanted = self.ranking.settings.pool if self.ranking and proxy else 1
            pool: dict[Combination, tuple[dict[str, Any], Trial]] = {}
            for _ in range(TRIES_OF.get(kind, TRIES)):
                drawn = before.ask(coding.distributions)
                proposal = coding.decoded(drawn.params)
                if combination(proposal) not in tried and not self._refused(proposal):
                    pool.setdefault(combination(proposal), (proposal, drawn))
                    if len(pool) == wanted:
                        break
        if not pool:
            return None
        found = list(pool.values())
        best = self.ranking.best(proxy, [values for values, _ in found], trials) if self.ranking and proxy else 0
        proposal, drawn = found[best]
        _keep(study, trial, before, drawn)
        return proposal

    def _listed(self, tried: set[Combination]) -> dict[str, Any]:
        if self.study.sampler.kind == "grid":
            return next(self.untried(tried), {})
        left = list(self.untried(tried))
        order = np.random.default_rng(self.study.sampler.seed).permutation(self.study.combinations or 0)
        rank = {combination(values): place for place, values in zip(order, self._everything(), strict=True)}
        return min(left, key=lambda values: rank[combination(values)], default={})

    def _everything(self) -> Iterator[dict[str, Any]]:
        """Every combination of the space in order, whether it fits or not."""
        bases = [{BASE: base} for base in self.study.bases] if BASE in self.distributions else [{}]
        for base, values in product(bases, self.study.space.combinations()):
            yield {**base, **values}

    def _any(self, tried: set[Combination], rng: np.random.Generator) -> dict[str, Any]:
        """One at random that fits and is new, or at least fits, or at least is one."""
        if self.among is not None:
            found = self.among.some(tried, rng) or self.among.some((), rng)
            if found is not None:
                return found
        elif self.study.combinations is not None and (left := list(self.untried(tried))):
            return left[rng.integers(len(left))]
        return {}

    def _refused(self, values: Mapping[str, Any]) -> bool:
        return self.among is not None and bool(self.among.reason(values))

    def _inner(self, seed: int) -> BaseSampler:
        startup = self.study.sampler.startup
        match self.study.sampler.kind:
            case "nsga2":
                return NSGAIISampler(seed=seed, population_size=max(startup, 2))
            case "nsga3":
                return NSGAIIISampler(seed=seed, population_size=max(startup, 2))
            case "gp":
                return GPSampler(seed=seed, n_startup_trials=startup)
            case "qmc":  # one sequence for the whole study, and so one seed
                return QMCSampler(seed=self.study.sampler.seed, scramble=True, warn_independent_sampling=False)
            case "random":
                return RandomSampler(seed)
            case _:
                return TPESampler(seed=seed, n_startup_trials=startup)


def _keep(study: optuna.Study, trial: FrozenTrial, before: optuna.Study, drawn: Trial) -> None:
    """Keep with the study what samplers remember beside trials: generations, and how far a sequence is used up."""
    for name, value in before._storage.get_trial(drawn._trial_id).system_attrs.items():
        if name.endswith(GENERATION):
            study._storage.set_trial_system_attr(trial._trial_id, name, value)
    for name, value in before._storage.get_study_system_attrs(before._study_id).items():
        if name.startswith(SEQUENCE):
            study._storage.set_study_system_attr(study._study_id, name, value)
