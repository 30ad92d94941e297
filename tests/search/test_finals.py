"""What a study leaves at its end, and the chosen trained in full from it, on a copy of the folder somewhere else."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from catscale.blocks.errors import InputError
from catscale.scaler.zoo import load
from catscale.search.finalists import finalists, other_seeds, repeat
from catscale.search.finals import finals_data, train_in_full
from catscale.search.front_folder import write_front
from catscale.search.lock_file import conditions, read_lock, write_lock
from catscale.search.rows import front, read_rows
from catscale.search.run import run_study
from catscale.search.status import StudyRecord, read_study
from catscale.search.study import load_study
from catscale.search.train_command import train_selected
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset

from .conftest import TINY, relabel

pytestmark = pytest.mark.usefixtures("quick_latency")

NEW = {"trials": 2, "space": {"width": {"choices": [0.25, 0.5]}}, "objectives": ["ap", "params"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study has been run: a folder whose name must be quoted, with data, study file and the study's folder."""
    place = tmp_path_factory.mktemp("a study's")
    make_shapes(place / "data", train=8, val=4, test=4, size_px=64)
    (place / "base.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.25}\n")
    (place / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "name": "tiny", **NEW}))
    before = Path.cwd()
    os.chdir(place)
    try:
        run_study(load_study("tiny.yaml"), Path("study"), device="cpu")
    finally:
        os.chdir(before)
    return place


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    """A copy of the study, with its data, of which nothing of the original is left in reach."""
    there = tmp_path / "elsewhere"
    shutil.copytree(place, there)
    return there / "study"


def losses(run: Path) -> list[tuple[str, ...]]:
    """What two trainings have in common if they are the same."""
    with (run / "results.csv").open() as file:
        return [tuple(row[name] for name in ("box", "obj", "cls", "ap")) for row in csv.DictReader(file)]


def test_the_front_is_a_table_and_a_folder_for_each_member(place: Path) -> None:
    record = read_study(place / "study")
    members = front(record.study, record.rows)
    assert [row.number for row in read_rows(place / "study" / "front.csv", record.study)] == [r.number for r in members]
    assert {path.name for path in (place / "study" / "front").iterdir()} == {str(row.number) for row in members}
    row = members[0]
    run, folder = record.run_folder(row), place / "study" / "front" / str(row.number)
    assert {path.name for path in folder.iterdir()} == {
        "architecture.yaml", "official.yaml", "weights.safetensors", "metrics.csv", "recipe.yaml", "command.txt",
    }  # fmt: skip
    assert load(str(folder / "architecture.yaml")).fingerprint == row.fingerprint
    assert load(str(folder / "official.yaml")).cost(64).params == row.figures["params"]
    assert (folder / "weights.safetensors").stat().st_ino == (run / "best.safetensors").stat().st_ino
    assert (folder / "metrics.csv").read_text() == (run / "results.csv").read_text()


def test_whatever_lies_in_the_folder_is_explained_in_it(place: Path) -> None:
    guide = (place / "study" / "README.txt").read_text()
    assert [path.name for path in (place / "study").iterdir() if path.name not in guide] == ["README.txt"]


def test_weights_that_the_study_does_not_keep_are_not_kept_by_the_front(copy: Path) -> None:
    member = next((copy / "front").iterdir())
    (copy / "trials" / member.name / "best.safetensors").unlink()
    write_front(read_study(copy))
    assert not (member / "weights.safetensors").exists()
    assert (member / "architecture.yaml").is_file()


def test_a_member_that_is_no_longer_on_the_front_goes(copy: Path) -> None:
    record = read_study(copy)
    gone, *rest = record.front
    others = [row for row in record.rows if row.number != gone.number]
    write_front(StudyRecord(record.folder, record.study, others))
    assert not (copy / "front" / str(gone.number)).exists()
    assert str(gone.number) not in {row.number for row in read_rows(copy / "front.csv", record.study)}
    assert [row.number for row in rest] == [row.number for row in front(record.study, others)][-len(rest) or 99 :]


def test_what_has_no_official_form_says_why(copy: Path) -> None:
    record = read_study(copy)
    row = record.front[0]
    shutil.rmtree(copy / "front")
    architecture = record.run_folder(row) / "architecture.yaml"
    architecture.write_text(load(str(architecture)).scale(extend=4, form="shuffled").to_yaml())
    write_front(record)
    assert "no official train form" in (copy / "front" / str(row.number) / "no-official-file.txt").read_text()


def test_the_lock_says_what_the_figures_depend_on(place: Path) -> None:
    lock = read_lock(place / "study")
    assert {"catscale", "commit", "python", "packages", "device", "driver", "data"} <= lock.keys()
    assert lock["packages"].keys() > {"torch", "torchvision", "optuna", "numpy", "opencv-python-headless"}
    assert {name: its["images"] for name, its in lock["data"].items()} == {"train": 8, "val": 4, "test": 4}
    assert lock["since"] == []
    session = json.loads((place / "study" / "hardware.json").read_text())["sessions"][0]
    assert not session.keys() & (lock.keys() - {"device"})  # a session may be on another device


def test_a_session_with_other_versions_or_data_says_so_and_is_noted_once(copy: Path) -> None:
    now = conditions(open_dataset(copy.parent / "data"), "cpu")
    assert write_lock(copy, now, "data") == []
    other = {**now, "packages": {**now["packages"], "torch": "9.9"}, "driver": "555.1"}
    said = write_lock(copy, other, "data")
    torch = now["packages"]["torch"]
    assert said == [
        f"began with torch {torch}, now 9.9: figures may differ",
        "began with driver not there, now 555.1: figures may differ",
    ]
    assert write_lock(copy, other, "data") == said
    assert [its["changed"] for its in read_lock(copy)["since"]] == [
        {"torch": [torch, "9.9"], "driver": [None, "555.1"]}
    ]


def test_a_damaged_lock_is_named(copy: Path) -> None:
    (copy / "study.lock.json").write_text("[]")
    with pytest.raises(InputError, match=r"study\.lock.json: is not what catscale search run writes"):
        read_lock(copy)


@pytest.fixture
def path_with_catscale(tmp_path: Path) -> str:
    """A PATH whose `catscale` is the one under test."""
    program = tmp_path / "bin" / "catscale"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m catscale.cli "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def test_the_command_of_a_moved_folder_trains_as_search_train_does(copy: Path, path_with_catscale: str) -> None:
    row = read_study(copy).front[0]
    command = copy / "front" / str(row.number) / "command.txt"
    assert str(copy.parent) not in command.read_text()
    done = subprocess.run(
        ["sh", command.relative_to(copy)],
        cwd=copy,
        env={**os.environ, "PATH": path_with_catscale},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = read_study(copy)
    dataset = finals_data(record)
    run = train_in_full(record, row, dataset, copy / "here", epochs=None, seed=0, device="cpu")
    assert len(losses(run.path)) == 3  # three times the study's
    assert losses(run.path) == losses(copy / "trained" / str(row.number))


def test_a_choice_is_trained_on_a_copied_folder_and_judged_once_on_test(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_selected(copy, how="best", epochs=1, device="cpu")
    lines = {line.strip().split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "measured" in lines["Latency"]
    assert "never seen" in lines["AP (test)"]
    (run,) = (copy / "selected").iterdir()
    kept = json.loads((run / "test.json").read_text())
    assert (kept["split"], kept["images"]) == ("test", 4)
    (run / "test.json").write_text(json.dumps({**kept, "ap": 0.123}))  # if it were taken again, this would go
    train_selected(copy, how="best", epochs=1, device="cpu", as_json=True)
    again = capsys.readouterr()
    assert "has been evaluated on test before" in again.err
    found = json.loads(again.out)
    assert (found["in_full"]["test"]["ap"], found["folder"]) == (0.123, str(run))
    assert found["in_study"]["latency_is"] == "measured"
    assert [path.name for path in (copy / "selected").iterdir()] == [run.name]


def test_without_a_test_split_ap_is_said_to_be_of_val(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy.parent / "data" / "annotations" / "instances_test.json").unlink()
    train_selected(copy, epochs=1, device="cpu")
    said = capsys.readouterr()
    assert "has no test split: AP is of val, by which it was chosen, and too high" in said.err
    assert "no test split" in said.out
    assert not list(copy.glob("selected/*/test.json"))


def test_data_that_is_gone_or_another_is_refused(place: Path, copy: Path, tmp_path: Path) -> None:
    record = read_study(copy)
    moved = (copy.parent / "data").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"its data is not at .*data any more; say where it is by --data"):
        finals_data(record)
    assert finals_data(record, str(moved)).source == str(moved)
    relabel(moved)
    with pytest.raises(InputError, match="is not the data that the study saw"):
        finals_data(record, str(moved))
    # Of a folder that was copied alone, the data is found where it was.
    alone = shutil.copytree(place / "study", tmp_path / "deep" / "alone")
    assert read_study(alone).study.data == str(place / "data")


def test_a_trial_whose_folder_is_gone_is_named(copy: Path) -> None:
    number = read_study(copy).front[0].number
    shutil.rmtree(copy / "trials" / str(number))
    with pytest.raises(InputError, match=f"the folder of trial {number} is gone"):
        train_selected(copy, how=str(number), device="cpu")
    assert not (copy / "selected").exists()


def test_finalists_are_trained_with_other_seeds_and_go_on_after_an_interrupt(copy: Path) -> None:
    record = read_study(copy)
    rows, seeds = finalists(record, 1), other_seeds(record.study, 2)
    assert seeds == [1, 2]  # the study trained with 0
    dataset = finals_data(record)
    trained: list[str] = []

    def interrupt(number: int, epoch: Any) -> None:
        raise KeyboardInterrupt

    settings: dict[str, Any] = {"seeds": seeds, "epochs": 1, "device": "cpu", "say": trained.append}
    with pytest.raises(KeyboardInterrupt):
        repeat(record, rows, dataset, **settings, watch=interrupt)
    assert trained == []
    moved = (copy.parent / "data").rename(copy.parent / "moved")
    dataset = finals_data(record, str(moved))
    scores = repeat(record, rows, dataset, **settings)
    assert [line.split(":")[0] for line in trained] == [f"trial {rows[0].number} with seed {seed}" for seed in seeds]
    with (copy / "repeats.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(int(line["trial"]), int(line["seed"]), int(line["epochs"])) for line in lines] == [
        (rows[0].number, seed, 1) for seed in seeds
    ]
    assert scores[rows[0].number] == {int(line["seed"]): pytest.approx(float(line["ap"]), rel=1e-5) for line in lines}
    assert not list(copy.glob("repeats/*/*/test.json"))  # finalists are compared by val
    with pytest.raises(InputError, match=r"was trained for 1 epochs, .*, and this is for 2; say --epochs 1"):
        repeat(record, rows, dataset, **{**settings, "epochs": 2})


def test_repeats_are_told_as_plain_data(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_selected(copy, repeat_top=1, seeds=1, epochs=1, device="cpu", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (len(found["means"]), found["differences"], found["agreement"]) == (1, [], None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat_top": 99}, "--repeat-top 99: the front has "),
        ({"seeds": 2}, "--seeds: goes with --repeat-top"),
        ({"repeat_top": 2, "how": "knee"}, "--repeat-top: takes the best of the front"),
    ],
)
def test_what_cannot_be_repeated_is_refused(place: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train_selected(place / "study", device="cpu", **options)
