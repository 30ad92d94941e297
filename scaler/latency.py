"""Latency as measured on the device at hand: the deploy graph's forward, median of many after a warm-up."""

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..blocks.errors import CatscaleError, InputError
from .architecture import Architecture, check_size
from .build import build

WARM_UP_RUNS = (3, 50)  # at least, at most
STEADY = 0.02  # the warm-up ends when the median of its last runs moves by less than this share


@dataclass(frozen=True, slots=True)
class Latency:
    """Time of one forward of the deploy graph, without pre-processing and NMS, and how it was taken."""

    median_ms: float
    iqr_ms: float  # interquartile range of the timed runs
    p95_ms: float
    runs: int
    warm_up: int
    size: int
    batch: int
    dtype: str
    device: str
    threads: int  # of torch, on the CPU
    torch: str
    memory_format: str = "channels_last"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure_latency(
    architecture: Architecture, size: int | None = None, device: str = "cpu", batch: int = 1, runs: int = 30
) -> Latency:
    """Time the deploy graph's forward on random images, weights fresh (time does not depend on them), in float32.

    The warm-up goes on until its running median is steady, at most `WARM_UP_RUNS[1]` runs. A CUDA device is timed by
    its own events, a CPU by the monotonic clock.

    Raises:
        InputError: no such device, or a size that is no multiple of the largest stride.
        CatscaleError: the device runs out of memory.
    """
    size = architecture.size if size is None else size
    check_size(size, architecture.strides[-1], architecture.name)
    if runs < 1 or batch < 1:
        raise InputError(f"latency: {runs} runs of batch {batch}; both must be at least 1")
    where = find_device(device)
    try:
        model = build(architecture, "deploy").eval().to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.rand(batch, 3, size, size, device=where).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            clock = _cuda_ms if where.type == "cuda" else _cpu_ms
            warm_up = _warm_up(lambda: clock(model, images))
            samples = np.array([clock(model, images) for _ in range(runs)])
    except torch.OutOfMemoryError as error:
        raise CatscaleError(f"{architecture.name}: out of memory on {where} at {size} px, batch {batch}") from error
    low, median, high, p95 = np.percentile(samples, [25, 50, 75, 95])
    return Latency(
        median_ms=round(float(median), 4),
        iqr_ms=round(float(high - low), 4),
        p95_ms=round(float(p95), 4),
        runs=runs,
        warm_up=warm_up,
        size=size,
        batch=batch,
        dtype="float32",
        device=device_name(where),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def find_device(device: str) -> torch.device:
    """The torch device of that name; `auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        InputError: there is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cuda = torch.cuda.device_count()
        here = f"auto, cpu{''.join(f', cuda:{index}' for index in range(cuda))}"
        raise InputError(f"no device {device!r} here; there are {here}") from error
    return found


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_name()} ({device.type})"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _warm_up(run: Callable[[], float]) -> int:
    least, most = WARM_UP_RUNS
    samples: list[float] = []
    while len(samples) < most:
        samples.append(run())
        if len(samples) >= 2 * least:
            before, after = float(np.median(samples[-2 * least : -least])), float(np.median(samples[-least:]))
            if abs(after - before) <= STEADY * before:
                break
    return len(samples)


def _cpu_ms(model: torch.nn.Module, images: torch.Tensor) -> float:
    start = time.perf_counter_ns()
    model(images)
    return (time.perf_counter_ns() - start) / 1e6


def _cuda_ms(model: torch.nn.Module, images: torch.Tensor) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    model(images)
    end.record()
    end.synchronize()
    return start.elapsed_time(end)
