"""Decoded images as files: raw pixels that are mapped, not read, so that only what is looked at is loaded."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ...blocks.errors import InputError
from ...scaler.documents import written


class ImageFiles:
    """A folder of resized images, one `.npy` each.

    A file's name says which image it is of: path, size in bytes and time of change, and the px it was resized to. So
    an image that changes is decoded anew, and its old file goes.
    """

    def __init__(self, folder: Path, size_px: int) -> None:
        self.folder = folder
        self.size_px = size_px
        self._writing = threading.Lock()  # mosaics made at the same time may want the same image

    def load(self, source: Path, size: tuple[int, int], decode: Callable[[], np.ndarray]) -> np.ndarray:
        """The pixels of an image of `size` (width, height), read-only; from `decode`, and kept, where no file has them.

        Raises:
            InputError: the folder cannot be written to, or the disk is full; or what `decode` raises.
        """
        path = self._path(source)
        if path is None:  # the decoder says what is wrong with it
            return decode()
        try:
            image = np.lib.format.open_memmap(path, mode="r")
            if image.shape == (size[1], size[0], 3) and image.dtype == np.uint8:
                return image
        except (OSError, ValueError):  # not there, or broken
            pass
        image = decode()
        with self._writing, written(path) as beside, beside.open("wb") as file:  # given a name, `save` adds a suffix
            np.save(file, image)
        for stale in path.parent.glob(f"{path.name.split('-')[0]}-*.npy"):
            if stale != path:
                stale.unlink(missing_ok=True)
        return image

    def missing(self, sources: Iterable[Path]) -> list[Path]:
        """Which images have no file yet."""
        paths = ((source, self._path(source)) for source in sources)
        return [source for source, path in paths if path is None or not path.exists()]

    def _path(self, source: Path) -> Path | None:
        try:
            stat = source.stat()
        except OSError:
            return None
        name = hashlib.sha256(f"{source.resolve()} {self.size_px}".encode()).hexdigest()[:32]
        # Folders of some dozens of files each, so that a large data set's stale files are found quickly.
        return self.folder / name[:3] / f"{name}-{stat.st_size}-{stat.st_mtime_ns}.npy"


def cache_folder() -> Path:
    """Where the files lie: `catscale/images` in the user's cache folder. It may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catscale" / "images"


def free_disk_bytes(folder: Path) -> int:
    """What can still be written to the disk of a folder, which need not exist yet.

    Raises:
        InputError: the system does not tell.
    """
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        return shutil.disk_usage(there).free
    except OSError as error:
        raise InputError(f"{there}: its free space cannot be told: {error.strerror or error}") from error
