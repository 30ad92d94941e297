"""What an evaluation leaves in a folder: figures as JSON, detections as COCO has them, curves and confusions drawn."""

import json
from collections.abc import Sequence
from pathlib import Path

from ..scaler.documents import write_text
from .curves import curves_of
from .data.records import Dataset, Split
from .kept_matches import keep_matches
from .matching import confusion, match_classes
from .pictures import draw_confusion, draw_over_confidence, draw_precision_recall, save_figure
from .scoring import Found, Metrics, to_coco

CONFUSED_FROM = 0.25  # confidence and IoU of the confusion matrix, as people know it from this field's tools
CONFUSED_IOU = 0.45


def write_evaluation(folder: Path, metrics: Metrics, found: Sequence[Found], split: Split, dataset: Dataset) -> None:
    """Write `metrics.json`, `predictions.json`, `matches.npz`, `curves.json`, `confusion.json` and their pictures.

    Raises:
        InputError: the folder cannot be written to.
    """
    curves = curves_of(match_classes(found, split, dataset, max_dets=metrics.max_dets), dataset.classes)
    counts = confusion(found, split, dataset, conf=CONFUSED_FROM, iou=CONFUSED_IOU)
    _write_json(folder / "metrics.json", metrics.to_json())
    _write_json(folder / "predictions.json", [row for image in found for row in to_coco(image, dataset.category_ids)])
    kept = keep_matches(found, split, dataset, by_size=True, max_dets=metrics.max_dets)
    kept.write(folder / "matches.npz")
    _write_json(folder / "curves.json", curves.to_json())
    _write_json(
        folder / "confusion.json",
        {
            "conf": CONFUSED_FROM,
            "iou": CONFUSED_IOU,
            "names": [*dataset.classes, None],  # the last: nothing
            "rows": "found",
            "columns": "true",
            "counts": counts.tolist(),
            "normalised": (counts / counts.sum(axis=0, keepdims=True).clip(min=1)).round(5).tolist(),
        },
    )
    save_figure(draw_precision_recall(curves), folder / "PR_curve.png")
    for letter, what in {"F1": "f1", "P": "precision", "R": "recall"}.items():
        save_figure(draw_over_confidence(curves, what), folder / f"{letter}_curve.png")
    for name, normalised in {"confusion_matrix": False, "confusion_matrix_normalized": True}.items():
        save_figure(draw_confusion(counts, dataset.classes, normalised=normalised), folder / f"{name}.png")


def _write_json(path: Path, document: object) -> None:
    write_text(path, json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")
