"""A study's next candidate by the expected improvement of its hypervolume, its cost being known beforehand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from .curves import expected_end
from .early_stop import curves_of
from .feasible import Combination, Feasible
from .improvement import Seen, most_improving
from .past import Coding
from .quantities import QUANTITIES
from .study import Study

POOL = 500  # candidates at random that are compared, where more are left


def improving(
    study: Study,
    among: Feasible,
    coding: Coding,
    trials: Sequence[FrozenTrial],
    tried: set[Combination],
    rng: np.random.Generator,
) -> Mapping[str, Any] | None:
    """Values of the candidate; None before there is anything to go by, and where nothing is left."""
    names = list(study.objectives)
    score = next(place for place, name in enumerate(names) if QUANTITIES[name].trained)
    begun = [trial for trial in trials if trial.params.keys() == coding.distributions.keys()]
    ends = _expected_ends(study, trials)
    seen = []
    for trial in begun:
        if trial.state is TrialState.COMPLETE:
            known = ends.get(trial.number) if "stopped" in trial.user_attrs else trial.values[score]
            seen.append(Seen(coding.encoded(trial.params), trial.values[1 - score], known))
        elif trial.state is TrialState.RUNNING:
            cost = among.known(trial.params)[names[1 - score]]
            seen.append(Seen(coding.encoded(trial.params), cost, None))
    if sum(one.score is not None for one in seen) < study.sampler.startup:
        return None
    left = among.several(tried, rng, POOL)
    if not left:
        return None
    costs = [among.known(values)[names[1 - score]] for values in left]
    params = [coding.encoded(values) for values in left]
    return left[most_improving(coding.distributions, seen, list(zip(params, costs, strict=True)))]


def _expected_ends(study: Study, trials: Sequence[FrozenTrial]) -> dict[int, float | None]:
    """What stopped trials would have come to, by their numbers."""
    if not any("stopped" in trial.user_attrs for trial in trials):
        return {}
    curves = curves_of(trials, study.objectives)
    return {curve.number: expected_end(curve, curves) for curve in curves}
