"""Decoded images kept in memory, where they fit."""

import os
import weakref
from pathlib import Path

import numpy as np

from .images import Letterboxed, fit, record_image
from .records import Split

SHARE = 0.5  # of the free memory that the images of one split may take


class ImageMemory:
    """The images of a split, resized so that their longer side is `size_px`; decoded only once where `keep` is set."""

    def __init__(self, split: Split, size_px: int, *, keep: bool) -> None:
        self.split_images = split.images
        self.size_px = size_px
        self.kept: dict[int, np.ndarray] | None = {} if keep else None

    def load(self, index: int) -> np.ndarray:
        """Image `index`: (H, W, 3) uint8 RGB with max(H, W) = size_px, not to be written to.

        Raises:
            InputError: it cannot be decoded, or is not of the size that its annotations state.
        """
        image = self.kept.get(index) if self.kept is not None else None
        if image is None:
            image = fit(record_image(self.split_images[index]), self.size_px)
            image.flags.writeable = False
            if self.kept is not None:
                self.kept[index] = image
        return image


# One memory for each split that is alive, so that the epochs of a run, and the runs of a search, decode an image once.
# Another size replaces it: a search over sizes must not keep every size.
_memories: weakref.WeakKeyDictionary[Split, ImageMemory] = weakref.WeakKeyDictionary()


def images_of(split: Split, size_px: int, *, cache: bool) -> ImageMemory:
    """The images of a split at one size; kept from epoch to epoch where `cache` is set and they fit into memory.

    They fit where they need at most half of the memory that is free. What is loaded is the same either way.
    """
    if not cache:
        return ImageMemory(split, size_px, keep=False)
    memory = _memories.get(split)
    if memory is None or memory.size_px != size_px:
        _memories.pop(split, None)
        memory = ImageMemory(split, size_px, keep=needed_bytes(split, size_px) <= SHARE * free_bytes())
        _memories[split] = memory
    return memory


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
