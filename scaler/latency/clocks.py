"""The clock of a CPU, and how its caches are emptied. No torch."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
MIB = 2**20
LEAST_MIB, MOST_MIB = 32, 256  # that are written to empty caches, where twice the last level is less or more
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def cpu_ms(call: Callable[[], Any]) -> float:
    """Milliseconds that a call takes, by the monotonic clock."""
    start = perf_counter_ns()
    call()
    return (perf_counter_ns() - start) / 1e6


class CpuCaches:
    """Memory of twice the last cache, whose writing leaves nothing else in the caches."""

    def __init__(self) -> None:
        size = min(MOST_MIB * MIB, max(LEAST_MIB * MIB, 2 * _last_cache_bytes()))
        self.memory = np.zeros(size // 8, dtype=np.int64)

    def empty(self) -> None:
        """Some 10 to 100 ms."""
        self.memory += 1


def _last_cache_bytes() -> int:
    sizes = [path.read_text(encoding="utf-8").strip() for path in CACHES.glob("index*/size")]
    return max((int(size[:-1]) * UNITS[size[-1]] for size in sizes if size[-1:] in UNITS), default=0)
