"""Who is at work on a study: a lock that a process holds on a file of its own, and loses however it dies."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on Windows: there, whoever holds a lease counts as dead
    fcntl = None


@contextmanager
def lease(folder: Path) -> Iterator[str]:
    """Hold a lease in the folder `workers` of a study; gives its name."""
    name = uuid.uuid4().hex
    path = folder / "workers" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as held:
        held.write(f"{os.uname().nodename if hasattr(os, 'uname') else ''} {os.getpid()}\n")
        held.flush()
        if fcntl:
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield name
        finally:
            path.unlink(missing_ok=True)


def is_dead(folder: Path, name: str) -> bool:
    """Whether the holder of a lease is gone: its file is there, and nobody locks it.

    A lease that has no file here belongs to a worker with another folder, on another machine perhaps: not known dead.
    """
    try:
        with (folder / "workers" / name).open(encoding="utf-8") as held:
            if fcntl:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False


def alive(folder: Path) -> list[str]:
    """The leases that are held."""
    return [path.name for path in (folder / "workers").glob("*") if not is_dead(folder, path.name)]
