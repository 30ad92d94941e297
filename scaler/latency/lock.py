"""One measurement at a time on each device: a lock that a process holds and loses however it dies. No torch."""

import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep

from ...blocks.errors import CatscaleError

try:
    import fcntl
except ImportError:  # no such locks on Windows: there, nobody waits
    fcntl = None

WAIT_S = 3600.0
LOOK_S = 0.1

Say = Callable[[str], None]


def device_lock_path(device: str) -> Path:
    """The file that stands for a device of this host, the same for every user of it."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", f"{platform.node()}-{device}")
    return Path(tempfile.gettempdir()) / f"catscale-latency-{word}.lock"


@contextmanager
def locked(path: Path, what: str, *, say: Say = lambda line: None, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold a lock file, as soon as nobody else does.

    Who waits holds a second lock, the place of the next in turn: one that measures again and again must queue for it,
    and cannot keep the others out.

    Args:
        path: of the lock; it stays, with a note of who held it last.
        what: is locked, in messages: a device, a file.
        say: is told once who holds it.
        wait_s: seconds to wait.

    Raises:
        CatscaleError: it is still held then, or cannot be opened.
    """
    if fcntl is None:
        yield
        return
    handle, turn = _open(path), _open(path.with_name(f"{path.name}.next"))
    try:
        waiting = _Waiting(path, what, say, monotonic() + wait_s)
        waiting.take(turn)
        waiting.take(handle)
        fcntl.flock(turn, fcntl.LOCK_UN)
        with suppress(OSError):  # another user's file can be locked, but not written
            note = {"pid": os.getpid(), "since": f"{datetime.now():%H:%M:%S}", "command": Path(sys.argv[0]).name}
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(note).encode(), 0)
        yield
    finally:
        os.close(handle)
        os.close(turn)


def _open(path: Path) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(OSError):
        handle = os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(OSError):  # the umask took the others' right to write; only the owner can give it back
            os.fchmod(handle, 0o666)
        return handle
    try:
        return os.open(path, flags | os.O_RDONLY)
    except OSError as error:
        raise CatscaleError(f"{path}: cannot be locked: {error.strerror}") from error


@dataclass
class _Waiting:
    """For a lock, and then another; told of once."""

    path: Path
    what: str
    say: Say
    until_s: float
    told: bool = False

    def take(self, handle: int) -> None:
        assert fcntl
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                holder = _holder(self.path)
            if monotonic() >= self.until_s:
                raise CatscaleError(f"{self.what} is busy with {holder}; try again when it is done")
            if not self.told:
                self.say(f"{self.what} is busy with {holder}; waiting for it")
                self.told = True
            sleep(LOOK_S)


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return f"process {note['pid']} ({note['command']}, since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
