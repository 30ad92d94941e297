"""Clocks, throttling and foreign load while a figure is taken, as far as they can be read. No torch.

A GPU is read through NVML (extra `nvml`); a CPU through what Linux shows of it. What cannot be read is None.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from .plain import fields_of

try:
    import pynvml
except ImportError:
    pynvml = None

CPUS = Path("/sys/devices/system/cpu")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # of /proc/stat, in a second
THROTTLING = {  # NVML's reasons for a lower clock that make a figure worthless; an idle or a fixed clock does not
    "power cap": "nvmlClocksThrottleReasonSwPowerCap",
    "hardware slowdown": "nvmlClocksThrottleReasonHwSlowdown",
    "hardware thermal slowdown": "nvmlClocksThrottleReasonHwThermalSlowdown",
    "power brake": "nvmlClocksThrottleReasonHwPowerBrakeSlowdown",
    "software thermal slowdown": "nvmlClocksThrottleReasonSwThermalSlowdown",
}
NO_NVML = "clocks and throttling of the GPU are not read: install catscale[nvml]"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What was seen from the first timed run to the last."""

    clocks_mhz: tuple[int, ...] | None  # lowest and highest of the CPU's first core, or of the GPU's processors
    memory_clocks_mhz: tuple[int, ...] | None  # likewise of the GPU's memory
    throttle: tuple[str, ...] | None  # reasons; empty where there were none
    foreign_load: float | None  # cores' worth of work that other processes, or the host of this machine, took
    unread: str | None = None  # why something could not be read, where that can be mended

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "conditions") -> Self:
        """Conditions from plain data.

        Raises:
            InputError: a key is unknown or missing.
        """
        return cls(**fields_of(cls, document, where))


class Watch:
    """Looks at a device now and then; `conditions` is what was seen since it was made."""

    def __init__(self, gpu: str | None) -> None:
        self.gpu = gpu
        self.clocks: list[int] = []
        self.memory_clocks: list[int] = []
        self.throttle: set[str] | None = None
        self.throttled_before = _throttle_count()
        self.foreign_before, self.began_s = _foreign_s(), _uptime_s()
        self.look()

    def look(self) -> None:
        """Read the clocks, and of a GPU why they are low: some 0.1 ms, so between runs, never inside one."""
        if self.gpu is None:
            if clock := _read(CPUS / "cpu0/cpufreq/scaling_cur_freq"):
                self.clocks.append(int(clock) // 1000)
        elif handle := _handle(self.gpu):
            assert pynvml
            self.clocks.append(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))
            self.memory_clocks.append(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM))
            bits = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
            seen = {word for word, name in THROTTLING.items() if bits & getattr(pynvml, name)}
            self.throttle = (self.throttle or set()) | seen

    def conditions(self) -> Conditions:
        """Look a last time, and sum up."""
        self.look()
        throttle = self.throttle
        if self.gpu is None and self.throttled_before is not None:
            throttle = {"thermal throttling of the CPU"} if _throttle_count() != self.throttled_before else set()
        foreign, elapsed_s = _foreign_s(), _uptime_s() - self.began_s
        load = None
        if foreign is not None and self.foreign_before is not None and elapsed_s > 0:
            load = round(max(0.0, foreign - self.foreign_before) / elapsed_s, 2)
        return Conditions(
            clocks_mhz=_span(self.clocks),
            memory_clocks_mhz=_span(self.memory_clocks),
            throttle=None if throttle is None else tuple(sorted(throttle)),
            foreign_load=load,
            unread=NO_NVML if self.gpu is not None and pynvml is None else None,
        )


def cpu_name() -> str:
    """What the processor calls itself."""
    lines = (_read(Path("/proc/cpuinfo")) or "").splitlines()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def governor() -> str | None:
    """What decides on the CPU's frequency, where the system says so."""
    return _read(CPUS / "cpu0/cpufreq/scaling_governor")


def nvidia_driver() -> str | None:
    """Version of the GPU's driver, where it can be read."""
    if not _nvml():
        return _read(Path("/sys/module/nvidia/version"))
    assert pynvml
    version = pynvml.nvmlSystemGetDriverVersion()
    return version.decode() if isinstance(version, bytes) else version


def gpu_energy_mj(gpu: str) -> int | None:
    """What a GPU has taken since its driver was loaded, in millijoules, where NVML tells it (from Volta on)."""
    if not (handle := _handle(gpu)):
        return None
    assert pynvml
    try:
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except pynvml.NVMLError:
        return None


def _nvml() -> bool:
    """Whether NVML is there; what was begun once is not begun again."""
    if pynvml is None:
        return False
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


def _handle(gpu: str) -> Any:
    if not gpu or not _nvml():
        return None
    assert pynvml
    try:
        return pynvml.nvmlDeviceGetHandleByUUID(gpu.encode())
    except pynvml.NVMLError:
        return None


def _throttle_count() -> int | None:
    """How often the CPU's cores have throttled since the start, where the system counts that."""
    counts = [_read(path) for path in CPUS.glob("cpu*/thermal_throttle/core_throttle_count")]
    return sum(int(count) for count in counts if count) if counts else None


def _foreign_s() -> float | None:
    """Seconds of all cores that neither idled nor worked for this process and its children."""
    line = (_read(Path("/proc/stat")) or "").partition("\n")[0].split()
    if not line or line[0] != "cpu":
        return None
    user, nice, system, _idle, _wait, irq, soft_irq, steal = (int(word) / TICKS for word in line[1:9])
    own = os.times()
    return user + nice + system + irq + soft_irq + steal - sum(own[:4])


def _uptime_s() -> float:
    return os.times().elapsed


def _span(values: list[int]) -> tuple[int, ...] | None:
    return (min(values), max(values)) if values else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
