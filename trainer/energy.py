"""The energy that a training takes, where the machine tells it: RAPL of processors on Linux, NVML of GPUs. No torch.

A counter is of a whole processor or GPU: whatever else runs there meanwhile is in it. Processors' counters are mostly
for root alone to read, and begin anew at `max_energy_range_uj`, after minutes of full load at the least.

Source: https://www.kernel.org/doc/html/latest/power/powercap/powercap.html
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ..scaler.latency.conditions import gpu_energy_mj

POWERCAP = Path("/sys/class/powercap")
ELSEWHERE = "CATSCALE_POWERCAP"  # environment variable that names another folder of that form
LOOK_S = 30.0  # between two looks, so that no counter begins anew twice between them


@dataclass(frozen=True)
class Energy:
    """What was spent of whole devices; other work on them is in it."""

    joules: float | None = None  # None: not readable on this machine, or not all the time
    of: str = ""  # CPU, GPU, or CPU and GPU

    def __add__(self, other: "Energy") -> "Energy":
        """The sum; not known where a part is not, or the parts are of unlike devices."""
        if self.joules is None or other.joules is None or self.of != other.of:
            return Energy()
        return Energy(round(self.joules + other.joules, 3), self.of)


@dataclass
class Counter:
    """One counter, and what it rose by since it was made."""

    read_uj: Callable[[], int | None]
    range_uj: int | None = None  # at which it begins anew; None of one that does not
    risen_uj: int | None = 0  # None from when on it could not be read

    def __post_init__(self) -> None:
        self._last_uj = self.read_uj()
        if self._last_uj is None:
            self.risen_uj = None

    def look(self) -> None:
        """Add what it rose by since the last look."""
        now = self.read_uj()
        if self.risen_uj is None or now is None or self._last_uj is None:
            self.risen_uj = None
            return
        rise = now - self._last_uj
        if rise < 0:
            rise = rise + self.range_uj if self.range_uj else None
        self.risen_uj = None if rise is None else self.risen_uj + rise
        self._last_uj = now


class Meter:
    """Looks at the counters of this machine now and then, from where `with` begins to where it ends.

    Args:
        gpus: UUIDs of the GPUs that train, as NVML has them; of a training on processors none.
        powercap: folder of processors' counters; the system's, or what `CATSCALE_POWERCAP` says, where None.
    """

    def __init__(self, gpus: Sequence[str] = (), powercap: Path | None = None) -> None:
        self.gpus = [Counter(_nvml(gpu)) for gpu in gpus]
        self.cpus = _processors(powercap or Path(os.environ.get(ELSEWHERE) or POWERCAP))
        self._lock, self._over = threading.Lock(), threading.Event()
        self._watching = threading.Thread(target=self._watch, name="energy", daemon=True)

    def __enter__(self) -> Self:
        if any(counter.risen_uj is not None for counter in (*self.gpus, *self.cpus)):
            self._watching.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def spent(self) -> Energy:
        """So far, of the GPUs that train, and of the processors where they can be read, too."""
        with self._lock:
            for counter in (*self.gpus, *self.cpus):
                counter.look()
            gpus, cpus = _risen_joules(self.gpus), _risen_joules(self.cpus)
        if not self.gpus:
            return Energy() if cpus is None else Energy(cpus, "CPU")
        if gpus is None:
            return Energy()
        return Energy(gpus, "GPU") if cpus is None else Energy(round(gpus + cpus, 3), "CPU and GPU")

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            self.spent()


def _risen_joules(counters: Sequence[Counter]) -> float | None:
    """Of all of them; None where there is none, or one could not be read."""
    risen = [counter.risen_uj for counter in counters if counter.risen_uj is not None]
    return round(sum(risen) / 1e6, 3) if counters and len(risen) == len(counters) else None


def _processors(powercap: Path) -> list[Counter]:
    """Each processor's package, and its memory, which is not in it; parts of a package and the board's sum are not."""
    zones = sorted(powercap.glob("intel-rapl:*"))  # so named on AMD, too
    wholes = [zone for zone in zones if (_text(zone / "name") or "").startswith(("package", "dram"))]
    return [Counter(_rapl(zone), _number(zone / "max_energy_range_uj")) for zone in wholes]


def _rapl(zone: Path) -> Callable[[], int | None]:
    return lambda: _number(zone / "energy_uj")


def _nvml(gpu: str) -> Callable[[], int | None]:
    def read_uj() -> int | None:
        millijoules = gpu_energy_mj(gpu)
        return None if millijoules is None else 1000 * millijoules

    return read_uj


def _number(path: Path) -> int | None:
    text = _text(path) or ""
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):  # for root alone, mostly
        return None
