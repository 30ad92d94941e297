"""Choosing one detector off the front, with a sentence that says why, and training it further."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..blocks.errors import InputError
from ..trainer.run_folder import EpochRow, RunFolder
from .pareto import knee
from .quantities import QUANTITIES, shown
from .rows import Row
from .status import StudyRecord

LONGER = 3  # times the study's epochs, where no number is given


@dataclass(frozen=True)
class Choice:
    """A trial, and why it was chosen."""

    row: Row
    why: str


@dataclass(frozen=True)
class Trained:
    """What a chosen detector came to in the study, and after its own training."""

    choice: Choice
    before: dict[str, float]  # ap, ap50, epochs
    after: dict[str, float]
    folder: Path


def select(record: StudyRecord, how: str) -> Choice:
    """Choose a trial: `knee`, `best` (AP), `fastest` (latency) off the front, or any by its number.

    Raises:
        InputError: there is nothing to choose from, or no such trial or word.
    """
    members = record.front
    if not members:
        raise InputError(f"{record.folder}: no trial is complete, so there is nothing to select")
    if how.isdigit():
        return _numbered(record, int(how), members)
    match how:
        case "best":
            aim = next(name for name in record.study.objectives if QUANTITIES[name].trained)
            row = max(members, key=lambda row: row.figures[aim])
            return Choice(row, f"it has the highest {_figure(row, aim)} of all {len(members)} on the front")
        case "fastest":
            row = min(members, key=lambda row: row.figures["latency_ms"])
            return Choice(row, f"it has the lowest {_figure(row, 'latency_ms')} of all {len(members)} on the front")
        case "knee":
            names = list(record.study.objectives)
            points = np.array([[row.figures[name] for name in names] for row in members])
            row = members[knee(points, [record.study.objectives[name] for name in names])]
            reach = " and ".join(_figure(row, name) for name in names)
            return Choice(row, f"it is the knee of the front: beyond {reach}, more of one costs most of another")
        case _:
            raise InputError(f"--select {how}: is none of knee, best, fastest, nor a trial's number")


def train_further(
    record: StudyRecord,
    choice: Choice,
    *,
    epochs: int | None,
    folder: Path,
    device: str = "auto",
    watch: Callable[[EpochRow], None] | None = None,
) -> Trained:
    """Train a chosen detector for longer: afresh, by the study's recipe, data and seed.

    Not from its weights: their learning rate has come down for a training of the study's length.

    Args:
        record: the study.
        choice: as `select` gives it.
        epochs: three times the study's where None.
        folder: of the new run; new or empty.
        device: "auto", "cpu", "cuda" …
        watch: is told each epoch.

    Raises:
        InputError: the trial's run folder or the data is gone, or the folder is taken.
    """
    from ..scaler.devices import find_device
    from ..trainer.data.sources import open_dataset
    from ..trainer.loop import train

    run = RunFolder(record.run_folder(choice.row))
    recipe = run.read_recipe()
    longer = recipe.model_copy(update={"epochs": epochs or LONGER * recipe.epochs})
    result = train(
        run.read_architecture(),
        open_dataset(record.study.data),
        longer,
        folder,
        seed=record.study.seed,
        device=str(find_device(device)),
        on_epoch=watch,
    )
    figures = choice.row.figures
    before = {"ap": figures["ap"], "ap50": figures["ap50"], "epochs": recipe.epochs}
    after = {"ap": result.ap, "ap50": result.ap50, "epochs": longer.epochs}
    return Trained(choice, before, after, result.folder)


def _numbered(record: StudyRecord, number: int, members: list[Row]) -> Choice:
    row = next((row for row in record.rows if row.number == number), None)
    if row is None or row.state != "complete":
        what = f"is {row.state}: {row.reason}" if row else "is not there"
        on_front = ", ".join(str(member.number) for member in members)
        raise InputError(f"--select {number}: trial {number} {what}; on the front are {on_front}")
    where = "on" if row in members else "not on"
    return Choice(row, f"it was named; it is {where} the front")


def _figure(row: Row, name: str) -> str:
    return f"{QUANTITIES[name].title} ({shown(name, row.figures[name])})"
