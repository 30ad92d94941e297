"""A data set looked through to its end: every mistake, and what there is."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...blocks.errors import InputError
from ...scaler.documents import write_text
from .findings import Findings
from .images import record_image
from .leaks import leak_warnings
from .records import ImageRecord, Split
from .sources import read_dataset

SMALL_PX2, MEDIUM_PX2 = 32**2, 96**2  # COCO's bounds of small and medium areas


@dataclass(frozen=True)
class SplitCount:
    """What a split holds."""

    images: int
    background: int  # images without objects
    boxes: int  # crowds included
    crowds: int
    small: int  # area below 32^2 px
    medium: int  # below 96^2 px
    large: int
    per_class: dict[str, int]


@dataclass(frozen=True)
class Check:
    """What `check_dataset` found; `problems` is empty for a good data set."""

    source: str
    classes: tuple[str, ...]
    splits: dict[str, SplitCount]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]  # what stops no training, but spoils what it says
    notes: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the same names."""
        return {
            "source": self.source,
            "classes": list(self.classes),
            "splits": {name: vars(count) for name, count in self.splits.items()},
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "notes": self.notes,
        }


def check_dataset(ref: str | Path, progress: Callable[[int, int], None] | None = None) -> Check:
    """Read a data set and decode every image, collecting all mistakes instead of stopping at the first.

    Args:
        ref: as for `open_dataset`.
        progress: called with images done and images in all.

    Raises:
        InputError: there is no data set to look through.
    """
    findings = Findings(collect=True)
    dataset = read_dataset(ref, findings)
    images = {record.path: record for split in dataset.splits.values() for record in split.images}
    for done, record in enumerate(images.values(), 1):
        try:
            record_image(record)
        except InputError as error:
            findings.problem(str(error))
        if progress is not None:
            progress(done, len(images))
    findings.note("images that are listed twice in a split", sum(map(_repeats, dataset.splits.values())))
    return Check(
        source=str(ref),
        classes=dataset.classes,
        splits={name: _count(split, dataset.classes) for name, split in dataset.splits.items()},
        problems=tuple(findings.problems),
        warnings=tuple(leak_warnings(dataset)),
        notes=dict(findings.notes),
    )


def _repeats(split: Split) -> int:
    return len(split.images) - len({record.path for record in split.images})


def _count(split: Split, classes: tuple[str, ...]) -> SplitCount:
    def joined(part: Callable[[ImageRecord], np.ndarray]) -> np.ndarray:
        return np.concatenate([np.empty(0), *(part(record) for record in split.images)])

    area = joined(lambda record: record.area)
    labels = np.bincount(joined(lambda record: record.labels).astype(np.int64), minlength=len(classes))
    small, medium = int((area < SMALL_PX2).sum()), int((area < MEDIUM_PX2).sum())
    return SplitCount(
        images=len(split.images),
        background=sum(len(record.boxes) == 0 for record in split.images),
        boxes=len(area),
        crowds=int(joined(lambda record: record.crowd).sum()),
        small=small,
        medium=medium - small,
        large=len(area) - medium,
        per_class=dict(zip(classes, labels.tolist(), strict=True)),
    )


def write_report(check: Check, file: Path) -> None:
    """Write a check as JSON or as text, by the suffix of the file.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    match file.suffix.lower():
        case ".json":
            write_text(file, json.dumps(check.to_json(), indent=2, ensure_ascii=False) + "\n")
        case ".txt":
            write_text(file, "\n".join(as_text(check)) + "\n")
        case _:
            raise InputError(f"{file}: a report is JSON or text; let its name end in .json or .txt")


def as_text(check: Check) -> Iterator[str]:
    """A check as lines: a table of the splits, one of the classes, the oddities, and every mistake."""
    heads = ("split", "images", "background", "boxes", "crowds", "small", "medium", "large")
    rows = [[name, *(str(getattr(count, head)) for head in heads[1:])] for name, count in check.splits.items()]
    yield from _table([list(heads), *rows])
    yield ""
    classes = [[name, *(str(count.per_class[name]) for count in check.splits.values())] for name in check.classes]
    yield from _table([["class", *check.splits], *classes])
    if check.notes:
        yield ""
        yield from (f"note: {count} {what}" for what, count in check.notes.items())
    yield ""
    yield from (f"warning: {warning}" for warning in check.warnings)
    if check.problems:
        yield from (f"problem: {problem}" for problem in check.problems)
        yield f"{check.source}: {len(check.problems)} problem{'s' if len(check.problems) > 1 else ''}"
    else:
        yield f"{check.source}: no problems"


def _table(rows: list[list[str]]) -> Iterator[str]:
    """Rows in columns: the first to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *numbers])
