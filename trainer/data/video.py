"""Video files as frames, and frames as a video file, by OpenCV."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ...blocks.errors import InputError
from ...scaler.documents import written

SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})


class Sink(Protocol):
    """Takes the frames of a video one after another."""

    def __call__(self, frame: np.ndarray) -> None: ...


def frame_count(path: Path) -> int:
    """Frames that the file states, at least 1.

    Raises:
        InputError: it is no video that OpenCV reads.
    """
    return max(1, int(_open(path).get(cv2.CAP_PROP_FRAME_COUNT)))


def frames_per_second(path: Path) -> float:
    """As the file states, 25 where it does not."""
    return _open(path).get(cv2.CAP_PROP_FPS) or 25.0


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """The frames (H, W, 3) uint8 RGB, in order.

    Raises:
        InputError: it is no video that OpenCV reads, or has no frame.
    """
    video, read = _open(path), 0
    try:
        while True:
            there, frame = video.read()
            if not there:
                break
            read += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        video.release()
    if not read:
        raise InputError(f"{path}: no frame of this video can be read; convert it to MP4 (H.264)")


@contextmanager
def writing_frames(path: Path, frames_a_second: float) -> Iterator[Sink]:
    """Write frames (H, W, 3) uint8 RGB of one size as MPEG-4, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with written(path) as beside:
        film = beside.with_name(f"{beside.name}{path.suffix}")  # OpenCV takes the container from the suffix
        writer = cv2.VideoWriter()

        def put(frame: np.ndarray) -> None:
            if not writer.isOpened():
                height, width = frame.shape[:2]
                writer.open(str(film), cv2.VideoWriter.fourcc(*"mp4v"), frames_a_second, (width, height))
                if not writer.isOpened():
                    raise InputError(f"{path}: this OpenCV cannot write MPEG-4; use --no-pictures")
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

        try:
            yield put
            writer.release()
            film.replace(beside)
        finally:
            writer.release()
            film.unlink(missing_ok=True)


def _open(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not path.is_file() or not video.isOpened():
        raise InputError(f"{path}: OpenCV reads no video there; convert it to MP4 (H.264)")
    return video
