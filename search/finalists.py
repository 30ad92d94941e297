"""The best of a front trained again with other seeds, to see what of their order is noise."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..blocks.errors import InputError
from ..scaler.documents import write_text
from ..trainer.data.records import Dataset
from ..trainer.run_folder import EpochRow, RunFolder
from .finals import full_recipe, is_of, train_in_full, trial_run
from .repeats import Scores
from .rows import Row
from .status import StudyRecord
from .study import Study

REPEATS = "repeats"  # the folder, and the table
COLUMNS = ("trial", "name", "seed", "epochs", "ap", "ap50", "ap_in_study", "seconds", "folder")


def finalists(record: StudyRecord, top: int) -> list[Row]:
    """The members of the front with the highest AP, the best first.

    Raises:
        InputError: the front has fewer.
    """
    members = sorted(record.front, key=lambda row: (-row.figures["ap"], row.number))
    if len(members) < top:
        has = f"has {len(members)}" if members else "has none yet, as no trial is complete"
        raise InputError(f"{record.folder}: --repeat-top {top}: the front {has}")
    return members[:top]


def other_seeds(study: Study, count: int) -> list[int]:
    """The first seeds from 0 that the study has not trained with."""
    return [seed for seed in range(count + len(study.training_seeds)) if seed not in study.training_seeds][:count]


def repeat(
    record: StudyRecord,
    rows: Sequence[Row],
    dataset: Dataset,
    *,
    seeds: Sequence[int],
    epochs: int | None,
    device: str,
    watch: Callable[[int, EpochRow], None] = lambda number, row: None,
    say: Callable[[str], None] = lambda line: None,
) -> Scores:
    """Train finalists in full with other seeds, below `repeats/`, and keep `repeats.csv` up to date.

    What is complete is not trained again, and what was interrupted goes on. All are judged by the split val: the test
    split is for the one that is chosen. Every finalist has had a seed before any has the next.

    Args:
        record: the study.
        rows: the finalists.
        dataset: as `finals_data` gives it.
        seeds: of weights, order and augmentation.
        epochs: three times the study's where None.
        device: "cpu", "cuda" …
        watch: is told each epoch, with the number of its trial.
        say: is told a line for each training.

    Returns:
        AP of each finalist by seed.

    Raises:
        InputError: a trial's folder is gone, or one for a repeat holds another training; nothing has been trained then.
        Interrupted: a signal ended a training; the same call goes on.
    """
    runs = {(row.number, seed): RunFolder(place(record, row, seed)) for seed in seeds for row in rows}
    _check(record, rows, runs, epochs)
    scores: dict[int, dict[int, float]] = {row.number: {} for row in rows}
    for seed in seeds:
        for row in rows:
            train_in_full(
                record,
                row,
                dataset,
                runs[row.number, seed].path,
                epochs=epochs,
                seed=seed,
                device=device,
                watch=lambda epoch, number=row.number: watch(number, epoch),
            )
            facts = runs[row.number, seed].read_facts()
            scores[row.number][seed] = facts.ap
            say(f"trial {row.number} with seed {seed}: AP {facts.ap:.4f} after {facts.epochs} epochs")
            write_repeats(record)
    return scores


def place(record: StudyRecord, row: Row, seed: int) -> Path:
    """Where a repeat is kept."""
    return record.folder / REPEATS / str(row.number) / f"seed-{seed}"


def write_repeats(record: StudyRecord) -> None:
    """Write `repeats.csv`: a line for each complete repeat that is on the disk."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    by_number = {row.number: row for row in record.rows}
    for run in _complete(record.folder):
        facts, row = run.read_facts(), by_number[int(run.path.parent.name)]
        figures = (f"{value:.6g}" for value in (facts.ap, facts.ap50, row.figures["ap"], facts.seconds))
        ap, ap50, in_study, seconds = figures
        folder = run.path.relative_to(record.folder).as_posix()
        writer.writerow([row.number, row.name, facts.seed, facts.epochs, ap, ap50, in_study, seconds, folder])
    write_text(record.folder / f"{REPEATS}.csv", text.getvalue())


def _complete(folder: Path) -> Iterator[RunFolder]:
    paths = (path.parent for path in (folder / REPEATS).glob("*/seed-*/run.json"))
    for path in sorted(paths, key=lambda path: (int(path.parent.name), int(path.name.removeprefix("seed-")))):
        if RunFolder(path).read_facts().status == "complete":
            yield RunFolder(path)


def _check(
    record: StudyRecord, rows: Sequence[Row], runs: dict[tuple[int, int], RunFolder], epochs: int | None
) -> None:
    """Refuse what could not be gone on with, before the first training."""
    trials = {row.number: trial_run(record, row) for row in rows}
    for (number, seed), run in runs.items():
        recipe = full_recipe(trials[number], epochs)
        if run.facts.is_file() and not is_of(run, trials[number], recipe, seed):
            raise InputError(
                f"{run.path}: was trained for {run.read_recipe().epochs} epochs, or by another recipe, and this is for "
                f"{recipe.epochs}; say --epochs {run.read_recipe().epochs}, or remove {record.folder / REPEATS}"
            )
