"""A study whose candidates begin with trained weights: all in the same way, checked before anything is trained."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import catscale
import pytest
import yaml
from catscale.blocks.errors import CatscaleError, InputError
from catscale.search.outcomes import Outcome
from catscale.search.run import run_study
from catscale.search.status import read_study
from catscale.search.study import load_study
from catscale.search.trial import Task
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.loop import train
from catscale.trainer.recipe import load_recipe
from catscale.trainer.run_folder import RunFolder

from .simulation import COMPLETE, simulate

Write = Callable[..., Path]
WIDTHS = {"width": {"choices": [0.5, 1.0, 1.5, 2.0]}}


@pytest.fixture(scope="module")
def run(tiny: Write) -> Path:
    """A run of the study's base, trained for an epoch on its data; gives its folder, beside the study files."""
    place = tiny("any").parent
    data = open_dataset(str(place / "data"))
    base = catscale.load(str(place / "base.yaml")).replace(classes=len(data.classes), size=64)
    train(base, data, load_recipe("quick", {"epochs": 1, "batch": 4}), place / "run")
    return place / "run"


def begun(tasks: list[Task]) -> dict[str, tuple[str, str] | None]:
    """By the names of detectors, the run that each began with and how."""
    return {
        task.architecture.name: None if task.start is None else (task.start.run.name, task.start.how) for task in tasks
    }


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ({"grow": "base"}, "start: base: begins with the trained bases, which references: false leaves out"),
        ({"grow": "base", "overlap": "run"}, "start: say either grow or overlap"),
        ({}, "start: say either grow or overlap"),
        ({"shrink": "base"}, "start: unknown key 'shrink'"),
    ],
)
def test_a_start_that_means_nothing_is_refused(tiny: Write, start: dict[str, str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        load_study(tiny("wrong", start=start))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:Heartbeat of storage:UserWarning")
def test_candidates_that_begin_with_their_base_wait_until_it_is_trained(tiny: Write, tmp_path: Path) -> None:
    path = tiny("waiting", start={"grow": "base"}, references=True, space=WIDTHS, trials=9)
    done: list[str] = []
    tasks: list[Task] = []

    def outcome(task: Task, *_: object) -> Outcome:
        tasks.append(task)
        assert task.start is None or done
        done.append(task.architecture.name)
        return COMPLETE

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(simulate, path, tmp_path, outcome=outcome) for _ in range(2)]
        rows = [one.result() for one in both][-1]
    # The narrower one does not grow out of the base. The base's equal is trained on from it, and no repeat of it.
    assert [(row.state, row.same_as) for row in rows] == [("complete", None)] * 4
    assert begun(tasks) == {"base": None, **dict.fromkeys(done[1:], ("0", "grow"))}
    assert sorted(row.values["width"] for row in rows if row.values) == [1.0, 1.5, 2.0]
    words = "every candidate begins with the weights of its trained base, which itself began with random ones, grown"
    assert words in " ".join(map(str, status_of(tmp_path)))


def status_of(folder: Path) -> list[str]:
    from catscale.search.status import status, status_lines

    return status_lines(status(read_study(folder)))


def test_a_base_that_is_never_trained_ends_the_study_with_the_reason(tiny: Write, tmp_path: Path) -> None:
    path = tiny("baseless", start={"overlap": "base"}, references=True)
    with pytest.raises(CatscaleError, match="no trained weights of base to begin with: trial 0 failed: broken"):
        simulate(path, tmp_path, outcome=lambda *_: Outcome("failed", "broken"))


def test_the_base_that_others_begin_with_is_kept(tiny: Write, tmp_path: Path) -> None:
    def outcome(task: Task, *_: object) -> Outcome:
        task.folder.mkdir(parents=True)
        RunFolder(task.folder).weights("best").touch()
        return COMPLETE

    simulate(
        tiny("kept", start={"grow": "base"}, references=True, space=WIDTHS, keep="none"), tmp_path, outcome=outcome
    )
    left = [number for number in (0, 1) if RunFolder(tmp_path / "trials" / str(number)).weights("best").exists()]
    assert left == [0]


def test_all_begin_with_one_run_which_the_study_keeps(tiny: Write, run: Path, tmp_path: Path) -> None:
    place = run.parent / "moved"
    shutil.copytree(run, place)
    path = tiny("one-run", start={"grow": "moved"}, space=WIDTHS, references=True)
    tasks: list[Task] = []

    def outcome(task: Task, *_: object) -> Outcome:
        tasks.append(task)
        return COMPLETE

    simulate(path, tmp_path / "study", outcome=outcome)
    assert set(begun(tasks).values()) == {("start", "grow")}  # the references too
    shutil.rmtree(place)
    stored = yaml.safe_load((tmp_path / "study" / "study.yaml").read_text())
    assert stored["start"] == {"grow": "start"}
    assert stored["contents"]["start"].startswith("grow ")
    changed = tmp_path / "study" / "study.yaml"
    rows = simulate(changed, tmp_path / "study", outcome=outcome)  # it needs no other file
    assert len(rows) == 2
    assert "the weights of one run (base, trained on" in " ".join(status_of(tmp_path / "study"))


def test_a_study_does_not_go_on_with_another_start(tiny: Write, run: Path, tmp_path: Path) -> None:
    simulate(tiny("started", start={"grow": "run"}), tmp_path)
    for start, is_ in (({"overlap": "run"}, r"\{'overlap': .*\}"), (None, "random weights")):
        with pytest.raises(InputError, match=f"start was {{'grow': .*}}, is {is_}: other weights to begin with"):
            run_study(load_study(tiny("started", **({"start": start} if start else {}))), tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": {"grow": "nowhere"}}, "start: grow: nowhere: no such run folder"),
        (
            {"start": {"grow": "run"}, "space": {"width": {"choices": [0.25, 0.5]}}},
            "start: none of the space's 2 candidates fits; the nearest cannot grow: .* does not grow out of base: "
            "stem.conv2: is narrower than the base's",
        ),
    ],
)
def test_what_cannot_begin_is_refused_before_anything_is_written(
    tiny: Write, run: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        run_study(load_study(tiny("unfit", **changes)), tmp_path / "study", device="cpu")
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_study_that_grows_goes_on_after_an_interrupt(cli: Any, tiny: Write, run: Path, tmp_path: Path) -> None:
    space = {"width": {"choices": [0.5, 1.0, 1.25]}, "compound": {"choices": [1.0, 1.5]}}
    path = tiny("grows", start={"grow": "run"}, space=space, trials=3, epochs=2, references=True)
    folder = tmp_path / "study"
    command = ["search", "run", path, "--folder", folder, "--device", "cpu"]
    cut = cli(*command, "--hours", 5 / 3600)
    assert "the time is up" in cut.stdout + cut.stderr
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    assert "every candidate begins with the weights of one run (base, trained on" in done.stdout
    rows = [row for row in read_study(folder).rows if row.state == "complete" and row.same_as is None]
    assert len(rows) == 3
    for row in rows:
        start = RunFolder(folder / "trials" / str(row.number)).read_facts().start
        assert start is not None
        assert (Path(start.run).name, start.how) == ("start", "grow")
        assert row.reference or row.values["width"] != 0.5
    report = cli("report", folder, "-o", tmp_path / "report")
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "report" / "index.html").read_text()
    assert "AP is not comparable with that of trainings from random weights" in page
    assert "from scratch" not in page
