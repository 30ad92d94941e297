"""What the labels of a data set are like: counts of classes, sizes and places of boxes, objects in an image."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .records import Dataset

SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, eq=False)
class Stats:
    """The labels of some splits; crowds are left out."""

    source: str
    images: int
    background: int  # images without objects
    per_class: dict[str, int]
    sizes_px: np.ndarray  # (n, 2) width and height of each box in px of its image
    sizes: np.ndarray  # (n, 2) the same as shares of the image's sides
    centres: np.ndarray  # (n, 2) as shares of the image's sides
    per_image: np.ndarray  # (images,) int64: boxes

    @property
    def boxes(self) -> int:
        return len(self.sizes)

    def quantiles(self) -> dict[str, list[float]]:
        """The values below which `SHARES` of all lie; nothing of boxes where there are none."""
        boxes = {
            "width px": self.sizes_px[:, 0],
            "height px": self.sizes_px[:, 1],
            "area px²": self.sizes_px.prod(axis=1),
            "width / image": self.sizes[:, 0],
            "height / image": self.sizes[:, 1],
            "width / height": self.sizes_px[:, 0] / self.sizes_px[:, 1],
            "centre x": self.centres[:, 0],
            "centre y": self.centres[:, 1],
        }
        values = {**(boxes if self.boxes else {}), "boxes in an image": self.per_image}
        return {name: np.quantile(value, SHARES).round(4).tolist() for name, value in values.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain data: counts, and quantiles instead of the boxes themselves."""
        return {
            "source": self.source,
            "images": self.images,
            "background": self.background,
            "boxes": self.boxes,
            "per_class": self.per_class,
            "shares": list(SHARES),
            "quantiles": self.quantiles(),
        }


def measure(dataset: Dataset, split: str | None = None) -> Stats:
    """Measure the labels of one split, or of all.

    Raises:
        InputError: there is no split of this name.
    """
    splits = dataset.splits.values() if split is None else [dataset.split(split)]
    records = [record for part in splits for record in part.images]
    kept = [~record.crowd for record in records]
    per_image = np.array([mask.sum() for mask in kept], dtype=np.int64)
    sides = np.array([(record.width, record.height) for record in records], dtype=np.float64).repeat(per_image, axis=0)
    pairs = list(zip(records, kept, strict=True))
    boxes = np.concatenate([record.boxes[mask] for record, mask in pairs]).astype(np.float64)
    labels = np.concatenate([record.labels[mask] for record, mask in pairs])
    counts = np.bincount(labels, minlength=len(dataset.classes))
    sizes_px = boxes[:, 2:] - boxes[:, :2]
    return Stats(
        source=dataset.source if split is None else f"{dataset.source} ({split})",
        images=len(records),
        background=int((per_image == 0).sum()),
        per_class=dict(zip(dataset.classes, counts.tolist(), strict=True)),
        sizes_px=sizes_px,
        sizes=sizes_px / sides,
        centres=(boxes[:, :2] + boxes[:, 2:]) / 2 / sides,
        per_image=per_image,
    )
