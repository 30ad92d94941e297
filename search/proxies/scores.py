"""The scores of a candidate: each proxy on the weights and images that it asks for, or no score."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...scaler.architecture import Architecture
from ...trainer.data.images import letterbox, record_image
from ..settings import ProxyKind
from ..study import Study
from ..study_data import open_study_data
from .initialised import gaussian, initialised
from .meco import meco
from .naswot import naswot
from .synflow import synflow
from .zen import zen

if TYPE_CHECKING:
    from ...trainer.data.records import Split

NOISE = 8  # images of noise, and as many changes of them
MOST_MACS = 2e12  # of a batch; one that takes more, minutes on one core, gives no score

Photographs = Callable[[int], Tensor]  # training images letterboxed to that many pixels: (N, 3, size, size), 0 to 1


def score(kind: ProxyKind, architecture: Architecture, photographs: Photographs, seed: int) -> float | None:
    """A proxy's score of a detector at its size; None where it is no finite number or would take too much.

    It follows from the fingerprint, the size, the photographs and the seed alone: also the number of threads is fixed.
    """
    if _images(kind, architecture.size, photographs) * architecture.cost().macs > MOST_MACS:
        return None
    try:
        with one_thread():
            found = _scored(kind, architecture, photographs, seed)
    except (RuntimeError, MemoryError, ValueError):  # memory does not suffice; the logarithm of nothing
        return None
    return found if math.isfinite(found) else None


def _images(kind: ProxyKind, size_px: int, photographs: Photographs) -> int:
    match kind:
        case "naswot":
            return len(photographs(size_px))
        case "synflow":
            return 1
        case "zen" | "meco":
            return 2 * NOISE
        case "activations":
            return 0


def _scored(kind: ProxyKind, architecture: Architecture, photographs: Photographs, seed: int) -> float:
    size_px = architecture.size
    noise = torch.randn(2 * NOISE, 3, size_px, size_px, generator=torch.Generator().manual_seed(seed))
    match kind:
        case "naswot":
            return naswot(initialised(architecture, seed), photographs(size_px))
        case "synflow":
            return synflow(initialised(architecture, seed), size_px)
        case "zen":
            return zen(initialised(architecture, seed, gaussian), noise)
        case "meco":
            return meco(initialised(architecture, seed), noise)
        case "activations":  # a count, free as MACs are: what scores of networks have to be worth more than
            return float(architecture.cost().activations)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core: how sums are split over threads changes their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class TrainingImages:
    """Some of a study's training images, drawn once by its seed; read when they are asked for."""

    def __init__(self, study: Study, count: int) -> None:
        self.study, self.count = study, count
        self._at = lru_cache(maxsize=4)(self._letterboxed)

    def __call__(self, size_px: int) -> Tensor:
        return self._at(size_px)

    @cached_property
    def _split(self) -> "Split":
        return open_study_data(self.study).split("train")

    @cached_property
    def _images(self) -> list[np.ndarray]:
        records = self._split.images
        drawn = np.random.default_rng(self.study.seed).permutation(len(records))[: self.count]
        return [record_image(records[index]) for index in drawn]

    def _letterboxed(self, size_px: int) -> Tensor:
        batch = np.stack([letterbox(image, size_px)[0] for image in self._images])
        return torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
