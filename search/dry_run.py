"""What a study would do, before it does anything: its space, what fits of it, what it takes, and what comes first."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import optuna
from scipy.stats import binomtest

from ..blocks.errors import InputError
from ..scaler.devices import find_device
from .candidates import Bases, Candidate, over_budget
from .feasible import Feasible, kind_of
from .planner import Hours, Pace, images_of_a_trial, timed_pace
from .prediction import predictor
from .samplers import Untried
from .space import BASE, Value, drawn
from .starting import run_to_start_from
from .stored_study import recipe_of
from .study import UNLIMITED, Study
from .study_data import open_study_data

DRAWN = 1_000  # candidates, of a space that is not counted whole
TIMED = 3  # detectors of which a few steps are timed: the smallest, the middle one and the largest
SHOWN = 5  # candidates that would be proposed first
REASONS = 12  # for which candidates are left out, that are named; the commonest


@dataclass(frozen=True)
class Share:
    """How much of a space fits."""

    fit: int
    of: int
    exact: bool
    low: float
    high: float  # of a sample: between these with a confidence of 95 %
    left_out: Mapping[str, int] = field(default_factory=dict)  # reasons, and of how many of these

    def __str__(self) -> str:
        if self.exact:
            return f"{self.fit:,} of {self.of:,} ({self.fit / self.of:.1%})"
        return f"{self.fit / self.of:.1%} ({self.low:.1%} to {self.high:.1%}, from {self.of:,} drawn at random)"


@dataclass(frozen=True)
class Plan:
    """What would be done."""

    study: Study
    share: Share
    pace: Pace
    hours: Hours | None  # None where hours are the budget
    a_trial: Hours
    first: tuple[tuple[str, str], ...]  # what it is, and the detector or why it would be refused

    def lines(self) -> list[str]:
        """For a person."""
        study = self.study
        size = "a continuum" if study.combinations is None else f"{study.combinations:,} candidates"
        lines = [f"{study.name}: {size}", f"fits: {self.share}"]
        reasons = list(self.share.left_out.items())
        lines += [f"  left out, {count:,}: {why}" for why, count in reasons[:REASONS]]
        if rest := reasons[REASONS:]:
            lines.append(f"  left out, {sum(count for _, count in rest):,}: {len(rest)} further reasons")
        lines.append(f"a trial: {self.a_trial}")
        if self.hours is not None:
            lines.append(f"all {study.trials:,} trials, one after another: {self.hours}")
        bound = study.budget.hours or study.budget.gpu_hours
        if bound is not None:
            lines.append(f"its {bound:g} hours are enough for about {bound / self.a_trial.middle:.0f} trials")
        lines.append("first:")
        lines += [f"  {what}: {detector}" for what, detector in self.first]
        return [*lines, "Nothing was written."]


def dry_run(study: Study, device: str = "auto", say: Callable[[str], None] = lambda line: None) -> Plan:
    """Look at everything that a study needs, time a few training steps, and write nothing.

    Raises:
        InputError: as running the study would.
    """
    recipe = recipe_of(study)
    Bases(study)  # refuses an unknown base before the data is opened
    where = str(find_device(device))
    dataset = open_study_data(study, say)
    if (warm := run_to_start_from(study)) is not None:
        warm.check_classes(dataset.classes)
    bases = Bases(study, len(dataset.classes), predict=predictor(study))
    feasible = Feasible(study, bases)
    feasible.check()
    pool = _some(study, feasible)
    timed = sorted(pool, key=lambda candidate: candidate.figures["macs"])
    picked = {timed[i].key: timed[i] for i in np.linspace(0, len(timed) - 1, TIMED).round().astype(int)}
    trainings = [(candidate.architecture, candidate.trained_by(recipe)) for candidate in picked.values()]
    pace = timed_pace(trainings, dataset, where, say)
    macs, activations = ([candidate.figures[name] for candidate in pool] for name in ("macs", "activations"))
    images = images_of_a_trial(study, dataset, recipe)
    seconds = pace.seconds(macs, activations)
    share = share_that_fits(study, feasible)
    trials = min(study.trials, share.fit if share.exact else study.combinations or study.trials)
    spread = float(seconds.std() / seconds.mean())
    return Plan(
        study,
        share,
        pace,
        None if study.trials == UNLIMITED else pace.hours(macs, activations, images * trials, spread / trials**0.5),
        pace.hours(macs, activations, images, spread),
        tuple(_first(study, bases, feasible)),
    )


def share_that_fits(study: Study, feasible: Feasible) -> Share:
    """How much of a space can be built and keeps its bounds: exactly of a small one, otherwise from a sample."""
    table = feasible.table
    if feasible.finite and (not feasible.bases.beyond_counts or table.looked_at <= DRAWN):
        fit, whole = feasible.fitting, study.combinations or 1
        return Share(fit, whole, True, fit / whole, fit / whole, feasible.left_out)
    rng = np.random.default_rng(study.seed)
    reasons = Counter(kind_of(feasible.reason(_drawn(study, rng))) for _ in range(DRAWN))
    fit = reasons.pop("", 0)
    interval = binomtest(fit, DRAWN).proportion_ci(method="wilson")
    return Share(fit, DRAWN, False, float(interval.low), float(interval.high), dict(reasons.most_common()))


def _drawn(study: Study, rng: np.random.Generator) -> dict[str, Value]:
    bases = list(study.bases)
    base = {BASE: bases[rng.integers(len(bases))]} if len(bases) > 1 else {}
    return {**base, **{name: drawn(parameter, rng) for name, parameter in study.space.parameters.items()}}


def _some(study: Study, feasible: Feasible) -> list[Candidate]:
    """Candidates that fit, as a sampler might propose them."""
    rng = np.random.default_rng(study.seed)
    found = (feasible.some((), rng) for _ in range(8 * TIMED))
    return [feasible.bases.candidate(values) for values in found if values is not None]


def _first(study: Study, bases: Bases, feasible: Feasible) -> list[tuple[str, str]]:
    """References, and what the sampler would propose as long as nothing is known."""
    lines = []
    for name in study.compared:
        candidate = bases.reference(name)
        lines.append((f"reference {name}", over_budget(study, candidate.figures) or candidate.architecture.name))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = Untried(study)
    sampler.among = feasible
    opened = optuna.create_study(directions=list(study.objectives.values()), sampler=sampler)
    for name in study.compared:  # what is proposed depends on how many trials were before
        opened.enqueue_trial({}, user_attrs={"reference": name})
        opened.tell(opened.ask(), state=optuna.trial.TrialState.FAIL)
    for _ in range(max(0, min(SHOWN, study.trials - len(lines)))):
        if sampler.exhausted(opened):
            break
        values = opened.ask(sampler.distributions).params
        try:
            lines.append((json.dumps(values), bases.candidate(values).architecture.name))
        except InputError as error:  # of a space in which nothing that fits was found
            lines.append((json.dumps(values), str(error)))
    return lines
