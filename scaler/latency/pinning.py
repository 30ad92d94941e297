"""Which cores a measurement has for itself, so that no thread of it moves or shares a core. No torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...blocks.errors import InputError

SYSTEM = Path("/sys/devices/system/cpu")
TASKS = Path("/proc/self/task")


def allowed_cores() -> tuple[int, ...]:
    """The cores that this process may use, one of each pair of hyperthreads first."""
    if not hasattr(os, "sched_getaffinity"):
        return tuple(range(os.cpu_count() or 1))
    seen: set[str] = set()
    first: list[int] = []
    siblings: list[int] = []
    for core in sorted(os.sched_getaffinity(0)):
        try:
            physical = (SYSTEM / f"cpu{core}/topology/thread_siblings_list").read_text(encoding="utf-8")
        except OSError:
            physical = str(core)
        (siblings if physical in seen else first).append(core)
        seen.add(physical)
    return (*first, *siblings)


def default_threads() -> int:
    """As many as there are cores for this process, fewer where OMP_NUM_THREADS says so."""
    cores, wanted = len(allowed_cores()), os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdecimal() and int(wanted) else cores


def check_threads(threads: int) -> None:
    """Refuse more threads than cores.

    Raises:
        InputError: threads would share a core, and wait for each other.
    """
    if threads > (cores := len(allowed_cores())):
        raise InputError(f"latency: {threads} threads on {cores} cores would wait for each other; use at most {cores}")


def cores_of(threads: int) -> tuple[int, ...] | None:
    """The cores that so many threads are pinned to; None where the system cannot pin them."""
    return allowed_cores()[:threads] if hasattr(os, "sched_setaffinity") else None


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep every thread of this process on its `cores_of`, where the system can.

    Threads made meanwhile stay there as well; afterwards each may go where it might before.
    """
    if (cores := cores_of(threads)) is None:
        yield
        return
    before: dict[int, set[int]] = {}
    everywhere = os.sched_getaffinity(0)
    try:
        for task in _tasks():
            with suppress(OSError):  # it ended meanwhile
                before[task] = os.sched_getaffinity(task)
                os.sched_setaffinity(task, cores)
        yield
    finally:
        for task in _tasks():
            with suppress(OSError):
                os.sched_setaffinity(task, before.get(task, everywhere))


def _tasks() -> list[int]:
    try:
        return [int(path.name) for path in TASKS.iterdir()]
    except OSError:
        return [0]  # the thread that asks
