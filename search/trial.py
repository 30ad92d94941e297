"""One trial's work, from a counted candidate to its results: measure, check, train. It knows nothing of storages."""

import math
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..blocks.errors import CatscaleError
from ..scaler.architecture import Architecture
from ..scaler.documents import write_text
from ..trainer.data.records import Dataset
from ..trainer.interruption import TimeUp
from ..trainer.recipe import Recipe
from ..trainer.run_folder import EpochRow, RunFacts, RunFolder
from ..trainer.warm_start import WarmStart
from .candidates import over_budget
from .outcomes import SINCE, TIME_LIMIT, Kind, Outcome, failure
from .study import Study
from .study_data import follow

OnFigures = Callable[[Mapping[str, float]], None]  # is told what has been measured
OnEpoch = Callable[[EpochRow], str]  # is told each epoch; says why the training is to stop, or nothing


class Stopped(CatscaleError):
    """A training was ended early, as not worth the rest."""


@dataclass(frozen=True)
class Task:
    """What there is to do."""

    number: int  # of the trial
    study: Study
    architecture: Architecture
    recipe: Recipe
    folder: Path  # of the run
    device: str
    threads: int | None = None  # of torch on a processor; what the machine has where None
    figures: Mapping[str, float] = field(default_factory=dict)  # what is known of the candidate
    deadline: float | None = None  # when the work is to be handed back; seconds since the epoch
    limit_s: float | None = None  # that the training of a trial may take
    start: WarmStart | None = None  # with random weights where None

    def document(self) -> dict[str, Any]:
        """As plain data, which `read` makes a task of again."""
        return {
            **{name: getattr(self, name) for name in ("number", "device", "threads", "deadline", "limit_s")},
            "folder": str(self.folder),
            "figures": dict(self.figures),
            "start": None if self.start is None else {"run": str(self.start.run), "how": self.start.how},
            "study": self.study.model_dump(mode="json"),
            "recipe": self.recipe.model_dump(mode="json"),
            "architecture": self.architecture.to_yaml(),
        }


def latency_file(run: Path) -> Path:
    """Where a study keeps the latency of a trial with its samples; a run folder is begun by its training alone."""
    return run.parent.parent / "latency" / f"{run.name}.json"


def attempt(task: Task, dataset: Dataset, on_figures: OnFigures, on_epoch: OnEpoch) -> Outcome:
    """Measure a candidate and train it in its run folder, or go on with the run that is there.

    Raises:
        KeyboardInterrupt: as a signal asked; the state is saved where the training had begun.
    """
    try:
        return _attempted(task, dataset, on_figures, on_epoch)
    except Stopped as stop:
        facts = RunFolder(task.folder).read_facts()
        return Outcome("stopped", str(stop), _results(facts))
    except (CatscaleError, RuntimeError, MemoryError) as error:
        return Outcome("failed", failure(error))


def _attempted(task: Task, dataset: Dataset, on_figures: OnFigures, on_epoch: OnEpoch) -> Outcome:
    from ..scaler.latency.architectures import SEARCHING, measure_latency
    from ..scaler.latency.results import results_text
    from ..trainer.loop import train
    from ..trainer.threads import compute_threads

    runs = task.study.runs_of(task.folder)
    if "latency_ms" not in task.figures:
        threads = task.threads or compute_threads()
        protocol = SEARCHING.replace(device=task.device, threads=threads, **task.study.latency.measuring)
        # A candidate is worth more than a steady clock: an unsteady figure stands, with its spread.
        measured = measure_latency(task.architecture, protocol)
        write_text(latency_file(task.folder), results_text([measured]))
        taken = measured.summary
        median_ms, iqr_ms = round(taken.median_ms, 4), round(taken.iqr_ms, 4)
        figures = {**task.figures, "latency_ms": median_ms, "latency_iqr_ms": iqr_ms}
        on_figures(figures)
        if reason := over_budget(task.study, figures):
            return Outcome("refused", reason)

    if all(map(_done, runs.values())):  # its worker died between the end of the training and the note of it
        return _completed([run.read_facts() for run in runs.values()])

    def told(row: EpochRow) -> None:
        if why := on_epoch(row):
            raise Stopped(why)

    spent_s = sum(run.read_facts().seconds for run in runs.values() if run.facts.is_file())
    own = _own_deadline(task, spent_s)
    on_figures({SINCE: time.time() - spent_s})
    try:
        for seed, run in runs.items():
            if not _done(run):
                if run.path != task.folder and not run.state.is_file():  # it died before its first state was saved
                    shutil.rmtree(run.path, ignore_errors=True)
                follow(run, dataset)
                train(
                    task.architecture,
                    dataset,
                    task.recipe,
                    run.path,
                    seed=seed,
                    device=task.device,
                    on_epoch=told if run.path == task.folder else None,  # whether it is worth it shows in the first
                    start=task.start,
                    resume=run.state.is_file(),
                    deadline=min((end for end in (task.deadline, own) if end is not None), default=None),
                )
    except TimeUp:
        if own is not None and (task.deadline is None or own < task.deadline):
            return Outcome("failed", f"{TIME_LIMIT}: its training took {task.limit_s:g} s")
        return Outcome("interrupted", "the time is up")
    return _completed([run.read_facts() for run in runs.values()])


def _done(run: RunFolder) -> bool:
    return run.facts.is_file() and run.read_facts().status == "complete"


def _own_deadline(task: Task, spent_s: float) -> float | None:
    return None if task.limit_s is None else time.time() + max(task.limit_s - spent_s, 0.0)


def _results(*trainings: RunFacts) -> dict[str, float]:
    """The means over the seeds, and what all have spent; energy is left out where it is not known of one."""
    results = {
        "ap": statistics.fmean(facts.ap for facts in trainings),
        "ap50": statistics.fmean(facts.ap50 for facts in trainings),
        "seconds": sum(facts.seconds for facts in trainings),
    }
    energy = [facts.energy.joules for facts in trainings if facts.energy and facts.energy.joules is not None]
    return results | ({"energy_joules": sum(energy)} if len(energy) == len(trainings) else {})


def _completed(trainings: Sequence[RunFacts]) -> Outcome:
    """The mean over the seeds; of several, with the standard deviation of AP."""
    results = _results(*trainings)
    if len(trainings) > 1:
        results["ap_spread"] = statistics.stdev(facts.ap for facts in trainings)
    kind: Kind = "complete" if math.isfinite(results["ap"]) else "failed"
    return Outcome(kind, "" if kind == "complete" else "diverged: AP is not a number", results)
