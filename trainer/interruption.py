"""What ends a training between two steps: a signal (a second one ends it at once), or the end of its time."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from ..blocks.errors import CatscaleError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal ended a training whose state is saved."""

    def __init__(self, message: str, caught: signal.Signals) -> None:
        super().__init__(message)
        self.exit_code = 128 + caught


class TimeUp(CatscaleError):
    """The time of a training came to its end; its state is saved."""


@dataclass
class Request:
    """What has been asked for so far, and how long there is time."""

    caught: signal.Signals | None = None
    deadline: float | None = None  # seconds since the epoch

    def due(self, ahead_s: float = 0.0) -> bool:
        """Whether to save and end now; `ahead_s` is what the training would do before it can ask again."""
        return self.caught is not None or (self.deadline is not None and time.time() + ahead_s >= self.deadline)


@contextmanager
def requests_to_stop(deadline: float | None = None) -> Iterator[Request]:
    """Note the first signal instead of dying of it. Only the main thread may listen; elsewhere nothing is caught."""
    request = Request(deadline=deadline)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        request.caught = signal.Signals(number)
        restore()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
