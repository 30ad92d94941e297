"""Studies run for real, on a few tiny images: what is trained, refused, reused, failed, and taken up again."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from catscale.blocks.errors import CatscaleError, InputError
from catscale.scaler.latency.results import read_results
from catscale.scaler.zoo import load
from catscale.search.rows import Row, front, read_rows
from catscale.search.run import run_study
from catscale.search.seeds import read_seeds
from catscale.search.select import select
from catscale.search.status import read_study, status
from catscale.search.study import Study, load_study
from catscale.search.trial import latency_file
from catscale.trainer.data.shapes import make_shapes

pytestmark = pytest.mark.usefixtures("quick_latency")

STUDY: dict[str, Any] = {
    "name": "tiny",
    "base": "base.yaml",
    "space": {"width": {"choices": [0.25, 0.5, 1.0]}, "compound": {"choices": [0.5, 0.75, 1.0]}},
    "objectives": ["ap", "gflops"],
    "constraints": {"params": 70_000},
    "trials": 3,
    "sampler": {"kind": "grid"},
    "recipe": "quick",
    "epochs": 1,
    "overrides": {"batch": 4},
    "size_px": 64,
    "data": "data",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    make_shapes(folder / "data", train=8, val=4, test=0, size_px=64)
    (folder / "base.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.25}\n")
    return folder


def written(place: Path, name: str, **changes: Any) -> Path:
    path = place / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**STUDY, "name": name, **changes}))
    return path


def read(place: Path, name: str, **changes: Any) -> Study:
    return load_study(written(place, name, **changes))


def by_state(rows: list[Row], state: str) -> list[Row]:
    return [row for row in rows if row.state == state]


@pytest.fixture(scope="module")
def done(place: Path) -> tuple[Study, Path, list[Row]]:
    study = read(place, "done")
    folder = place / "folder"
    return study, folder, run_study(study, folder, device="cpu")


def test_the_base_is_trained_first_unless_it_is_over_a_bound(done: tuple[Study, Path, list[Row]]) -> None:
    _, _, rows = done
    assert (rows[0].reference, rows[0].values) == ("base", {})
    assert rows[0].state == "refused"
    assert "over budget: params 0.383 M above 0.070 M" in rows[0].reason


def test_the_total_counts_trainings_only(done: tuple[Study, Path, list[Row]]) -> None:
    study, folder, rows = done
    complete = by_state(rows, "complete")
    assert len(complete) == study.trials
    for row in complete:
        assert {"ap", "ap50", "params", "gflops", "latency_ms", "macs", "activations", "seconds"} <= row.figures.keys()
        run = folder / "trials" / str(row.number)
        assert {"architecture.yaml", "results.csv", "best.safetensors"} <= {path.name for path in run.iterdir()}
        (taken,) = read_results(latency_file(run))
        assert round(taken.summary.median_ms, 4) == row.figures["latency_ms"]


def test_what_is_never_trained_says_why_and_has_no_folder(done: tuple[Study, Path, list[Row]]) -> None:
    _, folder, rows = done
    refused = by_state(rows, "refused")
    assert [row.reference for row in refused] == ["base"]  # what else does not fit was never proposed
    assert not any((folder / "trials" / str(row.number)).exists() for row in refused)


def test_the_table_on_disk_is_what_was_returned(done: tuple[Study, Path, list[Row]]) -> None:
    study, folder, rows = done
    again = read_rows(folder / "trials.csv", study)
    assert [(row.number, row.state, row.reason, row.name) for row in again] == [
        (row.number, row.state, row.reason, row.name) for row in rows
    ]
    assert again[-1].figures["gflops"] == pytest.approx(rows[-1].figures["gflops"], rel=1e-5)


def test_run_again_it_trains_no_more(done: tuple[Study, Path, list[Row]]) -> None:
    study, folder, rows = done
    assert run_study(study, folder, device="cpu") == rows


def test_a_larger_total_goes_on_and_the_whole_space_ends_it(done: tuple[Study, Path, list[Row]]) -> None:
    study, folder, rows = done
    said: list[str] = []
    more = run_study(study.model_copy(update={"trials": 50}), folder, device="cpu", say=said.append)
    assert more[: len(rows)] == rows
    assert len({tuple(row.values.items()) for row in more[1:]}) == 3 == len(more) - 1
    assert said[-1] == "the space is exhausted: all 3 candidates that fit, of 9, have been tried"


def test_a_changed_space_is_refused(done: tuple[Study, Path, list[Row]], place: Path) -> None:
    _, folder, _ = done
    before = (folder / "trials.csv").read_bytes()
    with pytest.raises(InputError, match=r"(?s)another study.*\n  space.width.choices was \[.*\], is \[0.25\]"):
        run_study(read(place, "done", space={"width": {"choices": [0.25]}}), folder, device="cpu")
    assert (folder / "trials.csv").read_bytes() == before


def test_choosing_says_why(done: tuple[Study, Path, list[Row]]) -> None:
    _, folder, _ = done
    record = read_study(folder)
    members = front(record.study, record.rows)
    assert select(record, "best").row.figures["ap"] == max(row.figures["ap"] for row in members)
    assert "the lowest Latency" in select(record, "fastest").why
    assert select(record, "knee").row in members
    with pytest.raises(InputError, match="trial 0 is refused: over budget"):
        select(record, "0")
    with pytest.raises(InputError, match="--select bset: is none of knee, best, fastest"):
        select(record, "bset")


def test_an_equal_detector_takes_over_the_result(place: Path) -> None:
    study = read(place, "twins", space={"width": {"choices": [1.0, 0.5]}}, constraints={}, trials=2)
    rows = run_study(study, place / "twins", device="cpu")
    base, twin, other = rows
    assert [row.reference for row in rows] == ["base", "", ""]
    assert (twin.values, twin.same_as) == ({"width": 1.0}, 0)
    assert twin.reason == "the same detector as trial 0: its result is reused"
    assert (twin.figures, twin.fingerprint) == (base.figures, base.fingerprint)
    assert twin not in front(study, rows)
    assert (other.values, other.same_as, other.state) == ({"width": 0.5}, None, "complete")


def test_a_latency_over_the_bound_is_refused_before_training(place: Path) -> None:
    study = read(place, "slow", constraints={"latency_ms": 1e-3}, space=NARROW, references=False)
    rows = run_study(study, place / "slow", device="cpu")
    assert [row.state for row in rows] == ["refused", "refused"]
    assert all("over budget: latency_ms" in row.reason for row in rows)
    assert not (place / "slow" / "trials").exists()


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, times: int) -> None:
    import catscale.trainer.loop as loop

    real, calls = loop.train, iter(range(times))

    def train(*args: Any, **options: Any) -> Any:
        if next(calls, None) is not None:
            raise error
        return real(*args, **options)

    monkeypatch.setattr(loop, "train", train)


def test_a_training_that_fails_is_noted_and_the_study_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1)
    rows = run_study(read(place, "oom", trials=2, space=NARROW, constraints={}), place / "oom", device="cpu")
    assert [(row.state, row.reason) for row in rows] == [("failed", "out of memory"), ("complete", "")]


def test_a_study_in_which_every_training_fails_stops(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, CatscaleError("the disk is full"), 9)
    study = read(place, "broken", trials=9, constraints={})
    with pytest.raises(CatscaleError, match="3 trainings in a row failed; the last: the disk is full"):
        run_study(study, place / "broken", device="cpu")


def test_an_interrupt_leaves_a_study_that_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, folder = read(place, "stopped", trials=2, space=NARROW, constraints={}, references=False), place / "stopped"
    with monkeypatch.context() as patch:
        failing(patch, KeyboardInterrupt(), 1)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, folder, device="cpu")
    rows = run_study(study, folder, device="cpu")
    assert [row.state for row in rows] == ["failed", "complete", "complete"]
    assert rows[0].reason == "interrupted; goes on as trial 1"
    assert rows[1].values == rows[0].values


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


NARROW = {"width": {"choices": [0.25, 0.5]}}


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_study_goes_on_from_its_checkpoint(
    cli: Any, place: Path, kill: signal.Signals, tmp_path: Path
) -> None:
    path = written(place, f"killed{kill}", trials=1, space=NARROW, references=False, epochs=6)
    command = [sys.executable, "-m", "catscale.cli", "search", "run", str(path), "--folder", str(tmp_path / "study")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ})
    state = tmp_path / "study" / "trials" / "0" / "last.state.pt"
    until(lambda: state.is_file() or process.poll() is not None)
    process.send_signal(kill)
    process.wait(30)
    until(lambda: not status(read_study(tmp_path / "study"))["workers"])  # the trial's own process saves its state yet
    assert status(read_study(tmp_path / "study"))["interrupted"] is (kill == signal.SIGKILL)
    again = cli("search", "run", path, "--folder", tmp_path / "study")
    assert again.returncode == 0, again.stderr
    rows = read_study(tmp_path / "study").rows
    assert [(row.state, row.reason) for row in rows] == [
        ("failed", "interrupted; goes on as trial 1"),
        ("complete", ""),
    ]
    assert len((tmp_path / "study" / "trials" / "1" / "results.csv").read_text().splitlines()) == 7
    assert not (tmp_path / "study" / "trials" / "0").exists()
    assert [path.name for path in (tmp_path / "study" / "latency").iterdir()] == ["1.json"]


def test_the_command_line_runs_tells_and_trains_further(cli: Any, place: Path, tmp_path: Path) -> None:
    path = written(place, "shown", trials=1, space=NARROW, references=False)
    folder = tmp_path / "study"
    ran = cli("search", "run", path, "--folder", folder)
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr
    assert "trial 0 (1/1)" in ran.stdout
    told = cli("search", "status", folder, "--json")
    assert yaml.safe_load(told.stdout)["states"] == {
        "complete": 1,
        "stopped": 0,
        "refused": 0,
        "failed": 0,
        "running": 0,
    }
    trained = cli("search", "train", folder, "--select", "knee", "--epochs", 2)
    assert trained.returncode == 0, trained.stderr
    assert "Trial 0, base-width" in trained.stderr
    assert "2 epochs in full" in trained.stdout
    assert (folder / "selected" / "0" / "best.safetensors").is_file()


@pytest.mark.parametrize("verb", ["status", "train"])
def test_a_folder_that_is_no_study_is_refused(cli: Any, tmp_path: Path, verb: str) -> None:
    result = cli("search", verb, tmp_path)
    assert (result.returncode, result.stderr) == (
        2,
        f"error: {tmp_path}: holds no study.yaml; name a study's folder, such as runs/search/quickstart\n",
    )


def test_all_candidates_of_a_study_have_one_set_of_anchors(place: Path) -> None:
    study = read(place, "anchors", trials=2, space=NARROW, constraints={}, overrides={"batch": 4, "anchors": "auto"})
    said: list[str] = []
    rows = run_study(study, place / "anchors", device="cpu", say=said.append)
    assert [row.state for row in rows] == ["complete", "complete"]
    one, other = (load(str(place / "anchors" / "trials" / str(row.number) / "architecture.yaml")) for row in rows)
    assert one.fingerprint != other.fingerprint
    assert one.anchors == other.anchors != load("yolov7-tiny").anchors
    assert said[1].startswith("base: anchors changed: ")


def test_several_seeds_are_trained_and_averaged(place: Path) -> None:
    study = read(place, "seeds", trials=1, seeds=2, space=NARROW, constraints={}, references=False)
    (row,) = run_study(study, place / "seeds", device="cpu")
    runs = [place / "seeds" / "trials" / "0" / part for part in (".", "seed-1")]
    losses = [float((run / "results.csv").read_text().splitlines()[1].split(",")[1]) for run in runs]
    assert losses[0] != losses[1]
    assert row.figures["ap_spread"] >= 0
    facts = [json.loads((run / "run.json").read_text()) for run in runs]
    assert row.figures["ap"] == pytest.approx(sum(each["ap"] for each in facts) / 2)
    table = read_seeds(place / "seeds" / "seeds.csv")
    assert [(line.trial, line.seed, line.params) for line in table] == [(0, s, row.figures["params"]) for s in (0, 1)]
    assert [(line.ap, line.ap50) for line in table] == [
        pytest.approx((each["ap"], each["ap50"]), rel=1e-4) for each in facts
    ]
    assert [line.variant for line in table] == [" ".join(f"{name}={value}" for name, value in row.values.items())] * 2


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor that takes energy all the time, as Linux shows it."""
    zone, over = tmp_path / "intel-rapl:0", threading.Event()
    zone.mkdir()
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")

    def count() -> None:
        for microjoules in itertools.count(0, 1000):
            (zone / "next").write_text(f"{microjoules}\n")
            (zone / "next").replace(zone / "energy_uj")  # at once: whoever reads sees a whole number
            if over.wait(0.005):
                return

    counting = threading.Thread(target=count)
    counting.start()
    monkeypatch.setenv("CATSCALE_POWERCAP", str(tmp_path))
    yield
    over.set()
    counting.join()


@pytest.mark.usefixtures("counter")
def test_the_energy_of_a_trial_is_that_of_all_its_trainings(place: Path) -> None:
    study = read(place, "energy", trials=1, seeds=2, space=NARROW, constraints={}, references=False)
    run_study(study, place / "energy", device="cpu")
    runs = [place / "energy" / "trials" / "0" / part for part in (".", "seed-1")]
    joules = [json.loads((run / "run.json").read_text())["energy"]["joules"] for run in runs]
    assert min(joules) > 0
    (row,) = read_rows(place / "energy" / "trials.csv", study)
    assert row.figures["energy_joules"] == pytest.approx(sum(joules), rel=1e-5)


def test_a_parameter_of_the_recipe_is_trained_with_and_makes_another_candidate(place: Path) -> None:
    space = {"width": {"choices": [0.25]}, "recipe.lr0": {"choices": [0.001, 0.01]}}
    study = read(place, "rates", trials=3, space=space, constraints={}, references=False)
    rows = run_study(study, place / "rates", device="cpu")
    assert [(row.state, row.same_as) for row in rows] == [("complete", None)] * 2
    assert rows[0].fingerprint == rows[1].fingerprint
    trained = [yaml.safe_load((place / "rates" / "trials" / str(n) / "recipe.yaml").read_text())["lr0"] for n in (0, 1)]
    assert trained == [row.values["recipe.lr0"] for row in rows]
    assert set(trained) == {0.001, 0.01}


def test_a_model_that_is_named_is_trained_to_compare_with(place: Path) -> None:
    (place / "other.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.125}\n")
    study = read(place, "others", trials=2, space=NARROW, constraints={}, references=["other.yaml"])
    rows = run_study(study, place / "others", device="cpu")
    assert [row.reference for row in rows] == ["base", "other"]
    assert rows[1].figures["params"] < rows[0].figures["params"]
