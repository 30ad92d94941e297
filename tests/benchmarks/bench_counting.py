"""How fast a candidate is counted: ours from the graph, beside counters that need a built model, in one run.

Run by `make bench`. Candidates are scalings of yolov7; every count is of a candidate not seen before. The three take
turns, so that a noisy machine disturbs all alike.
"""

import itertools
import platform
import statistics
import time
from collections.abc import Callable

import catscale
import torch
from catscale.scaler.build import build
from catscale.scaler.cross_check import fvcore_flops, ptflops_macs

ROUNDS = 5
SIZE = 320


def test_counting(capsys) -> None:  # type: ignore[no-untyped-def]
    widths = (step / 64 for step in itertools.count(16))

    def ours() -> int:
        cost = catscale.load("yolov7").scale(width=next(widths)).cost(SIZE)
        return cost.params + cost.flops("paper") + cost.activations

    def built() -> torch.nn.Module:
        return build(catscale.load("yolov7").scale(width=next(widths)), "deploy").eval()

    counters: dict[str, Callable[[], object]] = {
        "catscale, from the graph": ours,
        "fvcore, of the built model": lambda: fvcore_flops(built(), torch.zeros(1, 3, SIZE, SIZE)),
        "ptflops (aten), of the built model": lambda: ptflops_macs(built(), SIZE),
    }
    seconds: dict[str, list[float]] = {name: [] for name in counters}
    for _ in range(ROUNDS):
        for name, count in counters.items():
            start = time.perf_counter()
            count()
            seconds[name].append(time.perf_counter() - start)
    with capsys.disabled():
        print(f"\nCounting one candidate (yolov7, fresh width, {SIZE} px), median of {ROUNDS} interleaved rounds")
        print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
        best = statistics.median(seconds["catscale, from the graph"])
        for name, samples in seconds.items():
            median = statistics.median(samples)
            spread = f"({1e3 * min(samples):.2f} to {1e3 * max(samples):.2f})"
            print(f"{name:36} {1e3 * median:10.2f} ms  {spread:22} {median / best:8.1f} x")
