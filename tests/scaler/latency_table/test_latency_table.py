"""A latency that follows from a table of layers: right where the layers' times are known, silent about nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import catscale
import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.architecture import Architecture
from catscale.scaler.latency.conditions import cpu_name
from catscale.scaler.latency_table.layers import layers_of
from catscale.scaler.latency_table.table import LatencyTable

from .known_times import STAMP, known_table, network_ms

BASE = catscale.load("yolov7-tiny")
WIDTHS, SIZES = (0.25, 0.5, 0.75, 1.0), (128, 192, 256)
CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


def scaled(width: float, size: int, **scalings: Any) -> Architecture:
    return BASE.scale(**scalings, width=width, resolution=size)


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    return known_table([scaled(width, size) for width in WIDTHS for size in SIZES])


@pytest.fixture
def file(table: LatencyTable, tmp_path: Path) -> Path:
    table.write(tmp_path / "table.json")
    return tmp_path / "table.json"


@pytest.mark.parametrize("architecture", [scaled(0.5, 192), scaled(1.0, 256)])
def test_layers_that_were_measured_add_up(table: LatencyTable, architecture: Architecture) -> None:
    found = table.predict(architecture)
    assert found.interpolated == 0
    assert found.outside is None
    assert found.ms == pytest.approx(network_ms(architecture), rel=0.005)


@pytest.mark.parametrize("model", ["yolov4-tiny", "yolov5-n", "yolox-s", "pp-yoloe-s"])
def test_the_layers_of_every_familys_head_have_a_place(model: str) -> None:
    networks = [
        catscale.load(model).scale(width=width, resolution=size) for width in WIDTHS[:2] for size in (128, 160, 192)
    ]
    found = known_table(networks).predict(networks[0])
    assert (found.interpolated, found.outside) == (0, None)
    assert found.ms == pytest.approx(network_ms(networks[0]), rel=0.005)


@pytest.mark.parametrize("width", [0.375, 0.625, 0.875])
@pytest.mark.parametrize("size", [160, 224])
def test_what_was_not_measured_is_interpolated(table: LatencyTable, width: float, size: int) -> None:
    architecture = scaled(width, size)
    found = table.predict(architecture)
    assert found.interpolated > 0.9
    assert found.outside is None
    assert found.ms == pytest.approx(network_ms(architecture), rel=0.02)
    assert found.low <= found.ms <= found.high


def test_the_interval_holds_networks_that_were_left_out(table: LatencyTable) -> None:
    ratios = [one.median_ms / left for one, left in zip(table.networks, table.predictor.left_out, strict=True)]
    inside = [table.predictor.interval.low <= ratio <= table.predictor.interval.high for ratio in ratios]
    assert sum(inside) >= 0.9 * len(ratios)


def test_the_size_is_chosen_as_for_a_measurement(table: LatencyTable) -> None:
    assert table.predict(scaled(0.5, 128), 192).ms == table.predict(scaled(0.5, 192)).ms
    with pytest.raises(InputError, match="size 200 is not a multiple of the largest stride"):
        table.predict(scaled(0.5, 128), 200)


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        (scaled(2.0, 256), "of the time, are beyond the shapes measured"),
        (scaled(1.0, 640), "gflops .* is not within the .* of the networks measured"),
        (scaled(0.5, 192, compound=3), r"layers \d+ is not within the"),
        (scaled(0.5, 192, activation="silu"), r"of a kind that was not measured \(conv 3x3 /2 silu: 3x192x192 to "),
    ],
)
def test_a_prediction_outside_says_so_and_why(table: LatencyTable, architecture: Architecture, reason: str) -> None:
    found = table.predict(architecture)
    assert found.outside is not None
    assert pytest.importorskip("re").search(reason, found.outside), found.outside


def test_a_table_reads_back_as_it_was(table: LatencyTable, file: Path) -> None:
    again = LatencyTable.load(file)
    assert again == table
    assert again.predict(scaled(0.375, 160)) == table.predict(scaled(0.375, 160))
    assert '{"kind": "conv 1x1 leaky_relu", "inputs": "' in file.read_text()


@pytest.mark.parametrize("field", ["device", "host", "dtype", "threads", "batch", "versions", "memory_format"])
def test_a_table_of_another_device_is_refused_with_the_field(table: LatencyTable, field: str) -> None:
    table.check(replace(STAMP, size=640), "t.json")  # of any size
    with pytest.raises(InputError, match=f"t.json: this latency table was made for something else: {field} is "):
        table.check(replace(STAMP, **{field: 7 if field in ("threads", "batch") else "other"}), "t.json")


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another file": (lambda t: t.update(kind="results"), "is no latency table; `catscale search calibrate` makes one"),
    "another version": (lambda t: t.update(version=2), "version: input should be 1, not 2"),
    "a key too many": (lambda t: t.update(layer=[]), "unknown key 'layer'; did you mean 'layers'"),
    "no networks": (lambda t: t.pop("networks"), "'networks' is missing"),
    "a time below zero": (lambda t: t["layers"][3].update(ms=-1.0), r"layers\.3\.ms: input should be greater than 0"),
    "no time": (lambda t: t["layers"][3].update(ms=float("nan")), r"layers\.3\.ms: input should be a finite number"),
    "no shape": (lambda t: t["layers"][3].update(output="64x80"), r"layers\.3: '64x80' is no shape such as 64x80x80"),
    "a layer twice": (lambda t: t["layers"].append(t["layers"][0]), "layers: a layer stands twice"),
    "half a stamp": (lambda t: t["stamp"].pop("device"), "stamp: 'device' is missing"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_table_is_refused_with_the_place(file: Path, broken: str) -> None:
    document = json.loads(file.read_text())
    change, message = BROKEN[broken]
    change(document)
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message) as refused:
        LatencyTable.load(file)
    assert str(refused.value).startswith(str(file))


def test_half_a_file_is_refused(file: Path) -> None:
    file.write_text(file.read_text()[:999])
    with pytest.raises(InputError, match=r"table\.json: not valid JSON: .*make the table anew"):
        LatencyTable.load(file)


def test_predicting_does_without_torch(file: Path) -> None:
    script = (
        f"import sys, catscale; table = catscale.LatencyTable.load({str(file)!r}); "
        "print(table.predict(catscale.load('yolov7-tiny'), 192).ms, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ms, torch = done.stdout.split()
    assert float(ms) == pytest.approx(network_ms(scaled(1.0, 192)), rel=0.005)
    assert torch == "False"


def test_the_verb_predicts_for_the_device_of_the_table(cli: CommandLine, file: Path) -> None:
    done = cli("latency", "yolov7-tiny", "yolov7", "--size", "192", "--predict", file, "--dtype", "fp32", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    tiny, large = document["predictions"]
    assert document["stamp"]["device"] == STAMP.device
    assert (tiny["name"], tiny["size"], tiny["outside"]) == ("yolov7-tiny", 192, None)
    assert tiny["ms"] == pytest.approx(network_ms(scaled(1.0, 192)), rel=0.005)
    assert large["ms"] > tiny["ms"]
    assert "not measured" in large["outside"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dtype", "bf16"], "made for something else: dtype is 'fp32' there, 'bf16' is asked"),
        (["--batch", "32"], "batch is 1 there, 32 is asked"),
        (["--threads", "1"], "threads is 2 there, 1 is asked"),
        (["--device", "cuda"], "device is 'cpu' there, 'cuda' is asked"),
        (["--device", "cpu"], f"is of device 'A processor'; here is '{cpu_name()}'"),
        (["--runs", "9"], "latency: --predict measures nothing; leave out --runs"),
    ],
)
def test_options_that_contradict_the_table_are_refused(
    file: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from catscale import cli

    monkeypatch.setattr(sys, "argv", ["catscale", "latency", "yolov7-tiny", "--predict", str(file), *options])
    with pytest.raises(InputError) as refused:
        cli.app(standalone_mode=False)
    assert message in str(refused.value)


def test_layers_of_equal_shape_are_one_row(table: LatencyTable) -> None:
    keys = [key for _, key in layers_of(BASE.graph("deploy"), 256)]
    assert len(set(keys)) < len(keys)
    assert set(keys) <= set(table.layers_ms)
