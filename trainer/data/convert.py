"""A data set written anew in another format: COCO JSON, YOLO txt or Pascal VOC XML. Pixels stay as they are."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from ...blocks.errors import InputError, nearest
from ...scaler.documents import dump_yaml, written
from .coco import PREFIX
from .coco_writer import coco_document
from .records import SPLITS, Dataset, ImageRecord
from .voc import ANNOTATIONS, BACKGROUND, CORNERS, IMAGES, LABEL_MAP, SETS

Format = str  # coco, yolo, voc
FORMATS = ("coco", "yolo", "voc")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Converted:
    """What was written."""

    folder: Path
    images: dict[str, int]  # by split
    boxes: dict[str, int]
    renamed: int  # images whose name another one had
    left_out: dict[str, int]  # what the format cannot say, counted

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the same names."""
        return vars(self) | {"folder": str(self.folder)}


def convert(
    dataset: Dataset, folder: Path, to: Format, *, copy: bool = False, progress: Progress | None = None
) -> Converted:
    """Write all splits of a data set into a folder, whole or not at all.

    COCO JSON keeps everything. YOLO txt and VOC have no category ids and no areas of their own; YOLO txt has no crowds,
    which are left out; in VOC they become `difficult` objects, which are ignored likewise. Coordinates are kept to
    0.001 px.

    Args:
        dataset: as read.
        folder: new or empty.
        to: the format.
        copy: copy the images; else the folder has symbolic links to where they are.
        progress: called with images done and images in all.

    Raises:
        InputError: the folder holds something or cannot be written, or the format has no such split or class name.
    """
    if to not in FORMATS:
        raise InputError(f"--to {to}: no such format; {nearest(to, FORMATS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there and not empty; name a new or empty folder")
    if to != "coco" and (odd := [name for name in dataset.splits if name not in SPLITS]):
        raise InputError(f"{dataset.source}: split {odd[0]!r}: {to} has the splits {', '.join(SPLITS)}; use coco")
    write = _Writer(dataset, copy, progress)
    with written(folder) as beside:
        beside.mkdir(parents=True)
        {"coco": write.coco, "yolo": write.yolo, "voc": write.voc}[to](beside)
    return Converted(
        folder,
        images={name: len(split.images) for name, split in dataset.splits.items()},
        boxes={name: sum(_written(image, to) for image in split.images) for name, split in dataset.splits.items()},
        renamed=write.renamed,
        left_out=dict(write.left_out),
    )


def _written(record: ImageRecord, to: Format) -> int:
    return int((~record.crowd).sum()) if to == "yolo" else len(record.boxes)


class _Writer:
    """The three formats; counts what it meets on its way."""

    def __init__(self, dataset: Dataset, copy: bool, progress: Progress | None) -> None:
        self.dataset, self.copy, self.progress = dataset, copy, progress
        self.all = sum(len(split.images) for split in dataset.splits.values())
        self.done = self.renamed = 0
        self.left_out: Counter[str] = Counter()

    def coco(self, root: Path) -> None:
        (root / "annotations").mkdir()
        for split in self.dataset.splits:
            images = self._images(root / "images" / split, split, set())
            text = json.dumps(coco_document(images, self.dataset), ensure_ascii=False)
            (root / "annotations" / f"{PREFIX}{split}.json").write_text(text + "\n", encoding="utf-8")

    def yolo(self, root: Path) -> None:
        for split in self.dataset.splits:
            labels = root / "labels" / split
            labels.mkdir(parents=True)
            for name, record in self._images(root / "images" / split, split, set()).items():
                _write_lines(labels / f"{Path(name).stem}.txt", _yolo_rows(record))
                if crowds := int(record.crowd.sum()):
                    self.left_out["crowds"] += crowds
        places = {split: f"images/{split}" for split in self.dataset.splits}
        text = dump_yaml({**places, "names": list(self.dataset.classes)})
        (root / "data.yaml").write_text(text, encoding="utf-8")

    def voc(self, root: Path) -> None:
        _check_voc_names(self.dataset)
        for folder in (ANNOTATIONS, f"{SETS}/Main"):
            (root / folder).mkdir(parents=True)
        taken: set[str] = set()
        for split in self.dataset.splits:
            images = self._images(root / IMAGES, split, taken)
            for name, record in images.items():
                lines = _voc_lines(name, record, self.dataset.classes)
                _write_lines(root / ANNOTATIONS / f"{Path(name).stem}.xml", lines)
            _write_lines(root / SETS / "Main" / f"{split}.txt", (Path(name).stem for name in images))
        _write_lines(root / LABEL_MAP, ("# label:color_rgb:parts:actions", *(f"{n}:::" for n in self.dataset.classes)))

    def _images(self, folder: Path, split: str, taken: set[str]) -> Mapping[str, ImageRecord]:
        """Put the images of a split into a folder; the records by their new names, whose stems differ."""
        folder.mkdir(parents=True, exist_ok=True)
        named = {}
        for record in self.dataset.split(split).images:
            stem = record.path.stem
            if stem.lower() in taken:  # also where letter case makes no difference
                self.renamed += 1
                stem = f"{split}_{stem}"
            number = 2
            while stem.lower() in taken:
                stem, number = f"{split}_{record.path.stem}_{number}", number + 1
            taken.add(stem.lower())
            name = stem + record.path.suffix
            named[name] = record
            if self.copy:
                shutil.copyfile(record.path, folder / name)
            else:
                (folder / name).symlink_to(record.path.resolve())
            self.done += 1
            if self.progress:
                self.progress(self.done, self.all)
        return named


def _write_lines(file: Path, lines: Iterator[str] | tuple[str, ...]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _yolo_rows(record: ImageRecord) -> Iterator[str]:
    boxes, labels = record.boxes[~record.crowd].astype(float), record.labels[~record.crowd]
    size = (record.width, record.height)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2 / size, (boxes[:, 2:] - boxes[:, :2]) / size
    for label, (x, y), (width, height) in zip(labels, centres, sides, strict=True):
        yield f"{label} {x:.8g} {y:.8g} {width:.8g} {height:.8g}"


def _check_voc_names(dataset: Dataset) -> None:
    for name in dataset.classes:
        if name != name.strip() or not name.isprintable() or name == BACKGROUND or name.startswith("#") or not name:
            raise InputError(f"{dataset.source}: VOC cannot name a class {name!r}; rename it, or use coco or yolo")


def _voc_lines(name: str, record: ImageRecord, classes: tuple[str, ...]) -> Iterator[str]:
    yield "<annotation>"
    yield f"  <filename>{escape(name)}</filename>"
    yield f"  <size><width>{record.width}</width><height>{record.height}</height><depth>3</depth></size>"
    for box, label, crowd in zip(record.boxes, record.labels, record.crowd, strict=True):
        x1, y1, x2, y2 = (float(side) for side in box)
        corners = zip(CORNERS, (x1 + 1, y1 + 1, x2, y2), strict=True)
        yield "  <object>"
        yield f"    <name>{escape(classes[label])}</name>"
        yield f"    <difficult>{int(crowd)}</difficult>"
        yield f"    <bndbox>{''.join(f'<{corner}>{side:.8g}</{corner}>' for corner, side in corners)}</bndbox>"
        yield "  </object>"
    yield "</annotation>"
