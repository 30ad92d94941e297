"""Average precision of a detector on a data set's own annotations, by pycocotools."""

import contextlib
import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from ..blocks.errors import InputError
from .boxes import suppress
from .data.images import unletterbox
from .data.loader import val_batches
from .data.records import Dataset, ImageRecord, Split

SIZES = ("all", "small", "medium", "large")  # in pycocotools' order
MOST_SCORED = 100  # detections of a class in an image that count. Source: COCO's definition of AP


@dataclass(frozen=True)
class ClassMetrics:
    """One class; None where the split has no object of it."""

    ap: float | None
    ap50: float | None
    instances: int


@dataclass(frozen=True)
class Metrics:
    """COCO's figures: AP over IoU 0.50 to 0.95, at most 100 detections an image; None where a size has no objects."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float | None  # area below 32 x 32 px of the original image
    ap_medium: float | None
    ap_large: float | None  # from 96 x 96 px
    ar: float  # average recall at 100 detections
    per_class: dict[str, ClassMetrics]
    images: int
    seconds: float  # reading, forward pass, suppression and scoring together

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """Detections of one image, best first, in pixels of the original image."""

    image_id: int
    boxes: np.ndarray  # (n, 4) float64 x1, y1, x2, y2, within the image
    scores: np.ndarray  # (n,) float
    labels: np.ndarray  # (n,) class indices


def evaluate(
    model: nn.Module,
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
) -> Metrics:
    """Detect on every image of a split and score against its annotations.

    Args:
        model: a deploy graph on `device`, in eval mode: images to decoded boxes (B, N, 5 + classes), in pixels.
        split: images and annotations; crowd regions are matched as COCO does.
        dataset: classes and their category ids.
        size_px: side of the square that images are letterboxed into.
        conf: detections with a lower score are dropped.
        iou: threshold of the non-maximum suppression, in which a box may count for several classes.
        max_det: detections kept for each image.
        batch: images in a forward pass.
        device: where the model is.
        by_size: also score small, medium and large objects apart, which takes four times as long.

    Raises:
        InputError: the split has nothing to find, or an image cannot be read.
    """
    start = time.perf_counter()
    found = detect(model, split, size_px=size_px, conf=conf, iou=iou, max_det=max_det, batch=batch, device=device)
    return score(found, split, dataset, by_size=by_size, seconds=time.perf_counter() - start)


@torch.inference_mode()
def detect(
    model: nn.Module,
    split: Split,
    *,
    size_px: int,
    conf: float,
    iou: float,
    max_det: int,
    batch: int,
    device: torch.device | str,
) -> list[Found]:
    """What the model finds in each image of a split, in its order; see `evaluate`."""
    found: list[Found] = []
    for images in val_batches(split, size_px=size_px, batch=batch):
        decoded = model(images.pixels(device))
        kept = suppress(decoded, conf=conf, iou=iou, max_det=max_det, multi_label=True)
        for image_id, detections, letterboxed in zip(images.ids, kept, images.letterboxes, strict=True):
            boxes = unletterbox(detections.boxes.cpu().numpy(), letterboxed)
            scores, labels = detections.scores.cpu().numpy(), detections.labels.cpu().numpy()
            found.append(Found(image_id, boxes, scores, labels))
    return found


def score(
    found: Sequence[Found], split: Split, dataset: Dataset, *, by_size: bool = True, seconds: float = 0.0
) -> Metrics:
    """COCO's figures of detections.

    Args:
        found: one entry for each image of the split.
        split: the annotations.
        dataset: classes and their category ids.
        by_size: also score small, medium and large objects apart.
        seconds: what finding took; scoring is added.

    Raises:
        InputError: the split has no annotated object, so that precision is undefined.
    """
    start = time.perf_counter()
    counts = np.zeros(len(dataset.classes), dtype=np.int64)
    for record in split.images:
        counts += np.bincount(record.labels[~record.crowd], minlength=len(counts))
    if not counts.any():
        raise InputError(f"{dataset.source}: split {split.name!r} has no objects; average precision needs some")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        precision, recall = _coco(found, split, dataset, SIZES if by_size else SIZES[:1])

    per_class = {
        name: ClassMetrics(_mean(precision[:, :, index, 0]), _mean(precision[0, :, index, 0]), int(counts[index]))
        for index, name in enumerate(dataset.classes)
    }
    by_sizes = {name: _mean(precision[..., index]) for index, name in enumerate(SIZES) if by_size}
    return Metrics(
        ap=_mean(precision[..., 0]) or 0.0,
        ap50=_mean(precision[0, ..., 0]) or 0.0,
        ap75=_mean(precision[5, ..., 0]) or 0.0,
        ap_small=by_sizes.get("small"),
        ap_medium=by_sizes.get("medium"),
        ap_large=by_sizes.get("large"),
        ar=_mean(recall[..., 0]) or 0.0,
        per_class=per_class,
        images=len(split.images),
        seconds=seconds + time.perf_counter() - start,
    )


def _mean(values: np.ndarray) -> float | None:
    """The mean, without the -1 that stands where there is nothing to find; None where nothing is left."""
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _coco(
    found: Sequence[Found], split: Split, dataset: Dataset, sizes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (10 IoU thresholds, 101 recalls, classes, sizes) and recall (thresholds, classes, sizes)."""
    truth: Any = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image.image_id, "width": image.width, "height": image.height} for image in split.images],
        "categories": [
            {"id": number, "name": name} for number, name in zip(dataset.category_ids, dataset.classes, strict=True)
        ],
        "annotations": _annotations(split.images, dataset),
    }
    truth.createIndex()
    guesses = [guess for image in found for guess in to_coco(image, dataset.category_ids)]
    evaluation = COCOeval(truth, truth.loadRes(guesses) if guesses else _nothing(truth), "bbox")
    settings: Any = evaluation.params
    settings.imgIds = [image.image_id for image in split.images]
    settings.maxDets = [MOST_SCORED]
    settings.areaRng, settings.areaRngLbl = settings.areaRng[: len(sizes)], list(sizes)
    evaluation.evaluate()
    evaluation.accumulate()
    order = np.searchsorted(np.sort(dataset.category_ids), dataset.category_ids)  # pycocotools sorts by id
    return evaluation.eval["precision"][..., 0][:, :, order], evaluation.eval["recall"][..., 0][:, order]


def to_coco(found: Found, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Detections of an image as entries of COCO's result format; `bbox` is x, y, width, height in pixels."""
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    boxes = np.concatenate((found.boxes[:, :2], sizes), axis=1).tolist()
    return [
        {"image_id": found.image_id, "category_id": category_ids[label], "bbox": box, "score": score}
        for box, score, label in zip(boxes, found.scores.tolist(), found.labels.tolist(), strict=True)
    ]


def _annotations(images: Sequence[ImageRecord], dataset: Dataset) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for image in images:
        rows = zip(image.boxes.tolist(), image.labels.tolist(), image.crowd.tolist(), image.area.tolist(), strict=True)
        for (left, top, right, bottom), label, crowd, area in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,  # pycocotools takes the id 0 for "not matched"
                    "image_id": image.image_id,
                    "category_id": dataset.category_ids[label],
                    "bbox": [left, top, right - left, bottom - top],
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    return annotations


def _nothing(truth: Any) -> Any:
    """No detections at all, which `loadRes` cannot read."""
    empty: Any = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty
