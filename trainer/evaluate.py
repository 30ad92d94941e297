"""A detector run on a split of a data set, and scored."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..scaler.suppression import suppress
from .data.images import unletterbox
from .data.loader import Batch, val_batches
from .data.records import Dataset, Split
from .scoring import MAX_DETS, Found, Metrics, Speed, score


def evaluate(
    model: Callable[[Tensor], Tensor],
    split: Split,
    dataset: Dataset,
    *,
    size_px: int,
    conf: float = 0.001,
    iou: float = 0.65,
    max_det: int = 300,
    batch: int = 16,
    device: torch.device | str = "cpu",
    by_size: bool = True,
    max_dets: int = MAX_DETS,
) -> Metrics:
    """Detect on every image of a split and score against its annotations.

    Args:
        model: a deploy graph on `device`, best as `optimised` gives it: float32 images to decoded boxes
            (B, N, 5 + classes), in pixels.
        split: images and annotations; crowd regions are matched as COCO does.
        dataset: classes and their category ids.
        size_px: side of the square that images are letterboxed into.
        conf: detections with a lower score are dropped.
        iou: threshold of the non-maximum suppression, in which a box may count for several classes.
        max_det: detections kept for each image.
        batch: images in a forward pass.
        device: where the model is.
        by_size: also score small, medium and large objects apart, which takes four times as long.
        max_dets: detections of a class in an image that count in the score.

    Raises:
        InputError: the split has nothing to find, or an image cannot be read.
    """
    batches = val_batches(split, size_px=size_px, batch=batch)
    limits = {"conf": conf, "iou": iou, "max_det": max_det, "max_dets": max_dets}
    return measure(model, batches, split, dataset, **limits, device=device, by_size=by_size)[0]


def measure(
    model: Callable[[Tensor], Tensor],
    batches: Iterable[Batch],
    split: Split,
    dataset: Dataset,
    *,
    conf: float,
    iou: float,
    max_det: int,
    max_dets: int = MAX_DETS,
    device: torch.device | str = "cpu",
    by_size: bool = True,
    on_batch: Callable[[int, int], None] | None = None,
) -> tuple[Metrics, list[Found]]:
    """Detect and score as `evaluate` does, and give the detections too.

    Args:
        batches: the images of the split, each once, in any order and of any shapes.
        on_batch: called after each batch with how many images of how many are done.
    """
    start = time.perf_counter()

    def done(images: int) -> None:
        if on_batch:
            on_batch(images, len(split.images))

    found, speed = _detect(model, batches, conf, iou, max_det, device, done)
    seconds = time.perf_counter() - start
    metrics = score(found, split, dataset, by_size=by_size, max_dets=max_dets, seconds=seconds)
    return replace(metrics, speed=speed), found


@torch.inference_mode()
def _detect(
    model: Callable[[Tensor], Tensor],
    batches: Iterable[Batch],
    conf: float,
    iou: float,
    max_det: int,
    device: torch.device | str,
    done: Callable[[int], None],
) -> tuple[list[Found], Speed]:
    """What the model finds in each image, and how long that took."""
    found: list[Found] = []
    seconds, most = np.zeros(3), 0
    clock = _clock(device)
    before = clock()
    for batch in batches:
        images = batch.pixels(device)
        given = clock()
        decoded = model(images)
        passed = clock()
        kept = suppress(decoded, conf=conf, iou=iou, max_det=max_det, multi_label=True)
        for image_id, detections, letterboxed in zip(batch.ids, kept, batch.letterboxes, strict=True):
            boxes = unletterbox(detections.boxes.cpu().numpy(), letterboxed)
            found.append(Found(image_id, boxes, detections.scores.cpu().numpy(), detections.labels.cpu().numpy()))
        after = clock()
        seconds += (given - before, passed - given, after - passed)
        done(len(found))
        before, most = after, max(most, len(batch.ids))
    preprocess_ms, forward_ms, nms_ms = (seconds * 1000 / max(len(found), 1)).tolist()
    return found, Speed(preprocess_ms, forward_ms, nms_ms, most)


def _clock(device: torch.device | str) -> Callable[[], float]:
    """A clock that waits for the device first."""
    if torch.device(device).type != "cuda":
        return time.perf_counter

    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock
