"""Latency as measured on the device at hand: the deploy graph's forward, median of many after a warm-up."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ..blocks.errors import CatscaleError, InputError
from .architecture import Architecture, check_size
from .build import build
from .devices import device_name, find_device

WARM_UP_RUNS = (3, 50)  # at least, at most
STEADY = 0.02  # the warm-up ends when the median of its last runs moves by less than this share
TIMED_S = 4.0  # seconds after which an attempt ends with the runs that it has, if these are at least `LEAST_RUNS`
LEAST_RUNS = 5
ATTEMPTS = 3  # at most, while the spread of an attempt is above `SPREAD`; the steadiest one counts
SPREAD = 0.2  # interquartile range as a share of the median, above which something else was at work on the device


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
    architecture: Architecture,
    size: int | None = None,
    device: str = "cpu",
    batch: int = 1,
    runs: int = 30,
    threads: int | None = None,
) -> Latency:
    """Time the deploy graph's forward on random images, weights fresh (time does not depend on them), in float32.

    The warm-up goes on until its running median is steady, at most `WARM_UP_RUNS[1]` runs. A CUDA device is timed by
    its own events, a CPU by the monotonic clock. Where the spread shows that something else was at work, the runs are
    taken again, and the steadiest attempt counts; the spread of that one is in the result. `runs` are taken, fewer of
    a detector so slow that they would last longer than `TIMED_S`; `threads` are those of a CPU, all that torch has
    where None.

    Raises:
        InputError: no such device, or a size that is no multiple of the largest stride.
        CatscaleError: the device runs out of memory.
    """
    size = architecture.size if size is None else size
    check_size(size, architecture.strides[-1], architecture.name)
    if runs < 1 or batch < 1:
        raise InputError(f"latency: {runs} runs of batch {batch}; both must be at least 1")
    where = find_device(device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        model = build(architecture, "deploy").eval().to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.rand(batch, 3, size, size, device=where).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            clock = _cuda_ms if where.type == "cuda" else _cpu_ms
            warm_up = _warm_up(lambda: clock(model, images))
            samples = _steadiest(lambda: clock(model, images), runs)
    except torch.OutOfMemoryError as error:
        raise CatscaleError(f"{architecture.name}: out of memory on {where} at {size} px, batch {batch}") from error
    finally:
        torch.set_num_threads(before)
    low, median, high, p95 = np.percentile(samples, [25, 50, 75, 95])
    return Latency(
        median_ms=round(float(median), 4),
        iqr_ms=round(float(high - low), 4),
        p95_ms=round(float(p95), 4),
        runs=len(samples),
        warm_up=warm_up,
        size=size,
        batch=batch,
        dtype="float32",
        device=device_name(where),
        threads=threads or before,
        torch=torch.__version__,
    )


def _warm_up(run: Callable[[], float]) -> int:
    least, most = WARM_UP_RUNS
    samples: list[float] = []
    while len(samples) < most and (sum(samples) < 1e3 * TIMED_S or len(samples) < least):
        samples.append(run())
        if len(samples) >= 2 * least:
            before, after = float(np.median(samples[-2 * least : -least])), float(np.median(samples[-least:]))
            if abs(after - before) <= STEADY * before:
                break
    return len(samples)


def _steadiest(run: Callable[[], float], runs: int) -> np.ndarray:
    best, least = np.empty(0), np.inf
    for _ in range(ATTEMPTS):
        samples = _timed(run, runs)
        low, median, high = np.percentile(samples, [25, 50, 75])
        if (high - low) / median < least:
            best, least = samples, (high - low) / median
        if least <= SPREAD:
            break
    return best


def _timed(run: Callable[[], float], runs: int) -> np.ndarray:
    samples: list[float] = []
    while len(samples) < runs and (sum(samples) < 1e3 * TIMED_S or len(samples) < LEAST_RUNS):
        samples.append(run())
    return np.array(samples)


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
