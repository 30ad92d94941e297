"""A study's progress beside draws from its own trials: against every order there is, and the hypervolume itself."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from catscale.reports import progress
from catscale.reports.progress import progress_frame
from catscale.search.hypervolume import hypervolume
from catscale.search.rows import Row
from catscale.search.status import StudyRecord
from catscale.search.study import Study

HEADER = "epoch,box,obj,cls,lr,instances,skipped,ap,ap50,ap75,train_seconds,val_seconds\n"


def study(folder: Path, rows: list[Row], objectives: tuple[str, ...] = ("ap", "gflops")) -> StudyRecord:
    facts = {"name": "small", "base": "yolov7-tiny", "space": {"width": {"low": 0.1, "high": 2.0}}, "trials": 9}
    for row in rows:
        run = folder / "trials" / str(row.number)
        run.mkdir(parents=True)
        epochs = 1 if row.state == "stopped" else 3
        (run / "results.csv").write_text(
            HEADER + "".join(f"{e},1,1,1,0.1,9,0,0.1,0.2,0.1,2,1\n" for e in range(epochs))
        )
    return StudyRecord(folder, Study.model_validate({**facts, "objectives": objectives}), rows)


def trained(number: int, ap: float, gflops: float, **more: object) -> Row:
    figures = {"ap": ap, "gflops": gflops, "params": 1e6 * (1 + number % 3), "seconds": 1800.0}
    return Row(number, "complete", figures=figures, **more)  # type: ignore[arg-type]


FIVE = [trained(1, 0.1, 1.0), trained(2, 0.3, 3.0), trained(3, 0.2, 2.5), trained(4, 0.4, 9.0), trained(5, 0.05, 8.0)]


def share(rows: list[Row]) -> float:
    def volume(some: list[Row]) -> float:
        points = [[row.figures["ap"], np.log(row.figures["gflops"])] for row in some]
        return hypervolume(points, ["maximize", "minimize"], [0.05, np.log(9.0)])

    return volume(rows) / volume(FIVE)


def test_the_share_is_that_of_the_hypervolume(tmp_path: Path) -> None:
    frame = progress_frame(study(tmp_path, FIVE))
    assert frame["share"].tolist() == pytest.approx([share(FIVE[:n]) for n in range(1, 6)])
    assert frame["number"].tolist() == [1, 2, 3, 4, 5]
    assert frame["exact"].tolist() == [True] * 5


def test_random_draws_are_expected_to_find_what_they_find_over_all_orders(tmp_path: Path) -> None:
    frame = progress_frame(study(tmp_path, FIVE), permutations=400)
    orders = list(permutations(FIVE))
    expected = [np.mean([share(list(order[:n])) for order in orders]) for n in range(1, 6)]
    assert frame["random"].tolist() == pytest.approx(expected)
    lowest = min(share([row]) for row in FIVE)
    assert frame.loc[0, "random_low"] == pytest.approx(lowest, abs=0.01)
    assert frame.loc[4, ["random_low", "random_high"]].tolist() == pytest.approx([1, 1])


def test_stopped_trainings_cost_and_references_and_repeats_do_not(tmp_path: Path) -> None:
    rows = [
        Row(0, "complete", reference="tiny", figures={"ap": 0.9, "gflops": 0.1, "seconds": 9e9}),
        trained(1, 0.1, 1.0),
        Row(2, "stopped", "not promising", figures={"ap": 0.01, "gflops": 1.0, "seconds": 600.0}),
        Row(3, "stopped", "not promising; goes on as trial 5", figures={"ap": 0.01, "gflops": 1.0, "seconds": 600.0}),
        Row(4, "complete", figures=trained(4, 0.1, 1.0).figures, same_as=1),
        trained(5, 0.2, 2.0),
    ]
    frame = progress_frame(study(tmp_path, rows))
    assert frame["number"].tolist() == [1, 5]
    assert frame["trials"].tolist() == [1, 3]
    assert frame["epochs"].tolist() == [3, 7]
    assert frame["hours"].tolist() == pytest.approx([0.5, 7 / 6])
    assert frame["random_hours"].tolist() == pytest.approx([7 / 12, 7 / 6])


@pytest.mark.parametrize("objectives", [("ap",), ("ap", "gflops", "params")])
def test_one_objective_or_three_begin_somewhere_and_end_with_all(tmp_path: Path, objectives: tuple[str, ...]) -> None:
    frame = progress_frame(study(tmp_path, FIVE, objectives))
    assert np.all(np.diff(frame["share"]) >= 0)
    assert np.all(np.diff(frame["random"]) > 0)
    assert frame.loc[4, ["share", "random"]].tolist() == pytest.approx([1, 1])


def test_many_cells_are_sampled_instead_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = progress_frame(study(tmp_path / "a", FIVE))
    monkeypatch.setattr(progress, "MOST_CELLS", 10)
    sampled = progress_frame(study(tmp_path / "b", FIVE))
    assert sampled["exact"].tolist() == [False] * 5
    assert sampled["random"].tolist() == pytest.approx(exact["random"].tolist(), abs=0.01)


def test_nothing_trained_is_an_empty_frame_and_equal_trials_have_no_share(tmp_path: Path) -> None:
    assert progress_frame(study(tmp_path / "none", [])).empty
    alike = progress_frame(study(tmp_path / "alike", [trained(1, 0.1, 1.0), trained(2, 0.1, 1.0)]))
    assert np.isnan(alike[["share", "random"]].to_numpy()).all()
