"""What AP needs of an evaluation, as a small file: so that it can be computed again, of resampled images too."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

from ..blocks.errors import InputError
from ..scaler.documents import written
from .data.records import Dataset, Split
from .matching import ANY_AREA, match, out_of
from .scoring import MAX_DETS, SIZES, Found

IOUS = np.linspace(0.5, 0.95, 10)  # thresholds of COCO's AP
AREAS = (ANY_AREA, (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))  # of `SIZES`, square pixels; COCO's
FORMAT = 1


@dataclass(frozen=True, eq=False)
class KeptMatches:
    """Detections matched with objects at COCO's ten thresholds.

    I images, C classes, A areas, D detections: those of a class together, best first. Left out are those that are
    worse than the last right one of their class, as they cannot change AP.
    """

    classes: np.ndarray  # (C,) names
    areas: np.ndarray  # (A,) of `SIZES`
    images: np.ndarray  # (I,) int64 ids, in the split's order
    objects: np.ndarray  # (A, I, C) int32, to be found
    image: np.ndarray  # (D,) int32, place in `images`
    label: np.ndarray  # (D,) int16
    scores: np.ndarray  # (D,) float32
    right: np.ndarray  # (A, D, 10) bool
    ignored: np.ndarray  # (A, D, 10) bool: in a crowd, or of another area

    def write(self, path: Path) -> None:
        """Write a file of numpy's, some kB to some hundred kB.

        Raises:
            InputError: it cannot be written.
        """
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays |= {name: np.packbits(arrays[name], axis=-1) for name in ("right", "ignored")}
        with written(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, format=np.array(FORMAT), **arrays)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it; nothing in it is executed.

        Raises:
            InputError: it cannot be read, or is not such a file.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            if arrays.pop("format") != FORMAT:
                raise ValueError("written by another version")
            for name in ("right", "ignored"):
                arrays[name] = np.unpackbits(arrays[name], axis=-1, count=len(IOUS)).astype(bool)
            kept = cls(**arrays)
            kept._check()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: not the matches of an evaluation: {error}") from error
        return kept

    def _check(self) -> None:
        areas, images, classes, found = len(self.areas), len(self.images), len(self.classes), len(self.scores)
        shapes = {
            "objects": (areas, images, classes),
            **dict.fromkeys(("image", "label"), (found,)),
            **dict.fromkeys(("right", "ignored"), (areas, found, len(IOUS))),
        }
        wrong = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} of another shape")
        inside = [(self.image >= 0) & (self.image < images), (self.label >= 0) & (self.label < classes)]
        if not np.all(inside):
            raise ValueError("detections of no image or no class")


def keep_matches(
    found: Sequence[Found], split: Split, dataset: Dataset, *, by_size: bool = False, max_dets: int = MAX_DETS
) -> KeptMatches:
    """Match the detections of a split, as its score does.

    Args:
        found: one entry for each image of the split, in any order.
        split: the annotations.
        dataset: classes.
        by_size: also match small, medium and large objects apart.
        max_dets: detections of a class in an image that count.
    """
    areas = AREAS if by_size else AREAS[:1]
    by_id = {image.image_id: image for image in found}
    objects = np.zeros((len(areas), len(split.images), len(dataset.classes)), dtype=np.int32)
    parts: list[tuple[np.ndarray, ...]] = []
    for place, record in enumerate(split.images):
        image = by_id[record.image_id]
        for index, area in enumerate(areas):
            wanted = record.labels[~record.crowd & ~out_of(record.area, area)]
            objects[index, place] = np.bincount(wanted, minlength=len(dataset.classes))
        for label in np.unique(image.labels):
            mine = np.flatnonzero(image.labels == label)
            mine = mine[np.argsort(-image.scores[mine], kind="stable")][:max_dets]
            matched = [match(image.boxes[mine], record, int(label), IOUS, area) for area in areas]
            right, ignored = (np.stack(side) for side in zip(*matched, strict=True))
            parts.append((np.full(len(mine), place), np.full(len(mine), label), image.scores[mine], right, ignored))
    nothing, no_flags = np.zeros(0, dtype=int), np.zeros((len(areas), 0, len(IOUS)), dtype=bool)
    parts.append((nothing, nothing, np.zeros(0), no_flags, no_flags))
    place, label, scores = (np.concatenate([part[i] for part in parts]) for i in range(3))
    right, ignored = (np.concatenate([part[i] for part in parts], axis=1) for i in (3, 4))
    order = np.lexsort((-scores, label))  # stable: of equal scores the earlier image first, as pycocotools has it
    somewhere_right = np.asarray(right[:, order].any(axis=(0, 2)))
    order = order[_may_count(label[order], somewhere_right, len(dataset.classes))]
    return KeptMatches(
        np.array(dataset.classes),
        np.array(SIZES[: len(areas)]),
        np.array([record.image_id for record in split.images], dtype=np.int64),
        objects,
        place[order].astype(np.int32),
        label[order].astype(np.int16),
        scores[order].astype(np.float32),
        right[:, order],
        ignored[:, order],
    )


def _may_count(label: np.ndarray, right: np.ndarray, classes: int) -> np.ndarray:
    """Places of the detections (n,), each class best first, down to the last right one of its class."""
    last = np.full(classes, -1)
    np.maximum.at(last, label[right], np.flatnonzero(right))
    return np.flatnonzero(np.arange(len(label)) <= last[label])
