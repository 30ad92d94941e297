"""COCO JSON to records.

Source: cocodataset.org, "Data format", object detection: images, annotations, categories; bbox is x, y, width, height
in px.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...blocks.errors import InputError
from ...scaler.documents import read_text
from .findings import Findings
from .records import SPLITS, Dataset, ImageRecord, Split, boxes_inside, check_side

PREFIX = "instances_"
_LARGEST = 2**53  # whole numbers beyond it are no floats, and nothing in an image needs them


def annotation_files(folder: Path) -> dict[str, Path]:
    """Files of the COCO layout by split: `annotations/instances_train.json`, also `instances_train2017.json`.

    Raises:
        InputError: two files for one split.
    """
    found: dict[str, Path] = {}
    for path in sorted([*folder.glob(f"annotations/{PREFIX}*.json"), *folder.glob(f"{PREFIX}*.json")]):
        split = split_of(path)
        if split in found:
            raise InputError(
                f"{path}: a second file for the split {split!r}, beside {found[split].name}; name one of them"
            )
        found[split] = path
    return {split: found[split] for split in (*SPLITS, *found) if split in found}


def split_of(path: Path) -> str:
    """The split that an annotation file's name states.

    `instances_val2017.json` is `val`, `instances_mini.json` is `mini`; any other name is looked through for one of
    train, val and test, and is `val` where it has none.
    """
    tag = _tag(path)
    if path.stem.startswith(PREFIX):
        return next((split for split in SPLITS if tag.startswith(split)), tag)
    return next((split for split in SPLITS if split in tag), "val")


def read_coco(files: dict[str, Path], source: str, findings: Findings) -> Dataset:
    """Read one COCO JSON file for each split.

    Classes are the categories of all files in the order of their ids, which may have gaps.

    Raises:
        InputError: a file is no COCO JSON, or, unless `findings` collects them, anything in it is wrong.
    """
    documents: dict[str, dict[str, list[dict[str, Any]]]] = {}
    names: dict[int, str] = {}
    for split, path in files.items():
        try:
            documents[split] = _document(path)
        except InputError as error:
            findings.problem(str(error))
            continue
        _add_categories(names, documents[split]["categories"], path, findings)
    category_ids = tuple(sorted(names))
    index = {category: position for position, category in enumerate(category_ids)}
    splits = {
        split: Split(split, tuple(_records(document, files[split], index, findings)))
        for split, document in documents.items()
    }
    return Dataset(tuple(names[category] for category in category_ids), category_ids, splits, source)


def _document(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        document = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets nested as deep
        raise InputError(f"{path}: not COCO detection JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        items = document.get(key) if isinstance(document, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise InputError(f"{path}: not COCO detection JSON: {key!r} must be a list of objects")
    if not document["images"]:
        raise InputError(f"{path}: the split has no images; add some, or remove the file")
    if not document["categories"]:
        raise InputError(f"{path}: 'categories' is empty; list each class with its id and name")
    return document


def _add_categories(names: dict[int, str], categories: list[dict[str, Any]], path: Path, findings: Findings) -> None:
    """Join the categories of one more file: an id has one name in all of them, and a name one id."""
    here: set[int] = set()
    for position, category in enumerate(categories):
        place = f"{path}: categories[{position}]"
        if not _whole(category.get("id")) or not isinstance(category.get("name"), str):
            findings.problem(f"{place}: needs a whole number as 'id' and a text as 'name'")
            continue
        key, name = category["id"], category["name"]
        if key in here:
            findings.problem(f"{place}: category id {key} stands twice; give each category an id of its own")
        elif names.get(key, name) != name:
            findings.problem(
                f"{place}: category {key} is {name!r} here and {names[key]!r} in another split; use one name"
            )
        elif key not in names and name in names.values():
            findings.problem(f"{place}: the name {name!r} stands for two category ids; join them, or rename one")
        else:
            names[key] = name
        here.add(key)


def _records(
    document: dict[str, list[dict[str, Any]]], path: Path, index: dict[int, int], findings: Findings
) -> Iterator[ImageRecord]:
    images = _images(document["images"], path, findings)
    rows: dict[int, list[_Row]] = {key: [] for key in images}
    seen: set[Any] = set()
    for position, annotation in enumerate(document["annotations"]):
        place = f"{path}: annotation {annotation['id']}" if "id" in annotation else f"{path}: annotations[{position}]"
        if (number := annotation.get("id")) is not None and not isinstance(number, dict | list):
            if number in seen:
                findings.problem(f"{place}: the annotation id stands twice; give each annotation an id of its own")
                continue
            seen.add(number)
        row = _row(annotation, place, index, findings)
        if row is None:
            continue
        if not _whole(annotation["image_id"]) or annotation["image_id"] not in rows:
            findings.problem(
                f"{place}: there is no image with the id {annotation['image_id']!r}; add it, or correct 'image_id'"
            )
            continue
        rows[annotation["image_id"]].append(row)
    folders = _folders(path)
    for key, image in images.items():
        found = _find(image["file_name"], folders)
        if found is None:
            tried = ", ".join(str(folder / image["file_name"]) for folder in folders)
            findings.problem(f"{path}: image {key}: no such file: {tried}; put it in one of these places")
            continue
        try:
            check_side(found, image["width"], image["height"])
        except InputError as error:
            findings.problem(str(error))
            continue
        yield _record(found, image, rows[key], findings)


def _images(images: list[dict[str, Any]], path: Path, findings: Findings) -> dict[int, dict[str, Any]]:
    by_id: dict[int, dict[str, Any]] = {}
    for position, image in enumerate(images):
        place = f"{path}: images[{position}]"
        missing = [key for key in ("id", "file_name", "width", "height") if key not in image]
        if missing:
            findings.problem(f"{place}: {missing[0]!r} is missing")
        elif not _whole(image["id"]) or not isinstance(image["file_name"], str):
            findings.problem(f"{place}: needs a whole number as 'id' and a text as 'file_name'")
        elif not all(_whole(image[side]) and image[side] > 0 for side in ("width", "height")):
            findings.problem(f"{place}: 'width' and 'height' must be whole numbers of pixels above 0")
        elif image["id"] in by_id:
            findings.problem(f"{place}: image id {image['id']} stands twice; give each image an id of its own")
        else:
            by_id[image["id"]] = image
    return by_id


_Row = tuple[list[float], int, bool, float | None, str]  # bbox, class index, crowd, area, place


def _row(annotation: dict[str, Any], place: str, index: dict[int, int], findings: Findings) -> _Row | None:
    for key in ("image_id", "category_id", "bbox"):
        if key not in annotation:
            findings.problem(f"{place}: {key!r} is missing")
            return None
    category, bbox, area = annotation["category_id"], annotation["bbox"], annotation.get("area")
    if not _whole(category) or category not in index:
        known = f"known ids: {', '.join(map(str, index))}"
        findings.problem(f"{place}: there is no category with the id {category!r}; add it, or correct it ({known})")
    elif not isinstance(bbox, list) or len(bbox) != 4 or not all(_number(value) for value in bbox):
        findings.problem(f"{place}: 'bbox' must be four numbers: x, y, width, height in pixels, not {bbox!r}")
    elif area is not None and not (_number(area) and 0 <= area < float("inf")):
        findings.problem(f"{place}: 'area' must be a number of square pixels from 0, not {area!r}")
    else:
        return bbox, index[category], bool(annotation.get("iscrowd", 0)), area, place
    return None


def _record(file: Path, image: dict[str, Any], rows: list[_Row], findings: Findings) -> ImageRecord:
    boxes = np.array([row[0] for row in rows], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    clipped, kept = boxes_inside(boxes, image["width"], image["height"], lambda row: rows[row][4], findings)
    sides = clipped[:, 2:] - clipped[:, :2]
    stated = np.array([np.nan if row[3] is None else row[3] for row in rows], dtype=np.float32)
    area = np.where(np.isnan(stated), sides.prod(axis=1), stated)
    return ImageRecord(
        path=file,
        width=image["width"],
        height=image["height"],
        image_id=image["id"],
        boxes=clipped[kept],
        labels=np.array([row[1] for row in rows], dtype=np.int64)[kept],
        crowd=np.array([row[2] for row in rows], dtype=bool)[kept],
        area=area[kept],
    )


def _tag(path: Path) -> str:
    return path.stem.removeprefix(PREFIX)


def _folders(path: Path) -> list[Path]:
    """Where the images of an annotation file may lie, in the order of looking."""
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    tag, split = _tag(path), split_of(path)
    places = [root / "images" / tag, root / "images" / split, root / "images", root / tag, root / split, root]
    return list(dict.fromkeys(places))


def _find(name: str, folders: list[Path]) -> Path | None:
    """Look an image up, and let the next one be looked for in the same folder first."""
    for position, folder in enumerate(folders):
        if (folder / name).is_file():
            folders.insert(0, folders.pop(position))
            return folder / name
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST


def _number(value: Any) -> bool:
    return isinstance(value, float) or _whole(value)
