"""Records to COCO JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from .records import Dataset, ImageRecord

DECIMALS = 4  # of a pixel


def coco_image(image_id: int, file_name: str, width: int, height: int) -> dict[str, Any]:
    """An entry of `images`; sides in px."""
    return {"id": image_id, "file_name": file_name, "width": width, "height": height}


def coco_annotation(
    number: int, image_id: int, category_id: int, box: Sequence[float], area: float, *, crowd: bool = False
) -> dict[str, Any]:
    """An entry of `annotations`, from a box x1, y1, x2, y2 in px and an area in px^2."""
    x1, y1, x2, y2 = box
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": area,
        "iscrowd": int(crowd),
    }


def coco_document(images: Mapping[str, ImageRecord], dataset: Dataset) -> dict[str, Any]:
    """A split as a COCO document; `images` are its records by file name."""
    annotations: list[dict[str, Any]] = []
    for record in images.values():
        rows = zip(record.boxes, record.labels, record.area, record.crowd, strict=True)
        for box, label, area, crowd in rows:
            sides = [round(float(side), DECIMALS) for side in box]
            entry = coco_annotation(
                len(annotations) + 1,
                record.image_id,
                dataset.category_ids[label],
                sides,
                round(float(area), DECIMALS),
                crowd=bool(crowd),
            )
            annotations.append(entry | {"bbox": [round(side, DECIMALS) for side in entry["bbox"]]})
    return {
        "images": [coco_image(it.image_id, name, it.width, it.height) for name, it in images.items()],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name} for number, name in zip(dataset.category_ids, dataset.classes, strict=True)
        ],
    }
