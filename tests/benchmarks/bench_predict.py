"""Latency predicted against measured: candidates of scaling spaces of yolov7-tiny and yolov7 that no table has seen.

Run by `make bench`, one table; about three minutes for each space on two quiet cores. CATSCALE_BENCH_LONG=1 takes more
networks, and yolov7 up to its own width. Held-out candidates are measured after the table is made, in turns and in two
passes over all of them; how far the passes differ is the floor below which no prediction can be judged. Some of the
calibration networks are measured again among them: by how much these differ, the machine is another one than when the
table was made, and predictions are judged with and without that. Two baselines see the same calibration networks, and
are moved likewise: latency in proportion to FLOPs, and to memory traffic, each also with a constant.
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
from catscale.scaler.latency_table.predictor import Predicted
from catscale.scaler.latency_table.table import LatencyTable
from catscale.scaler.memory import memory
from numpy.typing import NDArray

LONG = os.environ.get("CATSCALE_BENCH_LONG") == "1"
HELD_OUT, AGAIN = 60, 10  # candidates; calibration networks that are measured again
CALIBRATION = 100 if LONG else 50
PASSES, TOGETHER, RUNS = 2, 8, 10 if LONG else 5
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
    return np.linalg.lstsq(rows, np.ones_like(y), rcond=None)[0].astype(np.float64)


def counts(architecture: Architecture) -> tuple[float, float]:
    cost = architecture.cost()
    return cost.flops("paper") / 1e9, memory(cost, "fp32").total.bytes / 1e9


def baselines(table: LatencyTable, held_out: list[Architecture]) -> dict[str, Floats]:
    """What FLOPs and memory traffic alone say, fitted on the table's own networks."""
    latencies = np.array([network.median_ms for network in table.networks])
    known = np.array([(network.gflops, network.gbytes) for network in table.networks])
    asked = np.array([counts(architecture) for architecture in held_out])
    found: dict[str, Floats] = {}
    for column, name in enumerate(("FLOPs", "memory traffic")):
        for constant in (False, True):
            line = proportional(known[:, column], latencies, constant=constant)
            found[f"{name}{', and a constant' * constant}"] = asked[:, column] * line[0] + line[1]
    return found


def times_to_predict(table: LatencyTable, architectures: list[Architecture]) -> tuple[float, float, float]:
    """Milliseconds: before the first prediction; for one whose layers are new; for one whose layers are known."""
    for architecture in architectures:
        architecture.graph("deploy")  # a candidate has it from being counted
    start = time.perf_counter()
    assert table.predictor.times.kinds  # the regressions
    spent = [1e3 * (time.perf_counter() - start)]
    for _ in range(2):
        each: list[float] = []
        for architecture in architectures:
            start = time.perf_counter()
            table.predict(architecture)
            each.append(1e3 * (time.perf_counter() - start))
        spent.append(statistics.median(each))
    before, new, known = spent
    return before, new, known


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.base)
def test_predict(space: Space, capsys) -> None:  # type: ignore[no-untyped-def]
    together = drawn(space, CALIBRATION + HELD_OUT)
    held_out = together[CALIBRATION:]
    table = calibrate(together[:CALIBRATION], Protocol(), runs=RUNS)
    known = {(network.fingerprint, network.size): network.median_ms for network in table.networks}
    again = together[:AGAIN]
    passes = measured(held_out + again)
    before = np.array([known[one.fingerprint, one.size] for one in again])
    drift = float(np.median(passes[:, HELD_OUT:].mean(axis=0) / before))
    passes = passes[:, :HELD_OUT]
    speed = times_to_predict(table, held_out)
    with capsys.disabled():
        found = [table.predict(one) for one in held_out]
        report(space, table, passes, drift, found, baselines(table, held_out), speed)


def report(
    space: Space,
    table: LatencyTable,
    passes: Floats,
    drift: float,
    found: list[Predicted],
    others: dict[str, Floats],
    speed: tuple[float, float, float],
) -> None:
    truth, predicted = passes.mean(axis=0), np.array([one.ms for one in found])
    before_ms, new_ms, known_ms = speed
    print(f"\nLatency of {HELD_OUT} held-out scalings of {space.base} at {SIZES[0]} to {SIZES[-1]} px,", end=" ")
    print(f"{truth.min():.1f} to {truth.max():.1f} ms, on\n{table.stamp.words}")
    print(f"{'predicted by':34}{'MAPE':>8}{'worst':>8}{'tau':>8}")
    for name, values, against in (
        ("the table, made before", predicted, truth),
        ("the table", drift * predicted, truth),
        *((name, drift * values, truth) for name, values in others.items()),
        ("floor: one pass by the other", passes[0], passes[1]),
    ):
        worst = np.abs(values / against - 1).max()
        print(f"{name:34}{error(values, against):8.1%}{worst:8.1%}{tau(values, against):8.3f}")
    print(f"Table: {len(table.layers_ms):,} layers and {CALIBRATION} networks, made in {table.seconds:.0f} s;", end=" ")
    print(f"each of its networks by the others: {np.abs(table.errors).mean():.1%} off.")
    print(
        f"A prediction: {known_ms:.2f} ms; {new_ms:.2f} ms where layers are new; {before_ms:.0f} ms before the first."
    )
    print(f"{AGAIN} networks of the table, measured again, took {drift:.3f} times as long.")
    inside = np.mean([one.low * drift <= ms <= one.high * drift for one, ms in zip(found, truth, strict=True)])
    print(
        f"Inside the 90% interval: {inside:.0%}. Outside the table: {sum(bool(one.outside) for one in found)}.", end=" "
    )
    print(f"Of the time {np.mean([one.interpolated for one in found]):.0%} are interpolated.")
    print(f"Bars: MAPE at most 8%: {_met(error(predicted, truth) <= BARS[0])};", end=" ")
    print(
        f"tau at least 0.95: {_met(tau(predicted, truth) >= BARS[1])}; at most 1 ms: {_met(known_ms <= BARS[2])},",
        end=" ",
    )
    print(f"where layers are new: {_met(new_ms <= BARS[2])}")


def _met(held: bool) -> str:
    return "met" if held else "MISSED"
