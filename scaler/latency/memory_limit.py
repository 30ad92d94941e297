"""Too little memory as an error that can be told, not the end of the process. No torch."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import resource
except ImportError:  # no such limits on Windows
    resource = None

MEMORY, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
SPARE = 0.95  # the share of the free memory that may be taken


@contextmanager
def bounded_memory(device: str) -> Iterator[None]:
    """Let this process take no more than is free now, so that a graph that needs more fails, and the others go on.

    Without it Linux promises memory that it does not have, and kills who uses it. CUDA maps what it never uses, so
    there is no bound for a GPU, whose own memory is refused as it should be.
    """
    own, free = _kilobytes(STATUS, "VmData"), _kilobytes(MEMORY, "MemAvailable")
    if resource is None or device != "cpu" or own is None or free is None:
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    bound = int(1024 * (own + SPARE * free))
    bound = min([bound, *(limit for limit in (before, most) if limit != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_DATA, (bound, most))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def _kilobytes(path: Path, key: str) -> int | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)
