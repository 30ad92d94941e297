"""What a study will take: hours with an interval, from a few measured steps, or from the trials that are done.

A training step's seconds are taken to be a + b x MACs + c x activations, for each image; a, b and c are not negative.
How far the fit is from what was measured is how far an estimate may be off.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..scaler.architecture import Architecture
from ..trainer.data.records import Dataset
from ..trainer.recipe import Recipe
from .rows import Row
from .study import UNLIMITED, Study

STEPS = 4  # that are timed of each detector
LEAST_OFF = 0.15  # no estimate is said to be closer than that: what a step takes drifts, and evaluations vary
SPREAD = 2.0  # standard deviations on both sides: about 95 %
EVALUATION = 0.5  # of a training step's seconds for each image that is evaluated: a forward pass, and its detections


@dataclass(frozen=True)
class Hours:
    """An estimate with its interval."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        if self.high < 1:
            return f"{60 * self.middle:.1f} minutes ({60 * self.low:.1f} to {60 * self.high:.1f})"
        return f"{self.middle:.1f} hours ({self.low:.1f} to {self.high:.1f})"


@dataclass(frozen=True)
class Pace:
    """Seconds of a unit of work (an image of a step, or a trial) as they follow from MACs and activations."""

    weights: tuple[float, float, float]  # seconds: always, for each MAC, for each activation
    off: float  # standard deviation of what was measured about the fit, a share
    measured: int

    @classmethod
    def fitted(cls, macs: ArrayLike, activations: ArrayLike, seconds: ArrayLike) -> "Pace":
        """Fit to measurements (n,) each; relative errors count.

        With fewer than three, the seconds are in proportion to the MACs.
        """
        from scipy.optimize import nnls  # takes as long to import as all else of `search status`

        took = np.asarray(seconds, dtype=np.float64)
        columns = _columns(macs, activations)
        used = columns if len(took) >= 3 else columns[:, 1:2]
        scale = used.max(axis=0)
        weights = nnls(used / scale / took[:, None], np.ones(len(took)))[0] / scale
        whole = weights if len(took) >= 3 else np.array([0.0, weights[0], 0.0])
        residuals = columns @ whole / took - 1
        free = max(1, len(took) - int((whole > 0).sum()))
        off = max(LEAST_OFF, float(np.sqrt((residuals**2).sum() / free)))
        return cls((float(whole[0]), float(whole[1]), float(whole[2])), off, len(took))

    def seconds(self, macs: ArrayLike, activations: ArrayLike) -> NDArray[np.float64]:
        """(n,) seconds of (n,) detectors."""
        return _columns(macs, activations) @ np.array(self.weights)

    def hours(self, macs: ArrayLike, activations: ArrayLike, times: float, spread: float = 0.0) -> Hours:
        """Hours of `times` units of detectors that are like these in the mean; `spread` is a further error, a share."""
        middle = float(self.seconds(macs, activations).mean()) * times / 3600
        off = SPREAD * float(np.hypot(self.off, spread))
        return Hours(middle / (1 + off), middle, middle * (1 + off))


def timed_pace(
    trainings: Sequence[tuple[Architecture, Recipe]],
    dataset: Dataset,
    device: str,
    say: Callable[[str], None] = lambda line: None,
) -> Pace:
    """Train each of some detectors for a few real steps, keep nothing, and fit what an image takes.

    Raises:
        CatscaleError: as a training does, as where memory does not suffice.
    """
    from ..trainer.step_profile import profile_steps
    from ..trainer.threads import sharing_cores

    took = []
    with sharing_cores(device):
        for architecture, recipe in trainings:
            size_px = architecture.size
            profile = profile_steps(architecture, dataset, recipe, steps=STEPS, size_px=size_px, device=device)
            took.append(1 / profile.images_per_second)
            say(f"{architecture.name}: {1000 * profile.batch * took[-1]:.0f} ms for a step of {profile.batch} images")
    costs = [architecture.cost() for architecture, _ in trainings]
    return Pace.fitted([cost.macs for cost in costs], [cost.activations for cost in costs], took)


def images_of_a_trial(study: Study, dataset: Dataset, recipe: Recipe) -> float:
    """Images that a trial takes, those that are evaluated counted by what they take of a training step."""
    each = len(dataset.split("train").images) + EVALUATION * len(dataset.split("val").images)
    return recipe.epochs * each * len(study.training_seeds)


def time_left(study: Study, rows: Sequence[Row], workers: int = 1, at_most: int | None = None) -> Hours | None:
    """What a study that runs has before it, from the trials that are done; None where none is, or it has no end.

    Of training alone: starting a trial's process and measuring its latency, some seconds each, come on top. A trial
    that was stopped counts as what it took. Fewer trials than workers last as long as one.

    Args:
        study: of the rows; its hours, of each run, bound the answer, and what is left of its hours of training does.
        rows: as in `trials.csv`.
        workers: that share the trials.
    """
    done = [row for row in rows if row.same_as is None and row.figures.get("seconds", 0) > 0 and row.state != "running"]
    known = [row for row in done if {"macs", "activations"} <= row.figures.keys() and row.state != "failed"]
    budget = study.budget
    bounds = [] if budget.hours is None else [budget.hours]
    if budget.gpu_hours is not None:
        bounds.append(max(0.0, budget.gpu_hours - sum(row.figures["seconds"] for row in done) / 3600) / workers)
    if not known or (study.trials == UNLIMITED and not bounds):
        return None
    macs, activations, seconds = (
        [row.figures[name] for row in known] for name in ("macs", "activations", "seconds")
    )  # fmt: skip
    left = max(0, study.trials - len(done))
    if study.combinations is not None:
        left = min(left, max(0, study.combinations - len({tuple(row.values.items()) for row in rows if row.values})))
    spread = float(np.std(seconds) / np.mean(seconds) / np.sqrt(max(1, left)))
    hours = Pace.fitted(macs, activations, seconds).hours(macs, activations, max(left / workers, min(left, 1)), spread)
    most = min(bounds, default=math.inf)
    return Hours(min(hours.low, most), min(hours.middle, most), min(hours.high, most))


def _columns(macs: ArrayLike, activations: ArrayLike) -> NDArray[np.float64]:
    work = np.asarray(macs, dtype=np.float64)
    return np.stack([np.ones_like(work), work, np.asarray(activations, dtype=np.float64)], axis=1)
