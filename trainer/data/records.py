"""What a data set is once it is read, whatever it was written as."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...blocks.errors import InputError, nearest
from .findings import Findings

SPLITS = ("train", "val", "test")  # that every format knows; COCO files may name others
SMALLEST_PX = 10  # YOLOv7 as released drops images with a shorter side
OVERSHOOT_PX = 1.0
OVERSHOOT_SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One image and what is marked in it.

    Pixels are counted from the top left corner of the upright image (EXIF orientation applied); pixel 0 covers 0 to 1.
    """

    path: Path
    width: int  # px
    height: int  # px
    image_id: int  # unique over the data set for YOLO txt, over its split for COCO
    boxes: np.ndarray  # (n, 4) float32: x1, y1, x2, y2 in px, inside the image
    labels: np.ndarray  # (n,) int64: class index from 0
    crowd: np.ndarray  # (n,) bool: a region of many objects, no object to learn from
    area: np.ndarray  # (n,) float32: px^2 as annotated; that of the box where the annotation has none


@dataclass(frozen=True, eq=False)
class Split:
    """The images of one part of a data set, in a fixed order; at least one."""

    name: str
    images: tuple[ImageRecord, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Classes and splits of a data set."""

    classes: tuple[str, ...]  # by class index
    category_ids: tuple[int, ...]  # COCO id of each class index; 1, 2, ... where the source has none
    splits: dict[str, Split]
    source: str  # what the user named

    def split(self, name: str) -> Split:
        """Find a split.

        Raises:
            InputError: the data set has no split of this name.
        """
        if name not in self.splits:
            raise InputError(
                f"{self.source}: there is no split {name!r} in this data set; {nearest(name, self.splits)}"
            )
        return self.splits[name]


def check_side(path: Path, width: int, height: int) -> None:
    """Refuse an image with a side of a few pixels: the smallest stride leaves nothing of what it shows.

    Sides below the largest stride are fine: images are enlarged to the size of the input.

    Raises:
        InputError: a side is below 10 px.
    """
    if min(width, height) < SMALLEST_PX:
        raise InputError(
            f"{path}: the image is {width} x {height} px, and nothing is found in less than {SMALLEST_PX} px; "
            "replace it, or remove it with its labels"
        )


def boxes_inside(
    boxes: np.ndarray, width: int, height: int, place: Callable[[int], str], findings: Findings
) -> tuple[np.ndarray, np.ndarray]:
    """Hold boxes against their image, and clip them to it.

    The rule, for every format: a box may reach out of its image by max(1 px, 0.001 of that side), which rounding and
    labelling tools that count from 1 explain, and is clipped; further out it is refused. A box without an area
    (before or after clipping) is left out and counted, as COCO's own train2017 has such boxes. A negative size and
    a coordinate that is no number are refused.

    Args:
        boxes: (n, 4) float64, x1, y1, x2, y2 in px.
        width: of the image, px.
        height: of the image, px.
        place: names row i: file and line, or file and annotation id.
        findings: where a refused box is reported.

    Returns:
        (n, 4) float32 clipped boxes, and (n,) bool: which of them are kept.
    """
    size = np.array([width, height, width, height], dtype=np.float64)
    finite = np.isfinite(np.abs(boxes).sum(axis=1))
    sides = boxes[:, 2:] - boxes[:, :2]
    overshoot = np.maximum(-boxes, boxes - size)
    negative = finite & (sides < 0).any(axis=1)
    tolerance = np.maximum(OVERSHOOT_PX, OVERSHOOT_SHARE * size)
    outside = np.logical_and(finite & ~negative, (overshoot > tolerance).any(axis=1))
    for row in np.flatnonzero(~finite | negative | outside):
        x1, y1, x2, y2 = boxes[row]
        found = f"{place(int(row))}: the box x {x1:g} to {x2:g}, y {y1:g} to {y2:g} px"
        if not finite[row]:
            findings.problem(f"{found} has a coordinate that is no finite number; correct or remove it")
        elif negative[row]:
            findings.problem(f"{found} has a negative width or height; correct or remove it")
        else:
            reach = overshoot[row].max()
            findings.problem(
                f"{found} reaches {reach:.4g} px out of its image, which is {width} x {height} px; correct or remove it"
            )
    clipped = np.clip(np.where(finite[:, None], boxes, 0.0), 0.0, size).astype(np.float32)
    empty = finite & ~negative & ~outside & (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    findings.note("boxes without an area, left out", int(empty.sum()))
    return clipped, finite & ~negative & ~outside & ~empty
