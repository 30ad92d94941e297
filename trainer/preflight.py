"""What must fit before a training starts: architecture, data, recipe, run folder. No torch: mistakes show at once."""

import os
from dataclasses import replace
from pathlib import Path

from ..blocks.errors import InputError
from ..blocks.heads import HEAD_WORDS, EtHead
from ..scaler.architecture import Architecture, check_size
from .data.records import Dataset
from .pairings import check_pairing
from .recipe import Recipe
from .run_folder import RunFacts, RunFolder, StartFacts, versions
from .warm_start import WarmStart


def check_training(
    arch: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    run: RunFolder,
    *,
    seed: int,
    device: str,
    size_px: int,
    start: WarmStart | None,
    resume: bool,
) -> RunFacts:
    """Hold all that a training is given against each other, and say what its `run.json` begins with.

    Raises:
        InputError: something does not fit; nothing has been written.
    """
    check_data(arch, dataset, recipe, size_px)
    facts = RunFacts(
        architecture=arch.name,
        fingerprint=arch.fingerprint,
        classes=dataset.classes,
        category_ids=dataset.category_ids,
        data=dataset.source,
        size_px=size_px,
        seed=seed,
        device=device,
        versions=versions(),
    )
    if resume:
        _check_resume(run, facts, recipe)
        return replace(facts, start=_start_of(run, arch))
    run.refuse_if_taken()
    return facts if start is None else replace(facts, start=start.check(arch, dataset.classes))


def rank_from_environment() -> int:
    """This process's place among those that a launcher started together; 0 without one. It alone writes and speaks."""
    return int(os.environ.get("RANK", "0"))


def size_from_environment() -> int:
    """How many processes a launcher started together; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def under_torchrun() -> bool:
    """Whether that launcher is torch's, which does not begin again by itself."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def check_trainable(arch: Architecture, recipe: Recipe, size_px: int) -> None:
    """Hold a detector against a recipe and an input size; batch norm needs more than one cell of the largest stride.

    Raises:
        InputError: the recipe's assigner is none for the kind of head, or the size is too small or not a multiple.
    """
    check_pairing(arch, recipe.assigner)
    if not arch.head.anchored and isinstance(recipe.anchors, list):
        raise InputError(f"{arch.name}: anchors: its head, {HEAD_WORDS[type(arch.head)]}, has none; leave them out")
    if isinstance(arch.head, EtHead) and arch.head.bins < 2:
        raise InputError(f"{arch.name}: head: a side of {arch.head.bins} bin has no length; give it 2 or more")
    least = 2 * arch.strides[-1]
    if 0 < size_px < least:
        raise InputError(f"{arch.name}: size {size_px} leaves a single cell; use {least} or more")
    check_size(size_px, arch.strides[-1], arch.name)


def check_data(arch: Architecture, dataset: Dataset, recipe: Recipe, size_px: int) -> None:
    """Hold architecture, data and recipe against each other.

    Raises:
        InputError: as `check_trainable`, or the classes differ, or there is nothing to learn or measure.
    """
    check_trainable(arch, recipe, size_px)
    if arch.classes != len(dataset.classes):
        raise InputError(
            f"{arch.name} has {arch.classes} classes, {dataset.source} has {len(dataset.classes)} "
            f"({', '.join(dataset.classes)}); use the architecture with `classes` replaced"
        )
    for name in ("train", "val"):
        if not any((~image.crowd).any() for image in dataset.split(name).images):
            raise InputError(f"{dataset.source}: split {name!r} has no objects: nothing to learn or to measure")


def _start_of(run: RunFolder, arch: Architecture) -> StartFacts | None:
    """What a run began with; it is there to begin with once more where no state has been saved since."""
    facts = run.read_facts()
    if facts.start is None or run.state.is_file():
        return facts.start
    now = WarmStart(Path(facts.start.run), facts.start.how).check(arch, facts.classes)
    if facts.start.weights not in ("", now.weights):
        raise InputError(f"{run.path}: cannot begin once more: {now.run} has other weights by now; begin another run")
    return now


def _check_resume(run: RunFolder, wanted: RunFacts, recipe: Recipe) -> None:
    """Hold a run against what it is asked to go on with."""
    facts, before = run.read_facts(), run.read_recipe()
    if facts.fingerprint != wanted.fingerprint:
        raise InputError(f"{run.path}: is a run of {facts.architecture}, another graph than {wanted.architecture}'s")
    for name in ("classes", "data", "size_px", "seed"):
        was, now = getattr(facts, name), getattr(wanted, name)
        if was != now:
            raise InputError(f"{run.path}: cannot go on with {name} {now!r}: it began with {was!r}")
    same = before.model_dump() | {"epochs": recipe.epochs, "patience": recipe.patience}
    if different := [key for key, value in recipe.model_dump().items() if value != same[key]]:
        raise InputError(f"{run.path}: cannot go on with another recipe: {', '.join(different)} differ")
    if recipe.epochs < before.epochs:
        raise InputError(f"{run.path}: cannot go on with {recipe.epochs} epochs: it began with {before.epochs}")
    if facts.status == "diverged":
        start = f" (--weights {run.path} begins with its best weights)" if facts.epochs else ""
        raise InputError(
            f"{run.path}: cannot go on, it would only diverge again: {facts.reason}; begin another run{start}"
        )
    if facts.status == "complete" and recipe.epochs == before.epochs:
        raise InputError(
            f"{run.path}: is complete, {facts.epochs} of {before.epochs} epochs; ask for more epochs to extend it"
        )
