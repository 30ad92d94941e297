"""The data that a search may see: train and val; the test split is for what is chosen at the end."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ..trainer.data.records import Dataset, Split
from ..trainer.data.sources import open_dataset
from ..trainer.run_folder import RunFolder
from .study import SHAPES, Study

SEEN = ("train", "val")


def open_study_data(study: Study, say: Callable[[str], None] = lambda line: None) -> Dataset:
    """Open a study's data as its search may see it; see `seen`.

    Raises:
        InputError: the data cannot be read, or has no train or val split.
    """
    return seen(study, open_dataset(study.data), say)


def seen(study: Study, dataset: Dataset, say: Callable[[str], None] = lambda line: None) -> Dataset:
    """A study's data without its test split, and with the share of the training images that it trains on.

    `say` is warned where there is no test split: then nothing is left to judge the choice by.

    Raises:
        InputError: the data has no train or val split.
    """
    if "test" not in dataset.splits:
        say(
            f"{study.data}: warning: it has no test split, so that the AP of what is chosen will be of images "
            "that it was chosen by, and too high"
        )
    splits = {name: dataset.split(name) for name in SEEN}
    splits["train"] = share_of(splits["train"], study.fidelity.data, study.seed)
    return replace(dataset, splits=splits)


def share_of(split: Split, share: float, seed: int) -> Split:
    """A share of a split's images, at least one, drawn at random; a smaller share is part of a larger one."""
    if share == 1:
        return split
    count = max(1, round(share * len(split.images)))
    kept = np.sort(np.random.default_rng(seed).permutation(len(split.images))[:count])
    return replace(split, images=tuple(split.images[i] for i in kept))


def follow(run: RunFolder, dataset: Dataset) -> None:
    """Tell a run that is gone on with where its data lies by now; that it is the same has been seen to."""
    if run.facts.is_file() and (facts := run.read_facts()).data != dataset.source:
        run.write_facts(replace(facts, data=dataset.source))


def data_identity(reference: str, dataset: Dataset | None = None) -> str:
    """What tells data sets apart for a search, wherever they lie: the classes, and the hashes of train and val.

    A reference to nothing is its own identity; whether there is such data shows when it is opened.

    Args:
        reference: as a study names its data.
        dataset: the same, opened; it is opened here where None.

    Raises:
        InputError: the data cannot be read.
    """
    if reference == SHAPES or not Path(reference).exists():
        return reference
    dataset = dataset or open_dataset(reference)
    parts = [f"{name} {split_hash(dataset.splits[name])}" for name in SEEN if name in dataset.splits]
    return blake2b("\n".join([*dataset.classes, *parts]).encode(), digest_size=16).hexdigest()


def split_hash(split: Split) -> str:
    """The hash of what a training reads of a split: in order, each image's name, size in bytes and px, and boxes.

    The pixels are not read, as that takes long for large sets: an image that was changed and has as many bytes as
    before goes unnoticed.
    """
    found = blake2b(digest_size=16)
    for image in split.images:
        found.update(f"{image.path.name} {image.path.stat().st_size} {image.width}x{image.height}\n".encode())
        for column in (image.boxes, image.labels, image.crowd):
            found.update(np.ascontiguousarray(column).tobytes())
    return found.hexdigest()
