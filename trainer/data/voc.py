"""Pascal VOC XML to records.

Source: the VOC2012 development kit: `Annotations/*.xml`, `JPEGImages/*`, `ImageSets/Main/{train,val,test}.txt`; corners
in pixels, counted from 1, the last one included; `difficult` objects are neither learnt from nor counted as missed.
"""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...blocks.errors import InputError
from ...scaler.documents import read_text
from .findings import Findings
from .images import SUFFIXES, image_size
from .records import SPLITS, Dataset, ImageRecord, Split, boxes_inside, check_side
from .xml_tree import Element, read_xml

ANNOTATIONS, IMAGES, SETS = "Annotations", "JPEGImages", "ImageSets"
LABEL_MAP = "labelmap.txt"  # lines of `name:colour:parts:actions` in class order, as CVAT and Datumaro write it
BACKGROUND = "background"  # the class of pixels without an object in such a map
SPLIT_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def is_voc(folder: Path) -> bool:
    """Whether a folder is laid out as VOC: `Annotations`, or XML files in it or in folders for train, val, test."""
    return any(next(place.glob("*.xml"), None) for place in (folder / ANNOTATIONS, folder, *_split_folders(folder)))


def read_voc(root: Path, source: str, findings: Findings) -> Dataset:
    """Read a folder of Pascal VOC annotations.

    Splits are the lists in `ImageSets/Main` (or `ImageSets`), `trainval` serving as train where there is no list of
    that name; or the folders train, val (also valid) and test, each with its XML files; or, without either, the one
    split train. Images lie in `JPEGImages` or `images`, or beside the XML files. Classes are those of
    `labelmap.txt`, or all names that occur, by the alphabet, which is the order of VOC itself.

    Raises:
        InputError: nothing like this is there, or, unless `findings` collects them, anything in it is wrong.
    """
    listed = {name: _files(paths, findings) for name, paths in _split_files(root, findings).items()}
    if not any(listed.values()):
        raise InputError(f"{root}: no annotations in any split; put XML files into {root / ANNOTATIONS}")
    classes = _classes(root, listed.values())
    splits, first_id = {}, 1
    for name, files in listed.items():
        records = (_record(file, classes, number, findings) for number, file in enumerate(files, first_id))
        splits[name] = Split(name, tuple(record for record in records if record is not None))
        first_id += len(files)
    return Dataset(tuple(classes), tuple(range(1, len(classes) + 1)), splits, source)


@dataclass(frozen=True)
class _File:
    path: Path
    document: Element

    @property
    def objects(self) -> Iterable[Element]:
        return self.document.all("object")


def _split_folders(root: Path) -> dict[Path, str]:
    """The folders of the layout with one for each split."""
    folders = {root / name: split for split, names in SPLIT_FOLDERS.items() for name in names}
    return {folder: split for folder, split in folders.items() if folder.is_dir()} | {
        folder / ANNOTATIONS: split for folder, split in folders.items() if (folder / ANNOTATIONS).is_dir()
    }


def _split_files(root: Path, findings: Findings) -> dict[str, list[Path]]:
    """The annotation files of each split."""
    lists = _lists(root)
    if lists:
        return {split: _listed(root, file, findings) for split, file in lists.items()}
    by_folder: dict[str, list[Path]] = {}
    for folder, split in _split_folders(root).items():
        if files := sorted(folder.glob("*.xml")):
            by_folder.setdefault(split, []).extend(files)
    if by_folder:
        return {split: by_folder[split] for split in SPLITS if split in by_folder}
    return {"train": sorted([*(root / ANNOTATIONS).glob("*.xml"), *root.glob("*.xml")])}


def _lists(root: Path) -> dict[str, Path]:
    folder = next((place for place in (root / SETS / "Main", root / SETS) if any(place.glob("*.txt"))), None)
    if folder is None:
        return {}
    found = {split: folder / f"{split}.txt" for split in SPLITS}
    if not found["train"].is_file():
        found["train"] = folder / "trainval.txt"
    return {split: file for split, file in found.items() if file.is_file()}


def _listed(root: Path, file: Path, findings: Findings) -> list[Path]:
    """The annotation files of the images that a list names, with or without a suffix."""
    files = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        path = root / ANNOTATIONS / f"{_stem(name)}.xml"
        if path.is_file():
            files.append(path)
        else:
            findings.problem(f"{file}:{number}: there is no {path}; write one, without objects for background")
    if not files:
        findings.problem(f"{file}: the split has no images; list some, or remove the file")
    return files


def _stem(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return name[: -len(suffix)] if suffix in SUFFIXES or suffix == ".xml" else name


def _files(paths: list[Path], findings: Findings) -> list[_File]:
    files = []
    for path in paths:
        try:
            document = read_xml(path)
            if document.tag != "annotation":
                raise InputError(f"{path}: not a VOC annotation: it begins with <{document.tag}>, not <annotation>")
            files.append(_File(path, document))
        except InputError as error:
            findings.problem(str(error))
    return files


def _classes(root: Path, splits: Iterable[list[_File]]) -> dict[str, int]:
    """The classes in their order, each with its index."""
    label_map = next((path for path in (root / LABEL_MAP, root / "labels.txt") if path.is_file()), None)
    if label_map is not None:
        lines = (line.strip() for line in read_text(label_map).splitlines())
        names = [line.rsplit(":", 3)[0] for line in lines if line and not line.startswith("#")]
        names = list(dict.fromkeys(name for name in names if name != BACKGROUND))
    else:
        objects = (item for files in splits for file in files for item in file.objects)
        names = sorted({name for item in objects if (name := item.word("name"))})
    if not names:
        where = label_map or root
        raise InputError(f"{where}: no class at all; annotate some objects, or name the classes in {LABEL_MAP}")
    return {name: index for index, name in enumerate(names)}


def _record(file: _File, classes: dict[str, int], image_id: int, findings: Findings) -> ImageRecord | None:
    try:
        path = _image(file)
        width, height = _stated_size(file) or image_size(path)
        check_side(path, width, height)
    except InputError as error:
        findings.problem(str(error))
        return None
    rows: list[tuple[list[float], int, bool, str]] = []
    for item in file.objects:
        try:
            rows.append(_row(item, f"{file.path}:{item.line}", classes))
        except InputError as error:
            findings.problem(str(error))
    boxes = np.array([row[0] for row in rows], dtype=np.float64).reshape(-1, 4)
    clipped, kept = boxes_inside(boxes, width, height, lambda row: rows[row][3], findings)
    difficult = np.array([row[2] for row in rows], dtype=bool)[kept]
    findings.note("difficult objects, ignored as VOC does", int(difficult.sum()))
    boxes = clipped[kept]
    return ImageRecord(
        path=path,
        width=width,
        height=height,
        image_id=image_id,
        boxes=boxes,
        labels=np.array([row[1] for row in rows], dtype=np.int64)[kept],
        crowd=difficult,
        area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
    )


def _row(item: Element, place: str, classes: dict[str, int]) -> tuple[list[float], int, bool, str]:
    name = item.word("name")
    if name not in classes:
        known = f"known: {', '.join(classes)}"
        raise InputError(f"{place}: the object's class is {name!r}; name one that the set has, or add it ({known})")
    corners = []
    for corner in CORNERS:
        word = item.word("bndbox", corner)
        try:
            corners.append(float(word))
        except ValueError:
            what = f"{word!r} is not a number" if word else "is missing"
            raise InputError(f"{place}: {name}: bndbox: {corner} {what}; a box has {', '.join(CORNERS)}") from None
    return [corners[0] - 1, corners[1] - 1, *corners[2:]], classes[name], item.word("difficult") == "1", place


def _stated_size(file: _File) -> tuple[int, int] | None:
    """Width and height as the file states them; None where it does not, or states 0, as some tools do."""
    words = [file.document.word("size", side) for side in ("width", "height")]
    if not all(word.isascii() and word.isdigit() and len(word) < 10 and int(word) > 0 for word in words):
        return None
    return int(words[0]), int(words[1])


def _image(file: _File) -> Path:
    """The image of an annotation: what it names, or else of its own name, in one of the usual folders."""
    here = file.path.parent
    folders = [here.parent / IMAGES, here.parent / "images", here] if here.name == ANNOTATIONS else [here]
    stated = Path(file.document.word("filename").replace("\\", "/")).name
    names = [name for name in (stated, *(file.path.stem + suffix for suffix in sorted(SUFFIXES))) if name]
    found = next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)
    if found is None:
        pattern = f"{glob.escape(file.path.stem)}.*"  # a suffix in capitals
        by_case = (path for folder in folders if folder.is_dir() for path in folder.glob(pattern))
        found = next((path for path in by_case if path.suffix.lower() in SUFFIXES), None)
    if found is None:
        looked = ", ".join(str(folder / (stated or file.path.stem)) for folder in folders)
        raise InputError(f"{file.path}: there is no image for it: looked for {looked}; put it in one of these places")
    return found
