"""The energy of a training, read from a folder that looks as Linux shows processors' counters."""

import json
from pathlib import Path
from typing import Any

import catscale
import pytest
from catscale.trainer.data.records import Dataset
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.energy import ELSEWHERE, Energy, Meter
from catscale.trainer.loop import train
from catscale.trainer.recipe import load_recipe
from catscale.trainer.run_folder import EpochRow
from hypothesis import given
from hypothesis import strategies as st

RANGE_UJ = 1_000_000


def zone(powercap: Path, place: str, name: str, uj: int) -> Path:
    """A counter as Linux shows it; what it counts from now on is written to what is returned."""
    folder = powercap / place
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (("name", name), ("energy_uj", str(uj)), ("max_energy_range_uj", str(RANGE_UJ))):
        (folder / file).write_text(f"{text}\n")
    return folder / "energy_uj"


@given(
    start=st.integers(0, RANGE_UJ - 1),
    rises=st.lists(st.integers(0, RANGE_UJ - 1), max_size=8),
)
def test_a_counter_that_begins_anew_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, start: int, rises: list[int]
) -> None:
    counter = zone(tmp_path_factory.mktemp("powercap"), "intel-rapl:0", "package-0", start)
    meter, true_uj = Meter(powercap=counter.parents[1]), start
    for rise in rises:
        true_uj += rise
        counter.write_text(str(true_uj % RANGE_UJ))
        meter.spent()
    assert meter.spent() == Energy(pytest.approx((true_uj - start) / 1e6, abs=1e-3), "CPU")  # type: ignore[arg-type]


def test_packages_and_their_memory_are_added_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    counters = {
        ("intel-rapl:0", "package-0"): 100_000,
        ("intel-rapl:0:0", "core"): 60_000,  # within the package
        ("intel-rapl:0:1", "dram"): 20_000,
        ("intel-rapl:1", "package-1"): 300_000,
        ("intel-rapl:2", "psys"): 900_000,  # the whole board
        ("intel-rapl-mmio:0", "package-0"): 100_000,  # the same package by another way
    }
    files = {place: zone(tmp_path, *place, uj=5) for place in counters}
    meter = Meter(powercap=tmp_path)
    for place, rise in counters.items():
        files[place].write_text(str(5 + rise))
    assert meter.spent() == Energy(0.42, "CPU")


@pytest.mark.parametrize("how", ["no counters", "for root alone", "gone meanwhile"])
def test_what_cannot_be_read_is_not_known_rather_than_nothing(tmp_path: Path, how: str) -> None:
    counter = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 5)
    if how == "no counters":
        meter = Meter(powercap=tmp_path)
    elif how == "for root alone":
        counter.unlink()  # nobody can be kept from reading where tests run as root
        meter = Meter(powercap=tmp_path / "powercap")
    else:
        meter = Meter(powercap=tmp_path / "powercap")
        counter.unlink()
    assert meter.spent() == Energy()
    assert meter.spent() == Energy()


def test_a_gpu_that_tells_nothing_is_not_made_up_by_the_processor(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    assert Meter(["GPU-of-no-machine"], tmp_path).spent() == Energy()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(make_shapes(tmp_path_factory.mktemp("data") / "shapes", train=2, val=1, test=0, size_px=64))


def trained(data: Dataset, run: Path, epochs: int = 1, counter: Path | None = None) -> Any:
    """Train, half a joule for each epoch; gives what the run says of its energy."""

    def on_epoch(row: EpochRow) -> None:
        if counter:
            counter.write_text(str((int(counter.read_text()) + 500_000) % RANGE_UJ))

    arch = catscale.load("yolov7-tiny").scale(width=0.05).replace(classes=len(data.classes))
    recipe = load_recipe("quick", {"epochs": epochs, "batch": 2})
    train(arch, data, recipe, run, size_px=64, resume=run.exists(), on_epoch=on_epoch)
    return json.loads((run / "run.json").read_text())["energy"]


def test_a_run_says_what_it_took_and_one_that_is_extended_adds(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", RANGE_UJ - 100_000)
    monkeypatch.setenv(ELSEWHERE, str(counter.parents[1]))
    assert trained(data, tmp_path / "run", 1, counter) == {"joules": 0.5, "of": "CPU"}
    assert trained(data, tmp_path / "run", 2, counter) == {"joules": 1.0, "of": "CPU"}


def test_a_run_says_that_its_machine_did_not_tell_and_is_then_never_known_in_part(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ELSEWHERE, str(tmp_path / "powercap"))
    assert trained(data, tmp_path / "run", 1) == {"joules": None, "of": ""}
    counter = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 0)
    assert trained(data, tmp_path / "run", 2, counter) == {"joules": None, "of": ""}
