"""A latency met by few measurements: on a device that is a formula, and on the one at hand."""

import re
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import catscale
from catscale.scaler.architecture import Architecture
from catscale.scaler.fit import fit
from catscale.scaler.latency_search import MEASUREMENTS, search_measured
from catscale.scaler.targets import Target, parse_target
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from catscale.scaler.latency import Latency

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


class Device:
    """A ladder on a device whose latency is a floor and a share of the FLOPs."""

    def __init__(self, floor_ms: float) -> None:
        self.factors = [step / 64 for step in range(1, 1025)]
        self.floor_ms = floor_ms
        self.measured: list[int] = []

    def gflops(self, step: int) -> float:
        return 100 * self.factors[step] ** 2

    def latency_ms(self, step: int) -> float:
        self.measured.append(step)
        return self.floor_ms + 0.1 * self.gflops(step)


@settings(max_examples=50, deadline=None)
@given(floor_ms=st.floats(0, 5), bound_ms=st.floats(0.5, 60), end=st.integers(64, 1024))
def test_few_measurements_find_a_step_close_below_a_latency(floor_ms: float, bound_ms: float, end: int) -> None:
    device = Device(floor_ms)
    inside, above = search_measured(device, end, bound_ms)
    assert len(set(device.measured)) <= MEASUREMENTS + 1
    assert max(device.measured) < end
    if inside is None:
        assert device.latency_ms(0) > bound_ms
        return
    assert device.latency_ms(inside) <= bound_ms
    assert above is None or device.latency_ms(above) > bound_ms
    reachable = min(bound_ms, device.latency_ms(end - 1))
    neighbour = device.latency_ms(min(inside + 1, end - 1))
    assert max(device.latency_ms(inside), 0.9 * neighbour) >= 0.9 * reachable


def test_a_measured_latency_is_met() -> None:
    """Twice what a narrow detector takes as it is, on this machine: what comes back was measured at or under it."""
    from catscale.scaler.latency import measure_latency

    def measure(architecture: Architecture) -> "Latency":
        return measure_latency(architecture, runs=5, threads=1)

    narrow = catscale.load("yolov7-tiny").scale(width=0.125, resolution=64)
    latency = Target("latency_ms", Decimal(2 * measure(narrow).median_ms))
    found = fit(narrow, [latency, parse_target("params=1M")], "width", measure=measure)
    assert found.best.latency is not None
    assert found.best.latency.median_ms <= latency.bound
    assert found.best.counts["params"] <= 1_000_000


def test_a_latency_that_nothing_meets_says_what_was_measured(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "narrow.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.125, resolution: 64}", encoding="utf-8")
    done = cli("scale", "narrow.yaml", "--fit", "latency_ms=0.0001", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(r"measured narrow: \d+\.\d\d ms on .+ \(cpu\)", done.stderr)
    assert re.search(r"no compound factor fits; 0\.5, the smallest, gives latency_ms \d+\.\d\d ms; 1", done.stderr)
