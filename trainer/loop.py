"""The training loop: one for every architecture, with or without auxiliary heads, on one process or many."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from ..scaler.devices import gpu_uuid
from .checkpoint import load_state
from .data.records import Dataset
from .distributed import Bereft, World, bereft, joined
from .divergence import Diverged
from .energy import Energy, Meter
from .interruption import requests_to_stop
from .memory_limits import OutOfMemory, ShortOfMemory, out_of_memory
from .optimiser import checked_batch, halved, with_batch
from .preflight import check_training
from .recipe import Recipe
from .run_folder import EpochRow, RunFacts, RunFolder, ended
from .threads import sharing_cores
from .training import Training
from .warm_start import WarmStart


@dataclass(frozen=True)
class TrainResult:
    """What a training came to; AP is that of the best epoch."""

    ap: float
    ap50: float
    best_epoch: int  # counted from 1
    epochs: int
    seconds: float
    folder: Path


def train(
    arch: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    size_px: int | None = None,
    on_epoch: Callable[[EpochRow], None] | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    on_event: Callable[[str], None] | None = None,
    start: WarmStart | None = None,
    resume: bool = False,
    batch: int | None = None,
    deadline: float | None = None,
) -> TrainResult:
    """Train a detector on the "train" split of a data set, and evaluate it on "val" after every epoch.

    The folder is readable at any time: each epoch ends with a whole checkpoint. A training that is killed goes on from
    its last whole epoch; one that a signal (SIGINT, SIGTERM) ends saves its state after the next optimiser step, and
    goes on from there. On one CPU with the same number of threads, either equals an unbroken one to the bit. Where
    memory runs short the batch is halved and the epoch begun again, with as many images in an optimiser step.

    Where a launcher started several processes (`torchrun`, `--devices`), each takes its share of every batch; the first
    one evaluates, writes and reports.

    Args:
        arch: the detector; its classes are as many as the data set's.
        dataset: has the splits "train" and "val".
        recipe: all settings.
        folder: where the run is kept; new or empty, unless `resume`.
        seed: of the weights, the order of the images and their augmentation.
        device: "cpu", "cuda" ...
        size_px: side of the square input; the architecture's own where None.
        on_epoch: called after each epoch's evaluation and checkpoint; what it raises stops the training.
        on_batch: called after each batch with how many of how many are done.
        on_event: told in a sentence what is out of the ordinary: weights that came over, weights taken back, a smaller
            batch, an early end.
        start: what to begin with in place of random weights; a run that is resumed has begun already.
        resume: go on in `folder`. A recipe with more epochs extends the run, whose schedule is then that of the new
            number of epochs; nothing else may differ but the patience.
        batch: images in a forward pass where memory allows fewer than the recipe's; as many make an optimiser step.
        deadline: when to save the state and end at the latest, to within one optimiser step; seconds since the epoch.

    Raises:
        InputError: data, architecture, recipe and folder do not fit each other, or a file cannot be written.
        Diverged: the loss was not finite for many batches in a row, twice.
        OutOfMemory: not even a batch of one image fits.
        ShortOfMemory: a batch did not fit in this one of several processes; a resume with fewer goes on.
        NotCompiled: the recipe asks for it, and torch's compiler failed.
        Bereft: another of several processes ended.
        Interrupted: a signal ended the training; its state is saved.
        TimeUp: the deadline did; its state is saved.
    """
    size_px = arch.size if size_px is None else size_px
    place = torch.device(device)
    with joined(place) as world, sharing_cores(device), requests_to_stop(deadline) as request:
        run = RunFolder(world.told(Path(folder)))
        checked = None
        if world.chief:
            checked = check_training(
                arch, dataset, recipe, run, seed=seed, device=str(device), size_px=size_px, start=start, resume=resume
            )
        facts: RunFacts = world.told(checked)
        before = run.read_facts() if resume else facts
        start = None if facts.start is None else WarmStart(Path(facts.start.run), facts.start.how)
        tell = on_event if on_event and world.chief else _ignore

        def begin(batch: int, resume: bool) -> Training:
            settings = recipe if batch == recipe.batch else with_batch(recipe, batch)
            goes_on = resume and run.state.is_file()
            begun = Training(
                arch,
                dataset,
                settings,
                run,
                seed=seed,
                device=place,
                size_px=size_px,
                world=world,
                request=request,
                tell=tell,
                start=None if goes_on else start,
            )
            if goes_on:
                begun.restore(load_state(run.state))
                begun.kept = before.epochs if before.status == "complete" else 0
            return begun

        # What a resumed run had to go down to holds.
        facts = replace(facts, batch=checked_batch(batch or before.batch or recipe.batch, recipe))
        training = begin(facts.batch, resume)
        if start is not None and facts.start is not None and (carried := training.step.carried):
            tell(f"{facts.start.run}: {carried.words}{start.other_classes(dataset.classes)}")
            began = replace(facts.start, parameters=carried.parameters, carried=carried.carried)
            facts = replace(facts, start=began)
        if world.chief:
            run.write_settings(arch, recipe)
        spent_before = before.energy or Energy() if resume else None
        with Meter(world.gathered(gpu_uuid(place)) if place.type == "cuda" else ()) as meter:
            result = _run(training, begin, run, facts, world, on_epoch, on_batch, tell, meter, spent_before)
    return TrainResult(result.ap, result.ap50, result.best_epoch, result.epochs, result.seconds, run.path)


def _run(
    training: Training,
    begin: Callable[[int, bool], Training],
    run: RunFolder,
    facts: RunFacts,
    world: World,
    on_epoch: Callable[[EpochRow], None] | None,
    on_batch: Callable[[int, int], None] | None,
    tell: Callable[[str], None],
    meter: Meter,
    spent_before: Energy | None,
) -> RunFacts:
    """Train to the end, with smaller batches where memory is short; whatever ends it, the folder says so."""

    def note(facts: RunFacts) -> None:
        if world.chief:
            spent = meter.spent()
            run.write_facts(replace(facts, energy=spent_before + spent if spent_before else spent))

    note(ended(facts, "running", training.rows))
    rows = training.rows
    try:
        while not training.over:
            try:
                row = training.epoch(on_batch)
            except (RuntimeError, MemoryError) as error:
                if bereft(error):
                    raise Bereft("another process of the training has ended") from error
                if not out_of_memory(error):
                    raise
                row = None  # what follows waits until the error no longer holds the tensors of its step
            if row is None:
                facts = _smaller(facts, len(rows) + 1, world, tell)
                training.let_go()
                training = begin(facts.batch, True)
                rows = training.rows
                continue
            note(ended(facts, "running", rows))
            if on_epoch and world.chief:
                on_epoch(row)
    except BaseException as error:  # an interrupt too
        status = "diverged" if isinstance(error, Diverged) else "stopped"
        with suppress(InputError):  # a full disk has been complained of already
            note(ended(facts, status, rows, str(error) or type(error).__name__))
        raise
    facts = ended(facts, "complete", rows, training.why_over)
    note(facts)
    return facts


def _smaller(facts: RunFacts, epoch: int, world: World, tell: Callable[[str], None]) -> RunFacts:
    """The facts with a smaller batch, after memory ran out."""
    place = f"out of memory in epoch {epoch}"
    if facts.batch <= world.size:
        raise OutOfMemory(f"{place} with batch {facts.batch}; take a smaller --size")
    smaller = replace(facts, batch=halved(facts.batch))
    if world.size > 1:  # others wait for this process in the middle of a step: only new ones can agree on anything
        raise ShortOfMemory(f"{place} with batch {facts.batch}, in process {world.rank} of {world.size}", smaller.batch)
    tell(f"{place}: it begins again with batch {smaller.batch}, with as many images in an optimiser step")
    return smaller


def _ignore(event: str) -> None:
    pass
