"""The choice among proposals of a study by the proxy that its finished trials speak for, if there is one.

The scores of a trial are an attribute of it in the storage, and the audit follows from the finished trials, so that all
workers agree. No torch until a score is asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from ...blocks.errors import InputError
from ...scaler.architecture import Architecture
from ..candidates import Bases, Candidate
from ..halving import CORNER, fronts, unit_losses
from ..hypervolume import contributions
from ..pareto import Points
from ..quantities import QUANTITIES
from ..settings import ProxyKind
from ..study import Study
from .audit import Audit, audit

if TYPE_CHECKING:
    from .scores import TrainingImages

SCORES = "proxies"  # the attribute of a trial with its scores

Score = Callable[[ProxyKind, Architecture], float | None]


class Ranking:
    """Scores candidates of a study, each once, and chooses among them."""

    def __init__(self, study: Study, bases: Bases, score: Score | None = None) -> None:
        assert study.proxies is not None
        self.study, self.bases, self.settings = study, bases, study.proxies
        self._score = score or self._scored_here
        self._known: dict[tuple[str, str], float | None] = {}
        self._photographs: TrainingImages | None = None

    def scores(self, candidate: Candidate) -> dict[str, float | None]:
        """A candidate's score by each proxy of the study; None where there is none."""
        return {kind: self.score(kind, candidate) for kind in self.settings.kinds}

    def score(self, kind: ProxyKind, candidate: Candidate) -> float | None:
        """One of them."""
        architecture = candidate.architecture
        key = kind, f"{architecture.fingerprint}@{architecture.size}"
        if key not in self._known:
            self._known[key] = self._score(kind, architecture)
        return self._known[key]

    def in_use(self, trials: Sequence[FrozenTrial]) -> ProxyKind | None:
        """The proxy that beats MACs on the finished trials."""
        used = {one.kind for one in audits(self.study, trials) if one.in_use}
        return next((kind for kind in self.settings.kinds if kind in used), None)

    def best(self, kind: ProxyKind, proposals: Sequence[Mapping[str, Any]], trials: Sequence[FrozenTrial]) -> int:
        """The proposal that a proxy speaks for (see `choose`); the first where none has a score."""
        scored: list[int] = []
        pool: list[tuple[float, ...]] = []
        for index, values in enumerate(proposals):
            try:
                candidate = self.bases.candidate(values)
            except InputError:
                continue  # the worker that takes it says why
            found = self.score(kind, candidate)
            if found is not None:
                scored.append(index)
                pool.append((-found, *self._costs(candidate.figures)))
        if not scored:
            return 0
        known = [
            (-trial.user_attrs[SCORES][kind], *self._costs(trial.user_attrs["figures"]))
            for trial in finished(trials)
            if trial.user_attrs.get(SCORES, {}).get(kind) is not None
        ]
        return scored[choose(np.array(pool), np.array(known).reshape(len(known), len(pool[0])))]

    def _costs(self, figures: Mapping[str, float]) -> list[float]:
        """The study's costs that are known before a training, to be minimised; of one with others alone its MACs."""
        costly = {name: way for name, way in self.study.objectives.items() if not QUANTITIES[name].trained}
        early = {name: way for name, way in costly.items() if name != "latency_ms" or self.bases.predict}
        names = early or ({"macs": "minimize"} if costly else {})
        return [figures[name] if way == "minimize" else -figures[name] for name, way in names.items()]

    def _scored_here(self, kind: ProxyKind, architecture: Architecture) -> float | None:
        from .scores import TrainingImages, score

        if self._photographs is None:
            self._photographs = TrainingImages(self.study, self.settings.images)
        return score(kind, architecture, self._photographs, self.study.seed)


def choose(pool: Points, known: Points) -> int:
    """The row of a pool (n, k) that is to be trained beside rows (m, k) that were; scores and costs to be minimised.

    A score alone would take the most expensive one. So all rows are sorted into fronts; of those of the pool that are
    on the best front, it is the one that adds most to this front's hypervolume, that is, lies where little was trained:
    a cheap one as well as a dear one. The first of equals, which the sampler proposed first.
    """
    losses = np.concatenate((pool, known))
    unit = unit_losses(losses)
    front = next(front for front in fronts(losses) if (front < len(pool)).any())
    added = contributions(unit[front], np.full(unit.shape[1], CORNER))
    return int(front[np.argmax(np.where(front < len(pool), added, -np.inf))])


def audits(study: Study, trials: Sequence[FrozenTrial]) -> list[Audit]:
    """The audit of a study's proxies on its finished trials."""
    if study.proxies is None:
        return []
    scored = [trial for trial in finished(trials) if SCORES in trial.user_attrs]
    name, way = next((name, way) for name, way in study.objectives.items() if QUANTITIES[name].trained)
    figures = [trial.user_attrs["figures"] for trial in scored]
    return audit(
        [known[name] if way == "maximize" else -known[name] for known in figures],
        [known["macs"] for known in figures],
        {kind: [trial.user_attrs[SCORES].get(kind) for trial in scored] for kind in study.proxies.kinds},
        study.proxies.after,
    )


def finished(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were trained to their end themselves."""
    return [
        trial
        for trial in trials
        if trial.state is TrialState.COMPLETE and not trial.user_attrs.keys() & {"stopped", "same_as"}
    ]
