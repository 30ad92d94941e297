"""YOLO txt labels, listed by a `data.yaml`, to records.

Source: YOLOv7 as released, and the layout that users of the neighbouring tools know: rows of `class cx cy w h` as
fractions of the image's width and height, or `class x1 y1 x2 y2 x3 y3 ...` for a polygon.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict

from ...blocks.errors import InputError
from ...scaler.documents import parse, read_text, read_yaml
from .findings import Findings
from .images import SUFFIXES, image_size
from .records import SPLITS, Dataset, ImageRecord, Split, boxes_inside, check_side

PIXELS_NOT_FRACTIONS = 2.0  # a value above this was surely written in pixels


def _class_names(value: Any) -> tuple[str, ...]:
    """Class names from a list, or from a mapping of class numbers; a number may be a name."""
    if isinstance(value, dict):
        if set(value) != set(range(len(value))):
            raise ValueError(f"class numbers must run 0, 1, 2, ... without gaps, not {', '.join(map(str, value))}")
        value = [value[number] for number in range(len(value))]
    if not isinstance(value, list) or not value:
        raise ValueError("give a list of class names, or a mapping of class numbers to names")
    for name in value:
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise ValueError(f"{name!r} is no class name; write it in quotes")
        if value.count(name) > 1:
            raise ValueError(f"{name!r} stands twice; give each class a name of its own")
    return tuple(map(str, value))


def _entries(value: Any) -> tuple[str, ...]:
    """The places that make up a split."""
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str) for entry in entries):
        raise ValueError("give a folder of images, a .txt list of images, or a list of these")
    return tuple(entries)


ClassNames = Annotated[tuple[str, ...], BeforeValidator(_class_names)]
Entries = Annotated[tuple[str, ...], BeforeValidator(_entries)]


class DataFile(BaseModel):
    """The keys of a `data.yaml`. What other tools add for themselves is named here, and not used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = "."  # root of the three below, relative to the file's own folder
    train: Entries | None = None
    val: Entries | None = None
    test: Entries | None = None
    names: ClassNames
    nc: int | None = None

    download: Any = None
    roboflow: Any = None
    description: Any = None
    author: Any = None
    license: Any = None
    version: Any = None
    date: Any = None
    url: Any = None


def read_yolo(file: Path, source: str, findings: Findings) -> Dataset:
    """Read a `data.yaml` and the label file of every image it lists.

    A label file lies where its image does, with the last folder `images` of the path replaced by `labels` and the
    suffix by `.txt`. An image without a label file has no objects. Splits are folders (searched with their subfolders),
    text files with an image a line (relative to themselves or to the root), or lists of these.

    Raises:
        InputError: the file is no data.yaml, or, unless `findings` collects them, anything that it names is wrong.
    """
    settings: DataFile = parse(DataFile, read_yaml(file), str(file))
    if settings.nc not in {None, len(settings.names)}:
        stated = f"nc is {settings.nc}, but {len(settings.names)} names are given"
        raise InputError(f"{file}: {stated}; correct one of them, or leave nc out")
    root = file.parent / settings.path
    if not root.is_dir():
        raise InputError(f"{file}: path: there is no folder {root}; it is taken relative to the folder of this file")
    splits: dict[str, Split] = {}
    image_id = 1
    for name in SPLITS:
        entries = getattr(settings, name)
        if entries is None:
            continue
        place = f"{file}: {name}"
        images = _images(entries, root, place, findings)
        records = tuple(_records(images, place, image_id, len(settings.names), findings))
        image_id += len(images)
        splits[name] = Split(name, records)
    if not splits:
        raise InputError(f"{file}: none of {', '.join(SPLITS)} is there; name the images of at least one split")
    return Dataset(settings.names, tuple(range(1, len(settings.names) + 1)), splits, source)


def label_path(image: Path) -> Path:
    """Where the labels of an image lie: the last folder `images` becomes `labels`; beside the image without one."""
    parts = list(image.parts)
    folders = [position for position, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _images(entries: tuple[str, ...], root: Path, place: str, findings: Findings) -> list[Path]:
    """The images of a split, sorted by path; at least one."""
    images: list[Path] = []
    for entry in entries:
        target = _plain(root / entry)
        if target.is_dir():
            images += [path for path in target.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
        elif target.is_file() and target.suffix == ".txt":
            images += _listed(target, root, findings)
        elif target.is_file():
            findings.problem(f"{place}: {target} is neither a folder of images nor a .txt list of them")
        else:
            inside = entry.removeprefix("../")
            hint = f"did you mean {inside!r}?" if inside != entry and (root / inside).exists() else "correct the path"
            findings.problem(f"{place}: there is no folder or list {target}; {hint}")
    if not images:
        where = ", ".join(str(root / entry) for entry in entries) or "an empty list"
        findings.problem(f"{place}: the split has no images in {where}; add some ({', '.join(sorted(SUFFIXES))})")
    return sorted(images)


def _plain(path: Path) -> Path:
    """Without `..`, so that an image has one name however it is listed, and links stay as the user made them."""
    return Path(os.path.normpath(path))


def _listed(file: Path, root: Path, findings: Findings) -> Iterator[Path]:
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        tried = list(dict.fromkeys(_plain(folder / line.strip()) for folder in (file.parent, root)))
        found = next((path for path in tried if path.is_file()), None)
        if found is None:
            findings.problem(
                f"{file}:{number}: no such image: {', '.join(map(str, tried))}; correct or remove the line"
            )
        else:
            yield found


def _records(images: list[Path], place: str, first_id: int, classes: int, findings: Findings) -> Iterator[ImageRecord]:
    labels = [label_path(image) for image in images]
    there = [label.is_file() for label in labels]
    if images and not any(there):
        findings.problem(
            f"{place}: none of the {len(images)} images has a label file; the one of {images[0]} was looked for at "
            f"{labels[0]}; put it there, empty for an image without objects"
        )
    findings.note("images without a label file, taken as background", there.count(False))
    for image_id, (image, label, labelled) in enumerate(zip(images, labels, there, strict=True), first_id):
        try:
            width, height = image_size(image)
            check_side(image, width, height)
            rows = _rows(label, classes, findings) if labelled else []
        except InputError as error:
            findings.problem(str(error))
            continue
        boxes = np.array([row.box for row in rows], dtype=np.float64).reshape(-1, 4) * (width, height, width, height)
        clipped, kept = boxes_inside(boxes, width, height, lambda row, rows=rows: rows[row].place, findings)
        boxes = clipped[kept]
        yield ImageRecord(
            path=image,
            width=width,
            height=height,
            image_id=image_id,
            boxes=boxes,
            labels=np.array([row.label for row in rows], dtype=np.int64)[kept],
            crowd=np.zeros(len(boxes), dtype=bool),
            area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        )


@dataclass(frozen=True)
class _Row:
    label: int
    box: tuple[float, float, float, float]  # x1, y1, x2, y2 as fractions
    place: str


def _rows(file: Path, classes: int, findings: Findings) -> list[_Row]:
    """The good rows of a label file, each once."""
    rows: dict[str, _Row] = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        text = " ".join(line.split())
        if text in rows:
            findings.note("rows that repeat another one, left out")
        elif text:
            try:
                rows[text] = _row(text.split(), f"{file}:{number}", classes)
            except InputError as error:
                findings.problem(str(error))
    return list(rows.values())


def _row(words: list[str], place: str, classes: int) -> _Row:
    if len(words) != 5 and (len(words) < 7 or len(words) % 2 == 0):
        raise InputError(
            f"{place}: {len(words)} columns; a box has 5 (class cx cy w h), a polygon 7, 9, 11, ... (class x1 y1 ...)"
        )
    try:
        label, *values = (float(word) for word in words)
    except ValueError as error:
        raise InputError(f"{place}: {str(error).rpartition(': ')[2]} is not a number") from error
    if not np.isfinite([label, *values]).all():
        raise InputError(f"{place}: a value is not finite; correct or remove the row")
    if label != int(label):
        raise InputError(f"{place}: the class must be a whole number, not {words[0]}")
    if not 0 <= label < classes:
        raise InputError(
            f"{place}: class {int(label)}, but the data set has {classes} classes, numbered from 0 to {classes - 1}; "
            "correct the row, or add the class to names"
        )
    if max(values) > PIXELS_NOT_FRACTIONS:
        raise InputError(
            f"{place}: {max(values):g} is no fraction of the image's side; write fractions from 0 to 1, not pixels"
        )
    if len(values) == 4:
        x, y, width, height = values
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        across, down = values[::2], values[1::2]
        box = (min(across), min(down), max(across), max(down))
    return _Row(int(label), box, place)
