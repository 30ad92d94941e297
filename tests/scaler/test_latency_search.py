"""A latency met by few measurements: on a device that is a formula, and on the one at hand."""

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import catscale
import pytest
from catscale.cli import app
from catscale.scaler.architecture import Architecture
from catscale.scaler.fit import fit
from catscale.scaler.latency_search import MEASUREMENTS, search_measured
from catscale.scaler.targets import Target, parse_target
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

if TYPE_CHECKING:
    from catscale.scaler.latency.measure import Measurement


class Device:
    """A ladder on a device whose latency is a floor and a power of the FLOPs."""

    def __init__(self, floor_ms: float, power: float) -> None:
        self.factors = [step / 64 for step in range(1, 1025)]
        self.floor_ms, self.power = floor_ms, power
        self.measured: list[int] = []

    def gflops(self, step: int) -> float:
        return 100 * self.factors[step] ** 2

    def latency_ms(self, step: int) -> float:
        self.measured.append(step)
        return self.floor_ms + 10 * self.factors[step] ** (2 * self.power)


@settings(max_examples=100, deadline=None)
@given(
    floor_ms=st.floats(0, 5), bound_ms=st.floats(0.5, 60), power=st.floats(0.5, 1.2), end=st.integers(1, 1024)
)  # fmt: skip
@example(floor_ms=5, bound_ms=5.01, power=0.5, end=1024)  # far down, where hardly anything fits
def test_few_measurements_find_a_step_close_below_a_latency(
    floor_ms: float, bound_ms: float, power: float, end: int
) -> None:
    device = Device(floor_ms, power)
    inside, above = search_measured(device, end, bound_ms)
    assert len(set(device.measured)) <= MEASUREMENTS + 1
    assert max(device.measured) < end
    if inside is None:
        assert device.latency_ms(0) > bound_ms
        return
    assert device.latency_ms(inside) <= bound_ms
    assert above is None or device.latency_ms(above) > bound_ms
    nothing_between = inside == end - 1 or device.latency_ms(inside + 1) > bound_ms
    assert nothing_between or device.latency_ms(inside) >= 0.9 * bound_ms


@pytest.mark.parametrize("bound_ms", [3, 8, 17, 50])
def test_a_latency_that_is_linear_in_the_flops_is_met_at_the_third_or_fourth_measurement(bound_ms: float) -> None:
    device = Device(floor_ms=2, power=1)
    inside, _ = search_measured(device, 1024, bound_ms)
    assert inside is not None
    assert len(set(device.measured)) <= 4
    assert 0.96 * bound_ms <= device.latency_ms(inside) <= bound_ms


class Plateau(Device):
    """A device on which everything takes as long, but for the smallest."""

    def latency_ms(self, step: int) -> float:
        return 5.05 if step else 1


def test_the_smallest_is_measured_before_nothing_is_said_to_fit() -> None:
    assert search_measured(Plateau(0, 1), 1024, 5)[0] == 0


def test_a_measured_latency_is_met() -> None:
    """Twice what a narrow detector takes as it is, on this machine: what comes back was measured at or under it."""
    from catscale.scaler.latency.architectures import measure_latency

    def measure(architecture: Architecture) -> "Measurement":
        return measure_latency(architecture, catscale.LatencyProtocol(runs=5, threads=1, cap_s=0.5, widest_interval=9))

    narrow = catscale.load("yolov7-tiny").scale(width=0.125, resolution=64)
    latency = Target("latency_ms", Decimal(2 * measure(narrow).summary.median_ms))
    found = fit(narrow, [latency, parse_target("params=1M")], "width", measure=measure)
    assert found.best.latency is not None
    assert found.best.latency.summary.median_ms <= latency.bound
    assert found.best.counts["params"] <= 1_000_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["latency_ms=0.0001"], r"no compound factor fits; 0\.5, the smallest, gives latency_ms \d+\.\d\d ms; 1 gives"),
        (["latency_ms=9999", "params=1k"], r"no compound factor fits; 0\.5, the smallest, gives params \d+\.\d\dk; 1"),
    ],
)
def test_what_no_variant_meets_says_what_was_tried(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = catscale.LatencyProtocol(runs=5, threads=1, cap_s=0.5, widest_interval=9)
    monkeypatch.setattr("catscale.scaler.latency.architectures.SEARCHING", quick)
    (tmp_path / "narrow.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.125, resolution: 64}", encoding="utf-8")
    bounds = [part for word in words for part in ("--fit", word)]
    done = CliRunner().invoke(app, ["scale", str(tmp_path / "narrow.yaml"), *bounds, "--device", "cpu"])
    assert isinstance(done.exception, catscale.InputError)
    assert re.search(message, str(done.exception))
    assert re.search(r"measured narrow: \d+\.\d\d ms on .+", done.stderr)
