"""Records to batches of tensors.

Batches are made ahead by threads, not by worker processes: decoding, resizing and warping run in C and let go of
Python's lock, the cached images are shared for nothing, and nothing has to be started, pickled or left behind. Each
sample follows from (seed, epoch, position) alone, so any number of threads makes the same ones.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ...blocks.errors import InputError
from .augment import augment
from .images import Letterboxed, pad
from .memory import images_of
from .records import ImageRecord, Split
from .settings import Augment, Cache

MOST_THREADS = 8
SHUFFLE = 0  # the third word of a seed: 0 draws the order of an epoch, 1 + position its samples
SIZES = (0, 1)  # third and fourth, where a batch's size is drawn; its number is the fifth
LEAST_MULTIPLE_PX = 32  # sides of rectangles are multiples of the largest stride, and of this


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one size with their boxes."""

    images: torch.Tensor  # (B, 3, H, W) uint8, RGB, channels last in memory
    targets: torch.Tensor  # (n, 6) float32: image of the batch, class, cx, cy, w, h as shares of W and H; no crowds
    ids: tuple[int, ...]  # image id of each image
    letterboxes: tuple[Letterboxed, ...]  # how each image is letterboxed, where nothing else is done to it

    def pixels(self, device: torch.device | str, size_px: int | None = None) -> torch.Tensor:
        """The images as a network takes them: (B, 3, H, W) float32 from 0 to 1 on a device, channels last.

        They travel as bytes. Where `size_px` is given, their longer side is resized to it there.
        """
        images = self.images.to(device, non_blocking=True).float().div_(255)
        if size_px is not None and size_px != max(images.shape[2:]):
            scale = size_px / max(images.shape[2:])
            size = [round(side * scale) for side in images.shape[2:]]
            images = torch.nn.functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        return images.contiguous(memory_format=torch.channels_last)


class Batches(Iterator[Batch]):
    """Batches made ahead; `waited_s` says how long their taker had to wait for them so far.

    `close`, or dropping the last reference, ends the threads.
    """

    def __init__(self, batches: Generator[Batch, None, None]) -> None:
        self._batches = batches
        self.waited_s = 0.0

    def __next__(self) -> Batch:
        start = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self.waited_s += time.perf_counter() - start

    def close(self) -> None:
        """Drop what is not begun, and wait for the rest."""
        self._batches.close()


def train_batches(
    split: Split,
    *,
    size_px: int,
    batch: int,
    recipe_augment: Augment,
    seed: int,
    epoch: int,
    cache: Cache = "auto",
    threads: int | None = None,
    first: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Batches:
    """One epoch of a split: every image once, in an order drawn from (seed, epoch), augmented; the rest comes last.

    Args:
        split: what to learn from.
        size_px: side S of the square images.
        batch: images in a batch.
        recipe_augment: what is done to the images.
        seed: from 0.
        epoch: from 0.
        cache: where decoded images are kept for the next epoch.
        threads: that make batches ahead; a share of the processor's cores where None. No batch depends on it.
        first: images that an interrupted epoch has seen already; the batches go on behind them.
        share: this process and how many there are: it takes every so manieth image of each batch. A last batch that
            is too small for each to have one is left out by all.

    Raises:
        InputError: the images do not fit where `cache` wants them; or, when a batch is taken: an image cannot be
            decoded or is not of the size that was stated.
    """
    images = images_of(split, size_px, cache=cache)
    order = np.random.default_rng((seed, epoch, SHUFFLE)).permutation(len(split.images))

    def make(positions: range) -> Batch:
        squares = np.empty((len(positions), size_px, size_px, 3), dtype=np.uint8)
        objects: list[tuple[np.ndarray, np.ndarray]] = []
        for row, position in enumerate(positions):
            rng = np.random.default_rng((seed, epoch, 1 + position))
            squares[row], boxes, labels = augment(images, int(order[position]), recipe_augment, rng)
            objects.append((boxes, labels))
        records = [split.images[int(order[position])] for position in positions]
        lays = tuple(Letterboxed.of(record.width, record.height, size_px) for record in records)
        return _batch(squares, objects, records, lays)

    rank, size = share
    whole = _chunks(len(order), batch, first)
    return Batches(_ahead(make, [positions[rank::size] for positions in whole if len(positions) >= size], threads))


def random_size_px(size_px: int, stride: int, *, seed: int, epoch: int, index: int) -> int:
    """The size that batch `index` of an epoch is trained at by multi-scale: half to one and a half times `size_px`.

    Any multiple of the network's largest stride (and of 32) within, each as likely. Source: YOLOv7 as released.
    """
    multiple = max(stride, LEAST_MULTIPLE_PX)
    least, most = math.ceil(size_px / 2 / multiple), math.floor(3 * size_px / 2 / multiple)
    rng = np.random.default_rng((seed, epoch, *SIZES, index))
    return multiple * int(rng.integers(max(least, 1), max(most, 1) + 1))


def val_batches(
    split: Split,
    *,
    size_px: int,
    batch: int,
    cache: Cache = "auto",
    threads: int | None = None,
    rect: bool = False,
    stride: int = LEAST_MULTIPLE_PX,
) -> Batches:
    """A split once, letterboxed and nothing else. Arguments and errors as for `train_batches`.

    Args:
        rect: letterbox each batch into a rectangle of its own, with little grey, as the published figures were made.
            The images come sorted by height / width then, those of like aspect in one batch: take their `ids`.
        stride: the network's largest: the sides of rectangles are multiples of it.

    Source: YOLOv7 as released: the sides of a rectangle are those of the batch's extreme aspect, times `size_px`, and
    half a stride more rounded up to whole strides: 640 px become up to 672.
    """
    images = images_of(split, size_px, cache=cache)
    aspects = [record.height / record.width for record in split.images]
    order = sorted(range(len(aspects)), key=aspects.__getitem__) if rect else range(len(aspects))

    def make(positions: range) -> Batch:
        chosen = [order[position] for position in positions]
        shape = _rectangle([aspects[index] for index in chosen], size_px, stride) if rect else (size_px, size_px)
        records = [split.images[index] for index in chosen]
        lays = tuple(Letterboxed.of(record.width, record.height, size_px, shape) for record in records)
        padded = np.stack([pad(images.load(index), shape) for index in chosen])
        objects: list[tuple[np.ndarray, np.ndarray]] = []
        for index, lay in zip(chosen, lays, strict=True):
            boxes, labels = images.objects(index)
            objects.append((boxes + np.array([lay.pad_x, lay.pad_y] * 2), labels))
        return _batch(padded, objects, records, lays)

    return Batches(_ahead(make, _chunks(len(order), batch), threads))


def _rectangle(aspects: Sequence[float], size_px: int, stride: int) -> tuple[int, int]:
    """Height and width in px of the rectangle for images of these heights / widths."""
    multiple = max(stride, LEAST_MULTIPLE_PX)
    high, wide = (
        (max(aspects), 1.0) if max(aspects) < 1 else (1.0, 1 / min(aspects)) if min(aspects) > 1 else (1.0, 1.0)
    )
    height, width = (math.ceil(side * size_px / multiple + 0.5) * multiple for side in (high, wide))
    return height, width


def _batch(
    pixels: np.ndarray,
    objects: Sequence[tuple[np.ndarray, np.ndarray]],
    records: Sequence[ImageRecord],
    letterboxes: tuple[Letterboxed, ...],
) -> Batch:
    """Of (B, H, W, 3) uint8 pixels, and boxes in px of them with labels, for each image."""
    height, width = pixels.shape[1:3]
    rows = np.repeat(np.arange(len(objects)), [len(boxes) for boxes, _ in objects])
    boxes, labels = (np.concatenate(parts) for parts in zip(*objects, strict=True))
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    targets = np.column_stack([rows, labels, centres / (width, height), sides / (width, height)])
    return Batch(
        images=torch.from_numpy(pixels).permute(0, 3, 1, 2),
        targets=torch.from_numpy(targets.astype(np.float32)),
        ids=tuple(record.image_id for record in records),
        letterboxes=letterboxes,
    )


def _chunks(count: int, batch: int, first: int = 0) -> list[range]:
    """The positions of each batch, from the first on."""
    if batch < 1:
        raise InputError(f"batch: {batch} images; give at least 1")
    return [range(start, min(start + batch, count)) for start in range(first, count, batch)]


def _ahead(
    make: Callable[[range], Batch], chunks: Sequence[range], threads: int | None
) -> Generator[Batch, None, None]:
    """Make the batches in order, a few ahead of the one that is taken.

    What goes wrong in a thread is raised where its batch is taken. A caller that stops early closes the generator,
    which drops the batches not begun and waits for the others; no thread is left. Threads start in microseconds, so
    each epoch has its own; what lasts from epoch to epoch is the images (`memory.py`).
    """
    cv2.setNumThreads(1)  # each of ours is one already; OpenCV's own would take the cores that torch computes on
    threads = threads or max(1, min(MOST_THREADS, (os.cpu_count() or 1) // 2))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="catscale-data")
    ahead: deque[Future[Batch]] = deque()
    try:
        for positions in chunks:
            ahead.append(pool.submit(make, positions))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
