"""Average precision of detections by COCO's protocol: pycocotools, or hotcoco where that is installed.

hotcoco gives pycocotools' figures, some hundred times faster (a test holds them together).
"""

import contextlib
import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from ..blocks.errors import InputError
from .data.records import Dataset, ImageRecord, Split

SIZES = ("all", "small", "medium", "large")  # in pycocotools' order
MAX_DETS = 100  # detections of a class in an image that count. Source: COCO's definition of AP
Scorer = Literal["pycocotools", "hotcoco"]


@dataclass(frozen=True)
class ClassMetrics:
    """One class; None where the split has no object of it."""

    ap: float | None
    ap50: float | None
    instances: int


@dataclass(frozen=True)
class Speed:
    """Milliseconds for each image, means over the split in batches of `batch`.

    The published frames per second are of the forward pass alone, at batch 1.
    """

    preprocess_ms: float  # waiting for images that threads read and letterbox ahead, and moving them to the device
    forward_ms: float
    nms_ms: float  # suppression, and boxes back to pixels of the image
    batch: int


@dataclass(frozen=True)
class Metrics:
    """COCO's figures: AP over IoU 0.50 to 0.95; None where a size has no objects."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float | None  # area below 32 x 32 px of the original image
    ap_medium: float | None
    ap_large: float | None  # from 96 x 96 px
    ar: float  # average recall at `max_dets` detections
    per_class: dict[str, ClassMetrics]
    images: int
    seconds: float  # reading, forward pass, suppression and scoring together
    max_dets: int = MAX_DETS  # detections of a class in an image that count
    scorer: Scorer = "pycocotools"
    speed: Speed | None = None

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


def score(
    found: Sequence[Found],
    split: Split,
    dataset: Dataset,
    *,
    by_size: bool = True,
    max_dets: int = MAX_DETS,
    seconds: float = 0.0,
    scorer: Scorer | None = None,
) -> Metrics:
    """COCO's figures of detections.

    Args:
        found: one entry for each image of the split, in any order.
        split: the annotations.
        dataset: classes and their category ids.
        by_size: also score small, medium and large objects apart.
        max_dets: detections of a class in an image that count, best first; COCO's own figures have 100.
        seconds: what finding took; scoring is added.
        scorer: who computes; hotcoco where it is installed, if None.

    Raises:
        InputError: the split has no annotated object, so that precision is undefined.
    """
    start = time.perf_counter()
    counts = np.zeros(len(dataset.classes), dtype=np.int64)
    for record in split.images:
        counts += np.bincount(record.labels[~record.crowd], minlength=len(counts))
    if not counts.any():
        raise InputError(f"{dataset.source}: split {split.name!r} has no objects; average precision needs some")
    scorer = scorer or ("hotcoco" if find_spec("hotcoco") else "pycocotools")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        precision, recall = _coco(found, split, dataset, SIZES if by_size else SIZES[:1], max_dets, scorer)

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
        max_dets=max_dets,
        scorer=scorer,
    )


def _mean(values: np.ndarray) -> float | None:
    """The mean, without the -1 that stands where there is nothing to find; None where nothing is left."""
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _coco(
    found: Sequence[Found], split: Split, dataset: Dataset, sizes: Sequence[str], max_dets: int, scorer: Scorer
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (10 IoU thresholds, 101 recalls, classes, sizes) and recall (thresholds, classes, sizes)."""
    document = {
        "info": {},
        "images": [{"id": image.image_id, "width": image.width, "height": image.height} for image in split.images],
        "categories": [
            {"id": number, "name": name} for number, name in zip(dataset.category_ids, dataset.classes, strict=True)
        ],
        "annotations": _annotations(split.images, dataset),
    }
    guesses = [guess for image in found for guess in to_coco(image, dataset.category_ids)]
    evaluation = _with_hotcoco(document, guesses) if scorer == "hotcoco" else _with_pycocotools(document, guesses)
    settings = evaluation.params
    settings.imgIds = [image.image_id for image in split.images]
    settings.maxDets = [max_dets]
    settings.areaRng, settings.areaRngLbl = settings.areaRng[: len(sizes)], list(sizes)
    evaluation.evaluate()
    evaluation.accumulate()
    order = np.searchsorted(np.sort(dataset.category_ids), dataset.category_ids)  # both sort classes by id
    return evaluation.eval["precision"][..., 0][:, :, order], evaluation.eval["recall"][..., 0][:, order]


def _with_pycocotools(document: dict[str, Any], guesses: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: Any = COCO()
    none: Any = COCO()
    truth.dataset, none.dataset = document, {**document, "annotations": []}  # `loadRes` cannot read an empty list
    truth.createIndex()
    none.createIndex()
    return COCOeval(truth, truth.loadRes(guesses) if guesses else none, "bbox")


def _with_hotcoco(document: dict[str, Any], guesses: list[dict[str, Any]]) -> Any:
    from hotcoco import COCO, COCOeval

    truth = COCO(document)
    return COCOeval(truth, truth.load_res(guesses), "bbox")


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
