"""Who is at work on a study: a lock that a worker holds on a file of its own, and loses however it dies.

The worker's trial holds the same lock, so that nobody takes up a trial whose training has not ended yet. Beyond one
machine, where locks may not reach, a lease is as good as the last sign of life on its file.
"""

import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on Windows: there, whoever holds a lease counts as dead
    fcntl = None

BEAT_S = 10  # between two signs of life
GRACE_S = 60  # without one, before a worker on another machine counts as dead


@dataclass(frozen=True)
class Lease:
    """A worker's name, and the open file that holds its lock; who inherits it holds the lock too."""

    name: str
    path: Path
    descriptor: int

    def beat(self) -> None:
        """Give a sign of life."""
        with suppress(OSError):
            os.utime(self.path)


@contextmanager
def lease(folder: Path, run: str = "") -> Iterator[Lease]:
    """Hold a lease in the folder `workers` of a study; its name begins with that of the run that it is part of."""
    name = f"{run}{'-' if run else ''}{uuid.uuid4().hex[:12]}"
    path = folder / "workers" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as held:
        held.write(f"{platform.node()} {os.getpid()}\n")
        held.flush()
        if fcntl:
            fcntl.flock(held, fcntl.LOCK_EX)
        yield Lease(name, path, held.fileno())
        path.unlink(missing_ok=True)  # of a worker that failed it stays: whoever finds it takes over what it left


def is_dead(folder: Path, name: str) -> bool:
    """Whether the holder of a lease is gone.

    Here: its file is there, and nobody locks it. On another machine: it has given no sign of life for long. A lease
    that has no file here belongs to a worker with another folder: not known dead.
    """
    path = folder / "workers" / name
    try:
        with path.open(encoding="utf-8") as held:
            if held.read().split()[:1] not in ([], [platform.node()]):
                return time.time() - path.stat().st_mtime > GRACE_S
            if fcntl:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
    except OSError:
        return False


def alive(folder: Path) -> list[str]:
    """The leases that are held."""
    return [path.name for path in (folder / "workers").glob("*") if path.exists() and not is_dead(folder, path.name)]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; who dies loses it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as held:
        if fcntl:
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
