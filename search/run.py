"""Running a study: everything is checked first, then its trials are done in this process, in others, or elsewhere."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from ..scaler.documents import write_text
from ..trainer.data.records import Dataset
from ..trainer.data.sources import open_dataset
from ..trainer.recipe import Recipe
from ..trainer.run_folder import EpochRow
from .candidates import Bases
from .coordinator import Crew, Reporter, in_child, pinned, run_crew
from .early_stop import early_stop
from .epoch_bars import Watch
from .feasible import Feasible
from .front_folder import write_front
from .guide import GUIDE
from .leases import lease
from .ledger import Ledger
from .lock_file import conditions, write_lock
from .machine import write_machine
from .prediction import predictor
from .rows import Row
from .seeds import TABLE, seed_rows, write_seeds
from .starting import run_to_start_from
from .status import StudyRecord
from .storages import patiently
from .stored_study import differences, read_stored, recipe_of, sealed, write_study
from .study import Study
from .study_data import seen
from .trial import OnEpoch, OnFigures, Outcome, Task, attempt
from .worker import Attempt, Pulse, Stopper, Worker

if TYPE_CHECKING:
    from optuna.trial import Trial

Say = Callable[[str], None]


def run_study(
    study: Study,
    folder: Path,
    *,
    storage: str | None = None,
    device: str = "auto",
    crew: Crew | None = None,
    hours: float | None = None,
    trial_hours: float | None = None,
    say: Say = lambda line: None,
    watch: Watch | None = None,
) -> list[Row]:
    """Run a study until its total of trials is trained, or go on with one that was begun.

    A candidate that cannot be built or is over a bound is noted and never trained; a repeated one takes over the
    result; a training that fails is noted, and the study goes on. An interrupt leaves a study that can go on.

    Args:
        study: as read by `load_study`.
        folder: where it is kept (`default_folder`).
        storage: URL of a database, `journal:PATH` or `grpc://HOST:PORT`; an SQLite file in the folder where None.
        device: "auto", "cpu", "cuda", "cuda:1" …
        crew: who does the trials, each in a fresh process; this process alone where None.
        hours: after which trainings are cut and handed back, to within one optimiser step; the study's where None.
        trial_hours: after which a trial's training fails.
        say: is told one line for each trial.
        watch: is told each epoch of a trial, and None when the trial ends.

    Returns:
        Every trial, as in `trials.csv`.

    Raises:
        InputError: study, data, recipe, device or folder do not fit; nothing has been written then.
        CatscaleError: trainings fail one after another for the same reason, or the disk is full.
    """
    if crew is not None:
        crew.backend.check()
    if crew is not None and crew.workers == 1 and crew.devices and crew.backend.kind == "loky":
        pinned(crew.devices[0])
    worker, dataset, found = _prepared(study, folder, device, say)
    worker = replace(
        worker,
        deadline=None if (bound := hours or study.budget.hours) is None else time.time() + 3600 * bound,
        limit_s=None if trial_hours is None else 3600 * trial_hours,
    )
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(worker.study, folder, storage)
    try:
        write_study(worker.study, folder / "study.yaml")
        write_machine(folder / "hardware.json", worker.device)
        write_text(folder / "README.txt", GUIDE)
        for line in write_lock(folder, found, study.data):
            say(f"{study.name}: {line}")
        if crew is None or crew == Crew():
            _alone(ledger, replace(worker, attempt=_here(dataset) if crew is None else in_child()), say, watch)
        else:
            run_crew(ledger, worker, crew, storage, say, watch)
        return _left(ledger)
    except BaseException:
        with suppress(Exception):  # the tables are not worth a second complaint
            _left(ledger)
        raise
    finally:
        ledger.close()


def _left(ledger: Ledger) -> list[Row]:
    """Write what a study leaves of its trials; gives them."""
    patiently(ledger.write)
    with ledger.exclusive():
        rows = patiently(ledger.rows)
        record = StudyRecord(ledger.folder, ledger.study, rows)
        write_seeds(ledger.folder / TABLE, seed_rows(record))
        write_front(record)
    return rows


def _alone(ledger: Ledger, worker: Worker, say: Say, watch: Watch | None) -> None:
    """Work in this process."""
    if watch is not None:
        worker = replace(worker, stopper=_watched(worker.stopper, watch))
    with lease(worker.folder) as held:
        show = Reporter(ledger, held.name, say, watch)
        show()
        pulse = Pulse(ledger, held, held.name)
        with pulse.beating():
            replace(worker, changed=lambda: patiently(show), say=say).work(ledger, pulse)


def _here(dataset: Dataset) -> Attempt:
    """What does each trial's work in this process."""

    def here(task: Task, on_figures: OnFigures, on_epoch: OnEpoch, pulse: Pulse) -> Outcome:
        ends = [end for end in (task.deadline, pulse.spent_by()) if end is not None]
        return attempt(replace(task, deadline=min(ends, default=None)), dataset, on_figures, on_epoch)

    return here


def _watched(stopper: Stopper, watch: Watch) -> Stopper:
    def told(ledger: Ledger, trial: "Trial", row: EpochRow) -> str:
        watch(trial.number, row)
        return stopper(ledger, trial, row)

    return told


def _prepared(study: Study, folder: Path, device: str, say: Say) -> tuple[Worker, Dataset, dict[str, Any]]:
    """Everything that can be refused before anything is written; with the data, and what the lock is to say."""
    from ..scaler.devices import find_device

    try:
        recipe = recipe_of(study)
    except InputError as error:
        raise InputError(f"{study.name}: recipe: {error}") from error
    Bases(study)  # refuses an unknown base before the data is opened
    stopper = early_stop(study.fidelity.stop, study.objectives, recipe.epochs, study.fidelity.rungs)
    where = str(find_device(device))
    whole = open_dataset(study.data)
    study = sealed(study.model_copy(update={"contents": None}), whole)  # a stored study's are of the data as it was
    if (folder / "study.yaml").is_file() and (changed := differences(read_stored(folder / "study.yaml"), study)):
        lines = "\n  ".join(changed)
        raise InputError(f"{folder}: was begun with another study; put it back, or choose another --folder:\n  {lines}")
    dataset = seen(study, whole, say)
    if (warm := run_to_start_from(study)) is not None:
        warm.check_classes(dataset.classes)
    bases = Bases(study, len(dataset.classes), _with_anchors(study, recipe, dataset, say), predictor(study, say))
    Feasible(study, bases).check()
    worker = Worker(study, folder, bases, recipe, where, _here(dataset), stopper=stopper)
    return worker, dataset, conditions(whole, where)


def _with_anchors(
    study: Study, recipe: Recipe, dataset: Dataset, say: Say
) -> Callable[[Architecture], Architecture] | None:
    """What settles the anchors of a base, which all its candidates share: the same in every worker of a study."""
    from ..trainer.anchors import settle_anchors

    if recipe.anchors == "keep":
        return None

    def settled(base: Architecture) -> Architecture:
        if not base.head.anchored:
            return base
        split = dataset.split("train")
        its = settle_anchors(base, split, recipe.anchors, size_px=base.size, anchor_t=recipe.anchor_t, seed=study.seed)
        say(f"{base.name}: {its}")
        return its.arch

    return settled
