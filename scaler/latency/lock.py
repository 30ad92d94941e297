"""One measurement at a time on each device: a lock that a process holds and loses however it dies. No torch."""

import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
    handle = _open(path)
    try:
        _take(handle, path, what, say, wait_s)
        with suppress(OSError):  # another user's file can be locked, but not written
            note = {"pid": os.getpid(), "since": f"{datetime.now():%H:%M:%S}", "command": Path(sys.argv[0]).name}
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(note).encode(), 0)
        yield
    finally:
        os.close(handle)


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


def _take(handle: int, path: Path, what: str, say: Say, wait_s: float) -> None:
    assert fcntl
    told, until = False, monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(path)
        if monotonic() >= until:
            raise CatscaleError(f"{what} is busy with {holder}; try again when it is done")
        if not told:
            say(f"{what} is busy with {holder}; waiting for it")
            told = True
        sleep(LOOK_S)


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return f"process {note['pid']} ({note['command']}, since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
