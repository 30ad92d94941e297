"""Predictions as others read them: YOLO text and COCO's result format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..scaler.documents import write_text
from .predict import Prediction


def write_yolo(folder: Path, predictions: Sequence[Prediction], *, with_scores: bool) -> None:
    """Write `labels/NAME.txt` for each image, best first; the number of a video's frame is part of the name.

    A line is the class, then centre x and y, width and height as shares of the image, then the score if wanted.
    """
    for prediction in predictions:
        lines: list[str] = []
        for found in prediction.detections:
            left, top, right, bottom = found.box
            shares = (
                (left + right) / 2 / prediction.width,
                (top + bottom) / 2 / prediction.height,
                (right - left) / prediction.width,
                (bottom - top) / prediction.height,
            )
            numbers = (*shares, found.score) if with_scores else shares
            lines.append(" ".join([str(found.class_index), *(f"{number:.6f}" for number in numbers)]))
        frame = "" if prediction.frame is None else f"_{prediction.frame}"
        write_text(folder / "labels" / f"{prediction.name}{frame}.txt", "".join(f"{line}\n" for line in lines))


def coco_results(predictions: Sequence[Prediction], category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Entries of COCO's result format; `bbox` is x, y, width, height in pixels.

    An image's id is its name where all names are distinct numbers, as COCO's own are (`000000000139.jpg` is 139), else
    its place, counted from 1; the name stands beside it.
    """
    stems = [prediction.image.stem for prediction in predictions]
    numbered = all(stem.isascii() and stem.isdigit() for stem in stems) and len(set(map(int, stems))) == len(stems)
    rows: list[dict[str, Any]] = []
    for place, prediction in enumerate(predictions, start=1):
        image_id = int(prediction.image.stem) if numbered else place
        for found in prediction.detections:
            left, top, right, bottom = found.box
            rows.append(
                {
                    "image_id": image_id,
                    "file_name": prediction.image.name,
                    "category_id": category_ids[found.class_index],
                    "bbox": [round(value, 3) for value in (left, top, right - left, bottom - top)],
                    "score": round(found.score, 5),
                }
            )
    return rows
