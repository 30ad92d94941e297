"""The data that a search may see: train and val; the test split is for what is chosen at the end."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..trainer.data.records import Dataset, Split
from ..trainer.data.sources import open_dataset
from .study import Study

SEEN = ("train", "val")


def open_study_data(study: Study, say: Callable[[str], None] = lambda line: None) -> Dataset:
    """Open a study's data without its test split, and with the share of the training images that it trains on.

    `say` is warned where there is no test split: then nothing is left to judge the choice by.

    Raises:
        InputError: the data cannot be read, or has no train or val split.
    """
    dataset = open_dataset(study.data)
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
