"""Records to batches of tensors.

Batches are made ahead by threads, not by worker processes: decoding, resizing and warping run in C and let go of
Python's lock, the cached images are shared for nothing, and nothing has to be started, pickled or left behind. Each
batch follows from (seed, epoch, position) alone, so any number of threads makes the same ones.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ...blocks.errors import InputError
from .augment import Augment, augment
from .images import Letterboxed, pad
from .memory import ImageMemory, images_of
from .records import Split

MOST_THREADS = 8
SHUFFLE = 0  # the last word of a seed: 0 draws the order of an epoch, 1 + position its samples


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one size with their boxes."""

    images: torch.Tensor  # (B, 3, S, S) float32 from 0 to 1, RGB
    targets: torch.Tensor  # (n, 6) float32: image of the batch, class, cx, cy, w, h as shares of S; crowds are left out
    ids: tuple[int, ...]  # image id of each image
    letterboxes: tuple[Letterboxed, ...]  # how each image lies in its square, before augmentation


def train_batches(
    split: Split,
    *,
    size_px: int,
    batch: int,
    recipe_augment: Augment,
    seed: int,
    epoch: int,
    cache: bool = True,
    threads: int | None = None,
    first: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """One epoch of a split: every image once, in an order drawn from (seed, epoch), augmented; the rest comes last.

    Args:
        split: what to learn from.
        size_px: side S of the square images.
        batch: images in a batch.
        recipe_augment: what is done to the images.
        seed: from 0.
        epoch: from 0.
        cache: keep the decoded images for the next epoch, where they fit into memory.
        threads: that make batches ahead; a share of the processor's cores where None. No batch depends on it.
        first: images that an interrupted epoch has seen already; the batches go on behind them.
        share: this process and how many there are: it takes every so manieth image of each batch. A last batch that
            is too small for each to have one is left out by all.

    Raises:
        InputError: when a batch is taken: an image cannot be decoded or is not of the size that was stated.
    """
    images = images_of(split, size_px, cache=cache)
    order = np.random.default_rng((seed, epoch, SHUFFLE)).permutation(len(split.images))

    def make(positions: range) -> Batch:
        rngs = [np.random.default_rng((seed, epoch, 1 + position)) for position in positions]
        chosen = [int(order[position]) for position in positions]

        def change(row: int, image: np.ndarray, boxes: np.ndarray, labels: np.ndarray) -> _Sample:
            return augment(image, boxes, labels, recipe_augment, rngs[row])

        return _batch(split, images, chosen, change)

    rank, size = share
    places = [range(start, min(start + batch, len(order))) for start in range(first, len(order), max(batch, 1))]
    return _ahead(make, [whole[rank::size] for whole in places if len(whole) >= size], batch, threads)


def val_batches(
    split: Split, *, size_px: int, batch: int, cache: bool = True, threads: int | None = None
) -> Iterator[Batch]:
    """A split once, in its order, letterboxed and nothing else. Arguments and errors as for `train_batches`."""
    images = images_of(split, size_px, cache=cache)

    def make(positions: range) -> Batch:
        return _batch(split, images, positions, lambda row, image, boxes, labels: (image, boxes, labels))

    count = len(split.images)
    places = [range(start, min(start + batch, count)) for start in range(0, count, max(batch, 1))]
    return _ahead(make, places, batch, threads)


_Sample = tuple[np.ndarray, np.ndarray, np.ndarray]  # image, boxes, labels
_Change = Callable[[int, np.ndarray, np.ndarray, np.ndarray], _Sample]  # the first is the row in the batch


def _batch(split: Split, images: ImageMemory, chosen: Sequence[int], change: _Change) -> Batch:
    size_px = images.size_px
    squares = np.empty((len(chosen), size_px, size_px, 3), dtype=np.uint8)
    targets: list[np.ndarray] = []
    letterboxes: list[Letterboxed] = []
    for row, index in enumerate(chosen):
        record = split.images[index]
        letterboxed = Letterboxed.of(record.width, record.height, size_px)
        boxes, labels = letterboxed.place(record.boxes[~record.crowd]), record.labels[~record.crowd]
        squares[row], boxes, labels = change(row, pad(images.load(index), size_px), boxes, labels)
        centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        targets.append(np.column_stack([np.full(len(boxes), row), labels, centres / size_px, sides / size_px]))
        letterboxes.append(letterboxed)
    return Batch(
        images=torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous().float().div_(255),
        targets=torch.from_numpy(np.concatenate(targets).astype(np.float32)),
        ids=tuple(split.images[index].image_id for index in chosen),
        letterboxes=tuple(letterboxes),
    )


def _ahead(make: Callable[[range], Batch], places: Sequence[range], batch: int, threads: int | None) -> Iterator[Batch]:
    """Make the batches of these positions in order, a few ahead of the one that is taken.

    What goes wrong in a thread is raised where its batch is taken. A caller that stops early closes the generator,
    which drops the batches not begun and waits for the others; no thread is left.
    """
    if batch < 1:
        raise InputError(f"batch: {batch} images; give at least 1")
    threads = threads or max(1, min(MOST_THREADS, (os.cpu_count() or 1) // 2))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="catscale-data")
    ahead: deque[Future[Batch]] = deque()
    try:
        for positions in places:
            ahead.append(pool.submit(make, positions))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
