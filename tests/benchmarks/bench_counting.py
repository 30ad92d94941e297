"""Counting candidates: one at a time, warm and cold; a million at once; and by counters that need a built model.

Run by `make bench`, one table. Candidates are scalings of yolov7 drawn at random, with widths and sizes never seen
before. All counters take turns, and must agree to the last digit. The time is that of the processor, on one core, so
that other work on the machine disturbs it little.
"""

import itertools
import os
import platform
import random
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import catscale
import numpy as np
import torch
from catscale.scaler.architecture import Architecture
from catscale.scaler.build import build
from catscale.scaler.cross_check import fvcore_flops, ptflops_macs
from catscale.scaler.space_cost import Counts, SpaceCounter

ROUNDS, STRUCTURES, WARM = 7, 200, 3000  # of every counter; wirings that are warm; candidates in a round of them
SIZE = 320  # of what is built
CANDIDATES, SAMPLE = 1_000_000, 1_000
DEPTHS, GROUPS = (0.5, 1.0, 1.5, 2.0), (1, 2, 3, 4)

ROWS = {
    "warm": "catscale, one, its wiring known",
    "cold": "catscale, one, its wiring new",
    "alone": "catscale, one, layer by layer",
    "fvcore": "fvcore, of the built model",
    "ptflops": "ptflops (aten), of the built model",
}


def structure(rng: random.Random) -> dict[str, Any]:
    """Depths of the whole or of parts, transitions, groups, activation: what makes a wiring."""
    depths = rng.choice([*DEPTHS, {"backbone": rng.choice(DEPTHS), "neck": rng.choice(DEPTHS)}])
    return {
        rng.choice(["depth", "compound"]): depths,
        "transition": rng.choice(["strided_conv", "pool_conv", "downc"]),
        "extend": rng.choice(GROUPS),
        "activation": rng.choice(["silu", "leaky_relu"]),
    }


def finished(wiring: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A wiring with a width, of the whole or, of every third, of parts; and a size."""
    wide, other = rng.uniform(0.25, 2), rng.uniform(0.25, 2)
    width = rng.choice([wide, wide, {"backbone": wide, "neck": other}])
    return {**wiring, "width": width, "resolution": 32 * rng.randint(8, 40)}


def alone(base: Architecture, scalings: dict[str, Any]) -> tuple[int, int, int]:
    cost = base.scale(**scalings).cost()
    return cost.params, cost.flops("paper"), cost.activations


def figures(counts: Counts[int]) -> tuple[int, int, int]:
    return counts.params, counts.flops, counts.activations


def timed(count: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    start = time.process_time()
    result = count(*arguments)
    return time.process_time() - start, result


def million(base: Architecture) -> tuple[float, float]:
    """Seconds for a space of depths, groups, widths and sizes; milliseconds each for a sample of it counted alone."""
    rng = np.random.default_rng(0)
    structures = list(itertools.product(DEPTHS, GROUPS))
    each = CANDIDATES // len(structures)
    widths = rng.integers(8, 256, (len(structures), each)) / 128
    sizes = rng.integers(8, 41, (len(structures), each)) * 32
    start = time.process_time()
    counter = SpaceCounter(base)
    counted = [
        counter.wiring({"compound": depth, "extend": groups}).count_all(width, size)[0]
        for (depth, groups), width, size in zip(structures, widths, sizes, strict=True)
    ]
    columns = [np.concatenate([getattr(c, name) for c in counted]) for name in ("params", "flops", "activations")]
    seconds = time.process_time() - start
    start = time.process_time()
    for index in rng.choice(CANDIDATES, SAMPLE, replace=False):
        depth, groups = structures[index // each]
        last = {"width": float(widths.flat[index]), "resolution": int(sizes.flat[index])}
        assert alone(base, {"compound": depth, "extend": groups, **last}) == tuple(int(c[index]) for c in columns)
    return seconds, 1e3 * (time.process_time() - start) / SAMPLE


def test_counting(capsys) -> None:  # type: ignore[no-untyped-def]
    torch.set_num_threads(1)
    base, rng = catscale.load("yolov7"), random.Random(0)
    space_s, alone_ms = million(base)
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    counter = SpaceCounter(base)
    wirings = [structure(rng) for _ in range(STRUCTURES)]
    for wiring in wirings:  # these become known, in both kinds of width; the candidates stay new
        counter.count(**wiring, width=1.25)
        counter.count(**wiring, width={"backbone": 1.25, "neck": 1.5})

    def warm(candidates: list[dict[str, Any]]) -> list[Counts[int]]:
        return [counter.count(**candidate) for candidate in candidates]

    def cold(candidate: dict[str, Any]) -> Counts[int]:
        return SpaceCounter(base).count(**candidate)

    def fvcore(candidate: dict[str, Any]) -> int:
        model = build(base.scale(**candidate), "deploy").eval()
        return fvcore_flops(model, torch.zeros(1, 3, SIZE, SIZE))["conv"]

    def ptflops(candidate: dict[str, Any]) -> int:
        return ptflops_macs(build(base.scale(**candidate), "deploy").eval(), SIZE)

    seconds: dict[str, list[float]] = {name: [] for name in ROWS}
    for _ in range(ROUNDS):
        candidates = [finished(rng.choice(wirings), rng) for _ in range(WARM)]
        spent, counted = timed(warm, candidates)
        seconds["warm"].append(spent / WARM)
        fresh = {**finished(structure(rng), rng), "resolution": SIZE}
        found: dict[str, Any] = {}
        for name, count in {
            "cold": cold,
            "alone": lambda c: alone(base, c),
            "fvcore": fvcore,
            "ptflops": ptflops,
        }.items():
            spent, found[name] = timed(count, fresh if name != "alone" else candidates[-1])
            seconds[name].append(spent)
        assert figures(counted[-1]) == found["alone"]
        assert (found["fvcore"], found["ptflops"]) == (found["cold"].macs, found["cold"].flops // 2)
    with capsys.disabled():
        report(seconds, space_s, peak_gib, alone_ms)


def report(seconds: dict[str, list[float]], space_s: float, peak_gib: float, alone_ms: float) -> None:
    cores = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}"
    print(f"\nCounting scalings of yolov7: processor time on one of {cores} cores ({platform.machine()}),")
    print(f"median of {ROUNDS} interleaved rounds; {versions}")
    print(f"{'':36}{'each':>13} {'least to most':>26}{'a second':>13}{'times warm':>12}")
    warm = statistics.median(seconds["warm"])
    for name, label in ROWS.items():
        each = statistics.median(seconds[name])
        spread = f"{1e3 * min(seconds[name]):.3f} to {1e3 * max(seconds[name]):.3f} ms"
        print(f"{label:36}{1e3 * each:10.3f} ms {spread:>26}{1 / each:13,.1f}{each / warm:12,.1f}")
    each = space_s / CANDIDATES
    whole = f"{space_s:.2f} s in all"
    print(f"{'catscale, 1,000,000 in arrays':36}{1e3 * each:10.6f} ms {whole:>26}{1 / each:13,.1f}{each / warm:12.3f}")
    print(f"Of the million {SAMPLE:,} were counted layer by layer, {alone_ms:.1f} ms each: equal to the last digit,")
    print(f"as are fvcore and ptflops. Peak memory after the million, torch included: {peak_gib:.2f} GiB.")
    print(
        f"Bars: warm at least 20,000 a second: {_met(1 / warm >= 20_000)}; the million in 10 s: {_met(space_s <= 10)};",
        end=" ",
    )
    print(f"in 2 GB: {_met(peak_gib * 1.0737 <= 2)}")


def _met(held: bool) -> str:
    return "met" if held else "MISSED"
