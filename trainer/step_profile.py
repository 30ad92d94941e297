"""Where a training step's time goes."""

import statistics
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from ..scaler.architecture import Architecture
from .data.loader import Batch, train_batches
from .data.records import Dataset, Split
from .recipe import Recipe
from .step import Stepper

TITLES = {
    "data": "waiting for data",
    "forward": "forward",
    "loss": "assignment + loss",
    "backward": "backward",
    "update": "optimiser + EMA",
}
PARTS = tuple(TITLES)
WARM = 3  # steps before those that count: caches fill, kernels are chosen; compiling falls into the first


@dataclass(frozen=True)
class StepProfile:
    """Seconds of each part of each step, and of the first step, which compiles where that was asked for."""

    batch: int  # images
    seconds: dict[str, list[float]]  # by part: waiting for data, forward, assignment and loss, backward, update
    first_seconds: float
    precision: str

    @property
    def medians(self) -> dict[str, float]:
        return {part: statistics.median(samples) for part, samples in self.seconds.items()}

    @property
    def totals(self) -> list[float]:
        """Seconds of each step."""
        return [sum(parts) for parts in zip(*self.seconds.values(), strict=True)]

    @property
    def images_per_second(self) -> float:
        return self.batch / statistics.median(self.totals)

    def lines(self) -> list[str]:
        """A table of the parts with their shares, and the whole."""
        medians = self.medians
        whole = sum(medians.values())
        rows = [f"  {TITLES[part]:22} {1e3 * took:8.1f} ms {took / whole:6.1%}" for part, took in medians.items()]
        total = f"{1e3 * statistics.median(self.totals):8.1f} ms {self.images_per_second:6.1f} images/s"
        return [*rows, f"  {'a step':22} {total}; the first one took {self.first_seconds:.1f} s"]


def profile_steps(
    arch: Architecture, dataset: Dataset, recipe: Recipe, *, steps: int, size_px: int, device: torch.device | str
) -> StepProfile:
    """Train for some steps on real batches, with an update after each, and keep nothing but the times.

    Args:
        arch: the detector.
        dataset: its "train" split is learnt from, as many times as needed.
        recipe: all settings.
        steps: that are timed, after a few that are not.
        size_px: side of the square input.
        device: "cpu", "cuda" ...; a CUDA device is waited for after each part.
    """
    torch.manual_seed(0)
    place = torch.device(device)
    step = Stepper(arch, recipe, device=place, size_px=size_px)
    step.model.train()
    step.loss.begin(recipe.epochs - 1)  # most epochs assign as the last does
    batches = endless(dataset.splits["train"], recipe, size_px)
    rows = [timed(step, batches, place) for _ in range(WARM + steps)]
    batches.close()
    return StepProfile(
        batch=min(recipe.batch, len(dataset.splits["train"].images)),
        seconds={part: [row[index] for row in rows[WARM:]] for index, part in enumerate(PARTS)},
        first_seconds=sum(rows[0]),
        precision=str(step.precision),
    )


def timed(step: Stepper, batches: Iterator[Batch], device: torch.device) -> tuple[float, ...]:
    """Seconds of the parts of one step."""
    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    marks = [time.perf_counter()]

    def mark() -> None:
        wait()
        marks.append(time.perf_counter())

    batch = next(batches)
    images = step.images(batch)
    mark()
    outputs = step.forward(images)
    mark()
    parts = step.measure(outputs, batch, len(batch.ids))
    mark()
    step.backward(parts.total)
    mark()
    step.update()
    mark()
    return tuple(after - before for before, after in pairwise(marks))


def endless(split: Split, recipe: Recipe, size_px: int) -> Generator[Batch, None, None]:
    """Batches of one size, epoch after epoch."""
    whole, epoch = min(recipe.batch, len(split.images)), 0
    while True:
        for batch in train_batches(
            split, size_px=size_px, batch=whole, recipe_augment=recipe.augment, seed=0, epoch=epoch
        ):
            if len(batch.ids) == whole:
                yield batch
        epoch += 1
