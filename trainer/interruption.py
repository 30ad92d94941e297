"""SIGINT and SIGTERM while a training runs: the first asks it to save and end, the second ends it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal ended a training whose state is saved."""

    def __init__(self, message: str, caught: signal.Signals) -> None:
        super().__init__(message)
        self.exit_code = 128 + caught


@dataclass
class Request:
    """What has been asked for so far."""

    caught: signal.Signals | None = None


@contextmanager
def requests_to_stop() -> Iterator[Request]:
    """Note the first signal instead of dying of it. Only the main thread may listen; elsewhere nothing is caught."""
    request = Request()
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
