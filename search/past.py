"""The trials of a study as Optuna's samplers learn from them best.

A copy in memory, in which choices that are numbers are ranks, so that samplers see their order, and in which what a
measurement refused is a trial whose constraint is violated. The study's own storage keeps the values as a person reads
them, and models that are trained to compare with have none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from .candidates import violations
from .study import Study

GENERATION = "generation"  # how keys end under which genetic samplers keep a trial's generation
SEQUENCE = "qmc:"  # how keys begin under which a study keeps the number of points drawn


class Coding:
    """Values as a person reads them, and as ranks where they are numbers to choose from."""

    def __init__(self, study: Study, distributions: Mapping[str, BaseDistribution]) -> None:
        self.ranked = {
            name: parameter.ranked
            for name, parameter in study.space.parameters.items()
            if parameter.ranked is not None and len(parameter.ranked) > 1
        }
        self.distributions: dict[str, BaseDistribution] = {
            name: IntDistribution(0, len(self.ranked[name]) - 1) if name in self.ranked else distribution
            for name, distribution in distributions.items()
        }

    def encoded(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Ranks for values."""
        return {name: self.ranked[name].index(it) if name in self.ranked else it for name, it in values.items()}

    def decoded(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values for ranks."""
        return {name: self.ranked[name][it] if name in self.ranked else it for name, it in values.items()}


def past(study: Study, opened: optuna.Study, coding: Coding, sampler: BaseSampler) -> optuna.Study:
    """The copy, with a sampler of its own to ask."""
    copy = optuna.create_study(directions=opened.directions, sampler=sampler)
    for name, value in opened._storage.get_study_system_attrs(opened._study_id).items():
        if name.startswith(SEQUENCE):
            copy._storage.set_study_system_attr(copy._study_id, name, value)
    if isinstance(sampler, optuna.samplers.QMCSampler):  # learns nothing, but wants to have seen the space
        copy.add_trial(_seen(coding))
    elif not isinstance(sampler, optuna.samplers.RandomSampler):
        copy.add_trials(list(_trials(study, opened, coding)))
    return copy


def _seen(coding: Coding) -> FrozenTrial:
    lowest = {
        name: kind.choices[0] if isinstance(kind, optuna.distributions.CategoricalDistribution) else kind.low  # type: ignore[attr-defined]
        for name, kind in coding.distributions.items()
    }
    return create_trial(state=TrialState.PRUNED, params=lowest, distributions=coding.distributions)


def _trials(study: Study, opened: optuna.Study, coding: Coding) -> Iterator[FrozenTrial]:
    trials = opened.get_trials(deepcopy=False)
    worst = _worst(study, trials)
    for trial in trials:
        if trial.params.keys() != coding.distributions.keys():
            continue  # a reference, or one that has just begun
        broken = violations(study, trial.user_attrs.get("figures", {}))
        state, values = trial.state, trial.values
        if state is TrialState.PRUNED and any(value > 0 for value in broken.values()):
            state = TrialState.COMPLETE
            known = trial.user_attrs["figures"]
            values = [known.get(name, worst[name]) for name in study.objectives]
        elif state is TrialState.PRUNED or state is TrialState.RUNNING:
            values = None
        elif state is not TrialState.COMPLETE:
            continue
        yield create_trial(
            state=state,
            values=values,
            params=coding.encoded(trial.params),
            distributions=coding.distributions,
            system_attrs={key: it for key, it in _attributes(trials, trial).items() if key.endswith(GENERATION)},
            constraints=broken if "latency_ms" in broken else None,
        )


def _attributes(trials: list[FrozenTrial], trial: FrozenTrial) -> Mapping[str, Any]:
    """A trial's own, and those of the trials that it continues."""
    known: dict[str, Any] = dict(trial.system_attrs)
    before = trial.user_attrs
    while "continues" in before and before["continues"] < len(trials):
        earlier = trials[before["continues"]]
        known, before = {**earlier.system_attrs, **known}, earlier.user_attrs
    return known


def _worst(study: Study, trials: list[FrozenTrial]) -> dict[str, float]:
    """The worst value of each objective so far: what stands for one that was never found out."""
    finished = [trial.values for trial in trials if trial.state is TrialState.COMPLETE]
    columns = list(zip(*finished, strict=True)) or [(0.0,) for _ in study.objectives]
    ways = study.objectives.items()
    return {name: min(c) if way == "maximize" else max(c) for (name, way), c in zip(ways, columns, strict=True)}
