"""Decoded images kept from epoch to epoch: in memory, or on disk where memory is short."""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from ...blocks.errors import InputError
from .disk import ImageFiles, cache_folder, free_disk_bytes
from .images import Letterboxed, fit, record_image
from .records import Split
from .settings import Cache

SHARE = 0.5  # of the free memory, or disk, that the images of one split may take

_Kept = Literal["ram", "disk", "none"]


class ImageMemory:
    """The images of a split, resized so that their longer side is `size_px`, and their objects.

    Decoded once where they are kept: in memory ("ram") or in files ("disk").
    """

    def __init__(self, split: Split, size_px: int, *, keep: _Kept) -> None:
        self.split_images = split.images
        self.size_px = size_px
        self.kept: dict[int, np.ndarray] | None = {} if keep == "ram" else None
        self.files = ImageFiles(cache_folder(), size_px) if keep == "disk" else None
        self._lays = [Letterboxed.of(record.width, record.height, size_px) for record in split.images]

    def __len__(self) -> int:
        return len(self.split_images)

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in px of `load(index)`, without loading it."""
        return self._lays[index].resized

    def objects(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """What is to be learnt from an image, crowds left out: boxes (n, 4) in px of `load(index)`, labels (n,)."""
        record, lay = self.split_images[index], self._lays[index]
        learnt = ~record.crowd
        scale = np.array([lay.scale_x, lay.scale_y, lay.scale_x, lay.scale_y])
        return record.boxes[learnt] * scale, record.labels[learnt]

    def load(self, index: int) -> np.ndarray:
        """Image `index`: (H, W, 3) uint8 RGB with max(H, W) = size_px, not to be written to.

        Raises:
            InputError: it cannot be decoded, or is not of the size that its annotations state.
        """
        if self.kept is not None:
            image = self.kept.get(index)
            if image is None:
                self.kept[index] = image = self._decoded(index)
            return image
        if self.files is not None:
            return self.files.load(self.split_images[index].path, self.size(index), lambda: self._decoded(index))
        return self._decoded(index)

    def _decoded(self, index: int) -> np.ndarray:
        image = fit(record_image(self.split_images[index]), self.size_px)
        image.flags.writeable = False
        return image


# One memory for each split that is alive, so that the epochs of a run, and the runs of a search, decode an image once.
# Another size replaces it: a search over sizes must not keep every size.
_memories: weakref.WeakKeyDictionary[Split, ImageMemory] = weakref.WeakKeyDictionary()
_shared = False  # whether other processes of this machine want the same images


@contextmanager
def images_shared() -> Iterator[None]:
    """Let `cache: auto` mean files that are mapped: processes that train on the same images decode each one once.

    What they map is in the machine's memory once, however many they are.
    """
    global _shared  # noqa: PLW0603
    before, _shared = _shared, True
    try:
        yield
    finally:
        _shared = before


def images_of(split: Split, size_px: int, *, cache: Cache) -> ImageMemory:
    """The images of a split at one size, kept from epoch to epoch as `cache` says. What is loaded is the same always.

    They fit where they need at most half of the memory (or disk) that is free.

    Raises:
        InputError: they do not fit where `cache` wants them.
    """
    if cache in {"none", "disk"}:
        keep: _Kept = "disk" if cache == "disk" else "none"
        if keep == "disk":
            _check_room(_missing_bytes(split, size_px), free_disk_bytes(cache_folder()), str(cache_folder()))
        return ImageMemory(split, size_px, keep=keep)
    memory = _memories.get(split)
    if memory is None or memory.size_px != size_px:
        _memories.pop(split, None)
        if cache == "auto" and _shared:
            where: _Kept = "disk" if _has_room(split, size_px) else "none"
            _memories[split] = memory = ImageMemory(split, size_px, keep=where)
            return memory
        needed, free = needed_bytes(split, size_px), free_bytes()
        if cache == "ram":
            _check_room(needed, free, "memory")
        memory = ImageMemory(split, size_px, keep="ram" if needed <= SHARE * free else "none")
        _memories[split] = memory
    return memory


def _missing_bytes(split: Split, size_px: int) -> float:
    missing = ImageFiles(cache_folder(), size_px).missing([record.path for record in split.images])
    return len(missing) / len(split.images) * needed_bytes(split, size_px)


def _has_room(split: Split, size_px: int) -> bool:
    return _missing_bytes(split, size_px) <= SHARE * free_disk_bytes(cache_folder())


def _check_room(needed: float, free: int, where: str) -> None:
    if needed > SHARE * free:
        raise InputError(
            f"cache: the images need {needed / 1e9:.1f} GB, more than half of the {free / 1e9:.1f} GB that are free "
            f"in {where}; use another cache (ram, disk, none, auto) or a smaller size"
        )


def needed_bytes(split: Split, size_px: int) -> int:
    """Memory that the resized images of a split take."""
    sides = (Letterboxed.of(record.width, record.height, size_px).resized for record in split.images)
    return sum(3 * width * height for width, height in sides)


def free_bytes() -> int:
    """Memory that can be taken without swapping: the machine's, and that of the container where there is one.

    0 where the system does not tell, so that nothing is kept.
    """
    free = []
    try:
        meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free.append(int(meminfo["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        free.append(_free_pages())
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free.append(max(0, limit - used + int(stat["inactive_file"])))
    except (OSError, KeyError, ValueError):  # no container, or one without a limit
        pass
    return min(free)


def _free_pages() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
