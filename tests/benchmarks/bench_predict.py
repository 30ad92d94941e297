"""Latency predicted against measured: candidates of scaling spaces of yolov7-tiny and yolov7 that no table has seen.

Run by `make bench`, one table; about three minutes for each space on two quiet cores. CATSCALE_BENCH_LONG=1 takes more
networks, and yolov7 up to its own width. Held-out candidates are measured after the table is made, in turns and in two
passes over all of them; how far the passes differ is the floor below which no prediction can be judged. Two baselines
see the same calibration networks: latency in proportion to FLOPs, and to memory traffic, each also with a constant.
"""

import os
import random
import statistics
import time
from dataclasses import dataclass
from typing import Any

import catscale
import numpy as np
import pytest
from catscale.blocks.errors import CatscaleError
from catscale.scaler.architecture import Architecture
from catscale.scaler.latency.architectures import subject
from catscale.scaler.latency.measure import measure
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency.runtimes import find_runtime
from catscale.scaler.latency_table.calibrate import calibrate
from catscale.scaler.memory import memory
from numpy.typing import NDArray

LONG = os.environ.get("CATSCALE_BENCH_LONG") == "1"
HELD_OUT = 60
CALIBRATION = 100 if LONG else 60
PASSES, TOGETHER, RUNS = 2, 8, 10 if LONG else 6
BARS = 0.08, 0.95, 1.0  # mean error, Kendall's tau, milliseconds for a prediction
SIZES = range(256, 641, 32)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Space:
    base: str
    widths: tuple[float, ...]
    compounds: tuple[float, ...]


SPACES = [
    Space("yolov7-tiny", (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1), (1, 1.5, 2)),
    Space("yolov7", (0.125, 0.1875, 0.25, 0.3125, 0.375, 0.5, *((0.75, 1) if LONG else ())), (1, 1.5)),
]


def drawn(space: Space, count: int) -> list[Architecture]:
    """Different candidates, drawn evenly from the space by a fixed seed."""
    base, rng = catscale.load(space.base), random.Random(0)
    found: dict[tuple[str, int], Architecture] = {}
    while len(found) < count:
        scalings: dict[str, Any] = {
            rng.choice(["depth", "compound"]): rng.choice(space.compounds),
            "extend": rng.choice([1, 1, 2]),
            "activation": rng.choice(["silu", "leaky_relu"]),
            "width": rng.choice(space.widths),
            "resolution": rng.choice(SIZES),
        }
        try:
            made = base.scale(**scalings)
        except CatscaleError:  # half a tap
            continue
        found[made.fingerprint, made.size] = made
    return list(found.values())


def measured(architectures: list[Architecture]) -> Floats:
    """Medians in milliseconds (passes, n)."""
    runtime, rng = find_runtime("torch"), random.Random(1)
    protocol = Protocol(least_warm_up=1, most_warm_up=2, runs=RUNS, most_runs=RUNS, cap_s=1e6, widest_interval=1e6)
    medians = np.zeros((PASSES, len(architectures)))
    for medians_of_pass in medians:
        mixed = rng.sample(range(len(architectures)), len(architectures))
        for first in range(0, len(mixed), TOGETHER):
            chosen = mixed[first : first + TOGETHER]
            subjects = [subject(architectures[place], runtime, architectures[place].size) for place in chosen]
            for place, found in zip(chosen, measure(subjects, protocol, runtime), strict=True):
                medians_of_pass[place] = found.summary.median_ms
    return medians


def error(predicted: Floats, truth: Floats) -> float:
    return float(np.mean(np.abs(predicted / truth - 1)))


def tau(some: Floats, others: Floats) -> float:
    """Kendall's tau-a."""
    first, second = np.triu_indices(len(some), 1)
    return float(np.mean(np.sign(some[first] - some[second]) * np.sign(others[first] - others[second])))


def proportional(x: Floats, y: Floats, *, constant: bool) -> Floats:
    """The line through (x, y) of least relative errors: its factor and constant."""
    rows = np.stack([x, np.ones_like(x) if constant else np.zeros_like(x)], axis=1) / y[:, None]
    return np.linalg.lstsq(rows, np.ones_like(y), rcond=None)[0]


def counts(architecture: Architecture) -> tuple[float, float]:
    cost = architecture.cost()
    return cost.flops("paper") / 1e9, memory(cost, "fp32").total.bytes / 1e9


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.base)
def test_predict(space: Space, capsys) -> None:  # type: ignore[no-untyped-def]
    together = drawn(space, CALIBRATION + HELD_OUT)
    calibration, held_out = together[:CALIBRATION], together[CALIBRATION:]
    table = calibrate(calibration, Protocol(), runs=RUNS)
    passes = measured(held_out)
    truth = passes.mean(axis=0)
    table.predict(calibration[0])
    start = time.perf_counter()
    for architecture in held_out:  # makes each architecture's graph, and each kind's regression
        table.predict(architecture)
    first_ms = 1e3 * (time.perf_counter() - start) / HELD_OUT
    again: list[float] = []
    for architecture in held_out:
        start = time.perf_counter()
        table.predict(architecture)
        again.append(1e3 * (time.perf_counter() - start))
    found = [table.predict(architecture) for architecture in held_out]
    predicted = np.array([one.ms for one in found])
    rows = [("the table", predicted)]
    latencies = np.array([network.median_ms for network in table.networks])
    known = np.array([(network.gflops, network.gbytes) for network in table.networks])
    asked = np.array([counts(architecture) for architecture in held_out])
    for column, name in enumerate(("FLOPs", "memory traffic")):
        for constant in (False, True):
            line = proportional(known[:, column], latencies, constant=constant)
            rows.append((f"{name}{', and a constant' * constant}", asked[:, column] * line[0] + line[1]))
    inside = np.mean([one.low <= ms <= one.high for one, ms in zip(found, truth, strict=True)])
    with capsys.disabled():
        print(f"\nLatency of {HELD_OUT} held-out scalings of {space.base} at {SIZES[0]} to {SIZES[-1]} px,", end=" ")
        print(f"{truth.min():.1f} to {truth.max():.1f} ms, on\n{table.stamp.words}")
        print(f"{'predicted by':34}{'MAPE':>8}{'worst':>8}{'tau':>8}")
        for name, values in [*rows, ("floor: one pass by the other", passes[0])]:
            against = passes[1] if values is passes[0] else truth
            worst = np.abs(values / against - 1).max()
            print(f"{name:34}{error(values, against):8.1%}{worst:8.1%}{tau(values, against):8.3f}")
        print(
            f"Table of {len(table.layers_ms):,} layers and {CALIBRATION} networks, made in {table.seconds:.0f} s;",
            end=" ",
        )
        print(f"each network by the others: {np.abs(table.errors).mean():.1%} off.")
        print(
            f"A prediction takes {statistics.median(again):.2f} ms, {first_ms:.2f} ms where its layers are new;",
            end=" ",
        )
        print(f"{np.mean([one.interpolated for one in found]):.0%} of the time are interpolated.")
        print(f"Inside the 90% interval: {inside:.0%}; outside the table: {sum(bool(one.outside) for one in found)}.")
        mape, rank, speed = error(predicted, truth), tau(predicted, truth), statistics.median(again)
        print(f"Bars: MAPE at most 8%: {_met(mape <= BARS[0])}; tau at least 0.95: {_met(rank >= BARS[1])};", end=" ")
        print(f"at most 1 ms each: {_met(speed <= BARS[2])}")


def _met(held: bool) -> str:
    return "met" if held else "MISSED"
