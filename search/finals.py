"""What is chosen at a study's end, trained in full: afresh, by the study's recipe and on all of its training images."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..blocks.errors import InputError
from ..scaler.documents import read_text, write_text
from ..trainer.data.records import Dataset
from ..trainer.data.sources import open_dataset
from ..trainer.recipe import Recipe
from ..trainer.run_folder import EpochRow, RunFacts, RunFolder
from .rows import Row
from .status import StudyRecord
from .stored_study import BY_CONTENT
from .study import SHAPES
from .study_data import data_identity, follow

if TYPE_CHECKING:
    from ..scaler.latency.measure import Measurement

LONGER = 3  # times the study's epochs, where no number is given
TEST, LATENCY = "test.json", "latency.json"  # in the folder of a run: what it came to on the test split and the device

Watch = Callable[[EpochRow], None]


@dataclass(frozen=True)
class Final:
    """What a chosen detector came to."""

    row: Row  # in the study
    run: RunFolder
    facts: RunFacts  # its AP is that on the split val
    test: dict[str, Any] | None  # COCO's figures on the split test; None where the data has none
    latency: "Measurement"


def full_recipe(run: RunFolder, epochs: int | None = None) -> Recipe:
    """How the detector of a trial is trained in full: as in the study, for longer; its anchors are settled.

    Raises:
        InputError: the run's recipe cannot be read.
    """
    recipe = run.read_recipe()
    return recipe.model_copy(update={"epochs": epochs or LONGER * recipe.epochs, "anchors": "keep"})


def trial_run(record: StudyRecord, row: Row) -> RunFolder:
    """The run of a trial that is to be trained in full.

    Raises:
        InputError: its folder is gone.
    """
    run = RunFolder(record.run_folder(row))
    if not run.architecture.is_file() or not run.recipe.is_file():
        raise InputError(
            f"{run.path}: the folder of trial {row.number} is gone, and with it its architecture and recipe"
        )
    return run


def place_of(record: StudyRecord, row: Row, epochs: int | None) -> Path:
    """Where a choice is trained: in the first of `selected/7`, `selected/7-2` … that is free, or is of this training.

    Raises:
        InputError: the trial's run folder is gone, or a file is in the way.
    """
    parent, trial = record.folder / "selected", trial_run(record, row)
    if parent.is_file():
        raise InputError(f"{parent}: is a file; name another --folder")
    for number in count(1):
        run = RunFolder(parent / (f"{row.number}" if number == 1 else f"{row.number}-{number}"))
        its = run.facts.is_file() and is_of(run, trial, full_recipe(trial, epochs), record.study.seed)
        if its or not run.path.exists():
            return run.path
    raise AssertionError


def finals_data(record: StudyRecord, data: str | None = None) -> Dataset:
    """The data of a study with all its splits; `data` is where it lies by now, if not where it was.

    Raises:
        InputError: it is not there, or is not what the study saw.
    """
    reference = data or record.study.data
    if reference != SHAPES and not Path(reference).exists():
        raise InputError(f"{record.folder}: its data is not at {reference} any more; say where it is by --data")
    dataset, contents = open_dataset(reference), record.study.contents
    if contents and contents.format >= BY_CONTENT and data_identity(reference, dataset) != contents.data:
        raise InputError(
            f"{reference}: is not the data that the study saw: other images or labels in train or val, so "
            f"that no figures could be compared; put it back, or: catscale train ARCHITECTURE --data {reference}"
        )
    return dataset


def train_in_full(
    record: StudyRecord,
    row: Row,
    dataset: Dataset,
    folder: Path,
    *,
    epochs: int | None,
    seed: int,
    device: str,
    watch: Watch | None = None,
) -> RunFolder:
    """Train the detector of a trial in full; a run that is there goes on, and one that is complete is as it is.

    Not from the trial's weights: their learning rate has come down for a training of the study's length.

    Args:
        record: the study.
        row: the trial.
        dataset: as `finals_data` gives it.
        folder: of the run; new, empty, or of this very training.
        epochs: three times the study's where None.
        seed: of weights, order and augmentation.
        device: "cpu", "cuda" …
        watch: is told each epoch.

    Raises:
        InputError: the folder holds another run, or the trial's is gone.
        Interrupted: a signal ended it; the same call goes on.
    """
    from ..trainer.loop import train

    trial, run = trial_run(record, row), RunFolder(folder)
    recipe, architecture = full_recipe(trial, epochs), trial.read_architecture()
    began = run.facts.is_file()
    if began and not is_of(run, trial, recipe, seed):
        raise InputError(f"{folder}: holds another training; take another --folder, or remove it")
    if began and run.read_facts().status == "complete":
        return run
    follow(run, dataset)
    train(
        architecture,
        dataset,
        recipe,
        folder,
        seed=seed,
        device=device,
        on_epoch=watch,
        resume=began,
    )
    return run


def is_of(run: RunFolder, trial: RunFolder, recipe: Recipe, seed: int) -> bool:
    """Whether a run trains the detector of a trial by such a recipe and seed."""
    facts = run.read_facts()
    return (facts.seed, facts.fingerprint) == (seed, trial.read_facts().fingerprint) and run.read_recipe() == recipe


def finished(record: StudyRecord, row: Row, run: RunFolder, dataset: Dataset, device: str) -> Final:
    """Judge a training in full: on the test split, once, and by its latency on the device.

    Raises:
        InputError: the weights are gone, or an image of the test split cannot be read.
        CatscaleError: the device stays busy.
    """
    test = tested(run, dataset, device)
    return Final(row, run, run.read_facts(), test, timed(run, record.study.latency.batch, device))


def has_test(dataset: Dataset) -> bool:
    """Whether there is a test split with something to find."""
    return "test" in dataset.splits and any((~image.crowd).any() for image in dataset.splits["test"].images)


def tested(run: RunFolder, dataset: Dataset, device: str) -> dict[str, Any] | None:
    """COCO's figures on the test split, of the best weights; taken once, and kept in the run's folder from then on.

    None where there is no test split with something to find.
    """
    from ..scaler.build import deploy
    from ..scaler.optimised import optimised
    from ..trainer.evaluate import evaluate
    from ..trainer.run_folder import load_run
    from ..trainer.threads import sharing_cores

    path = run.path / TEST
    if path.is_file():
        return read_test(run)
    if not has_test(dataset):
        return None
    trained = load_run(run.path)
    recipe = trained.recipe
    with sharing_cores(device):
        metrics = evaluate(
            optimised(deploy(trained.model), device),
            dataset.split("test"),
            dataset,
            size_px=trained.facts.size_px,
            conf=recipe.conf,
            iou=recipe.iou,
            max_det=recipe.max_det,
            batch=recipe.batch,
            device=device,
        )
    found = {"split": "test", "epoch": trained.epoch, **metrics.to_json()}
    write_text(path, json.dumps(found, indent=2, allow_nan=False) + "\n")
    return found


def read_test(run: RunFolder) -> dict[str, Any] | None:
    """The figures on the test split that a run's folder has; None where it has none.

    Raises:
        InputError: the file is damaged.
    """
    path = run.path / TEST
    if not path.is_file():
        return None
    try:
        found = json.loads(read_text(path))
        return {**found, "ap": float(found["ap"]), "ap50": float(found["ap50"])}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no evaluation: {error}; remove it, and it is evaluated again") from error


def timed(run: RunFolder, batch: int, device: str) -> "Measurement":
    """The latency of a run's detector by the protocol; kept in the run's folder."""
    from ..scaler.latency.architectures import measure_latency
    from ..scaler.latency.protocol import Protocol
    from ..trainer.threads import compute_threads

    found = measure_latency(run.read_architecture(), Protocol(device=device, threads=compute_threads(), batch=batch))
    write_text(run.path / LATENCY, json.dumps(found.to_json(), indent=2) + "\n")
    return found
