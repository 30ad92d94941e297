"""The embedded data set `shapes`: drawn from a seed, written as JPEG and COCO JSON."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...blocks.errors import InputError
from .coco import PREFIX
from .coco_writer import coco_annotation, coco_image
from .scenes import CLASSES, draw_scene

VERSION = 1  # raised whenever the same seed draws another picture
TRAIN, VAL, TEST, SIZE_PX, SEED = 240, 64, 64, 256, 0
SIZES_PX = range(64, 1025)
JPEG_QUALITY = 92
GENERATOR = "catscale shapes"


def make_shapes(
    folder: str | Path,
    *,
    train: int = TRAIN,
    val: int = VAL,
    test: int = TEST,
    size_px: int = SIZE_PX,
    seed: int = SEED,
) -> Path:
    """Draw the set into `folder`: `images/<split>/000001.jpg` and `annotations/instances_<split>.json`.

    The same arguments give the same bytes; picture i of a split does not depend on how many there are. An earlier set
    in the folder is replaced. The set is drawn beside the folder and renamed, so no half of it is ever seen.

    Args:
        folder: new or empty, or holding a shapes set and nothing else.
        train: images; at least 1.
        val: images; at least 1.
        test: images; 0 leaves the split out.
        size_px: side of the square images.
        seed: from 0.

    Raises:
        InputError: an argument is out of bounds, the folder holds something else, or cannot be written.
    """
    folder = Path(folder)
    if train < 1 or val < 1 or test < 0:
        raise InputError(f"shapes: {train} train, {val} val and {test} test images; at least 1, 1 and 0 are needed")
    if size_px not in SIZES_PX:
        raise InputError(f"shapes: size {size_px} px; choose one from {SIZES_PX[0]} to {SIZES_PX[-1]}")
    if seed < 0:
        raise InputError(f"shapes: seed {seed}; choose one from 0")
    _check_target(folder)
    replace = folder.is_dir()
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        beside.mkdir(parents=True)
        first_id = 1
        for index, (split, count) in enumerate({"train": train, "val": val, "test": test}.items()):
            if count:
                _write_split(beside, split, index, count, first_id, size_px, seed)
                first_id += count
        _put(beside, folder, replace=replace)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def embedded_shapes() -> Path:
    """The folder of the embedded set, below `runs/data` of the working folder; drawn when it is not there yet.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path("runs") / "data" / f"shapes-{VERSION}-{SEED}-{SIZE_PX}"
    return folder if _is_shapes(folder) else make_shapes(folder)


def _check_target(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a new folder")
    if folder.is_dir() and any(folder.iterdir()) and not _is_shapes(folder):
        raise InputError(
            f"{folder}: is not empty and holds more or other than a shapes set; name a new or empty folder"
        )


def _is_shapes(folder: Path) -> bool:
    """Whether a folder holds a whole shapes set and nothing else, so that drawing it anew loses nothing."""
    if not folder.is_dir() or {path.name for path in folder.iterdir()} != {"annotations", "images"}:
        return False
    try:
        info = json.loads((folder / "annotations" / f"{PREFIX}train.json").read_text())["info"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(info, dict) and info.get("description") == GENERATOR


def _put(beside: Path, folder: Path, *, replace: bool) -> None:
    """Rename `beside` to `folder`, in place of the earlier set where there was one.

    A set that another process put there meanwhile is as good, and may be in use: it stays.
    """
    if replace:
        old = beside.with_suffix(".old")
        folder.rename(old)
        try:
            beside.rename(folder)
        finally:
            shutil.rmtree(old)
        return
    try:
        beside.rename(folder)
    except OSError:
        if not _is_shapes(folder):
            raise


def _write_split(root: Path, split: str, index: int, count: int, first_id: int, size_px: int, seed: int) -> None:
    folder = root / "images" / split
    folder.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        scene = draw_scene(np.random.default_rng((seed, index, number)), size_px)
        name = f"{number + 1:06d}.jpg"
        Image.fromarray(scene.image).save(folder / name, quality=JPEG_QUALITY)
        images.append(coco_image(first_id + number, name, size_px, size_px))
        for box, label, area in zip(scene.boxes.tolist(), scene.labels.tolist(), scene.area.tolist(), strict=True):
            annotations.append(coco_annotation(len(annotations) + 1, first_id + number, label + 1, box, area))
    document = {
        "info": {"description": GENERATOR, "version": str(VERSION), "seed": seed, "split": split, "size_px": size_px},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)],
    }
    target = root / "annotations" / f"{PREFIX}{split}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document) + "\n", encoding="utf-8")
