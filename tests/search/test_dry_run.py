"""What a study would do and take, before anything of it is done."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from catscale.search.candidates import Bases
from catscale.search.dry_run import share_that_fits
from catscale.search.feasible import Feasible
from catscale.search.planner import Hours, Pace, time_left
from catscale.search.rows import Row
from catscale.search.status import StudyRecord, status, status_lines, trial_line
from catscale.search.study import Study
from catscale.search.study_data import open_study_data, share_of
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from hypothesis import given
from hypothesis import strategies as st

DOCUMENT: dict[str, Any] = {
    "name": "planned",
    "base": "yolov7-tiny",
    "space": {"width": {"choices": [0.125, 0.25]}},
    "objectives": ["ap", "gflops"],
    "trials": 10,
    "size_px": 64,
    "recipe": "quick",
    "epochs": 1,
    "overrides": {"batch": 4},
}


@given(st.floats(0, 1), st.floats(1e-12, 1e-9), st.floats(0, 1e-8))
def test_a_pace_that_is_linear_is_found(always: float, each_mac: float, each_activation: float) -> None:
    macs, activations = np.array([1e9, 2e9, 4e9, 8e9]), np.array([3e6, 2e6, 9e6, 4e6])
    seconds = always + each_mac * macs + each_activation * activations
    assert Pace.fitted(macs, activations, seconds).seconds(macs, activations) == pytest.approx(seconds, rel=1e-5)


def test_two_measurements_scale_by_macs_and_an_interval_widens_with_the_misfit() -> None:
    assert Pace.fitted([1e9, 2e9], [1e6, 1e6], [1.0, 2.0]).seconds([4e9], [1e6]).tolist() == pytest.approx([4.0])
    good, bad = (Pace.fitted([1e9, 2e9, 3e9, 4e9], [1e6] * 4, took) for took in ([1, 2, 3, 4], [1, 4, 1, 4]))
    one, other = (pace.hours([2e9], [1e6], 3600) for pace in (good, bad))
    assert one.low < one.middle < one.high
    assert other.high / other.middle > one.high / one.middle


def finished(number: int, macs: float, seconds: float, **values: float) -> Row:
    counts = {"params": 1e6, "gflops": 2 * macs / 1e9, "macs": macs, "activations": 1e6}
    figures = {"ap": 0.1, "latency_ms": 1.0, "seconds": seconds, **counts}
    return Row(number, "complete", figures=figures, values=values)


CONTINUUM = {**DOCUMENT, "space": {"width": {"low": 0.1, "high": 1.0}}}
DONE = [finished(number, macs, macs / 1e9 * 360) for number, macs in enumerate((1e9, 2e9, 3e9, 4e9))]


def test_time_left_follows_from_the_trials_that_are_done() -> None:
    study, rows = Study.model_validate(CONTINUUM), DONE
    left = time_left(study, rows)
    assert left
    assert left.middle == pytest.approx(6 * 0.25)  # six more, at a quarter of an hour in the mean
    assert left.low < left.middle < left.high
    assert time_left(study, rows, workers=2) == Hours(left.low / 2, left.middle / 2, left.high / 2)
    assert time_left(study, []) is None
    bounded = Study.model_validate({**CONTINUUM, "budget": {"hours": 0.1}})
    assert time_left(bounded, rows) == Hours(0.1, 0.1, 0.1)
    one_left = time_left(Study.model_validate({**CONTINUUM, "trials": 5}), rows, workers=8)
    assert one_left
    assert one_left.middle == pytest.approx(0.25)  # which is not shared


def test_hours_of_training_are_shared_by_the_workers() -> None:
    document = {**CONTINUUM, "budget": {"gpu_hours": 1.5}}  # of which one is spent
    del document["trials"]
    study = Study.model_validate(document)
    assert time_left(study, DONE, workers=2) == Hours(0.25, 0.25, 0.25)


def test_no_more_time_is_left_than_candidates_are() -> None:
    study = Study.model_validate(DOCUMENT)  # two candidates, of which one has been trained
    left = time_left(study, [finished(0, 1e9, 360, width=0.125)])
    assert left
    assert left.middle == pytest.approx(0.1)


def test_status_and_the_lines_of_a_run_tell_the_time_left(tmp_path: Path) -> None:
    study = Study.model_validate(CONTINUUM)
    found = status(StudyRecord(tmp_path, study, DONE))
    assert found["hours_left"] == asdict(time_left(study, DONE))  # type: ignore[arg-type]
    assert any(line.startswith("with one worker it has about 1.5 hours (") for line in status_lines(found))
    line = trial_line(study, DONE[0], 4, Hours(0.1, 0.2, 0.3))
    assert line.endswith("; about 12.0 minutes (6.0 to 18.0) of training left")
    over = status(StudyRecord(tmp_path, study.model_copy(update={"trials": 4}), DONE))
    assert over["hours_left"] is None
    assert not any("left" in line for line in status_lines(over))


def test_the_share_that_fits_is_exact_of_a_finite_space_and_an_interval_of_a_continuum() -> None:
    whole = {"width": {"low": 0.1, "high": 1.0, "step": 0.001}}
    continuum = {"width": {"low": 0.1, "high": 1.0}}
    shares = []
    for space in (whole, continuum):
        study = Study.model_validate({**DOCUMENT, "space": space, "constraints": "params <= 2e6"})
        shares.append(share_that_fits(study, Feasible(study, Bases(study))))
    exact, sampled = shares
    assert (exact.exact, exact.of, sampled.exact) == (True, 901, False)
    assert sampled.low < exact.fit / exact.of < sampled.high
    assert {name for share in shares for name in share.left_out} == {"over budget"}
    assert [share.fit + share.left_out["over budget"] for share in shares] == [share.of for share in shares]


def test_the_share_that_fits_counts_every_training_of_a_detector() -> None:
    space = {"width": {"choices": [0.125, 0.25]}, "recipe.lr0": {"choices": [0.01, 0.02, 0.04]}}
    study = Study.model_validate({**DOCUMENT, "space": space, "constraints": "params <= 2e5"})
    share = share_that_fits(study, Feasible(study, Bases(study)))
    assert (share.fit, share.of, share.left_out) == (3, 6, {"over budget": 3})


def test_a_dry_run_tells_and_writes_nothing(cli: Any, tmp_path: Path) -> None:
    make_shapes(tmp_path / "data", train=8, val=4, test=4, size_px=64)
    (tmp_path / "planned.yaml").write_text(yaml.safe_dump({**DOCUMENT, "data": "data", "constraints": "params <= 2e5"}))
    before = sorted(path for path in tmp_path.rglob("*"))
    result = cli("search", "run", tmp_path / "planned.yaml", "--dry-run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "fits: 1 of 2 (50.0%)\n  left out, 1: over budget" in result.stdout
    assert "reference yolov7-tiny: over budget: params" in result.stdout
    assert '{"width": 0.125}: yolov7-tiny-width0.125' in result.stdout
    assert "all 10 trials, one after another: " in result.stdout
    assert "ms for a step of 4 images" in result.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_search_never_sees_the_test_split_and_warns_where_there_is_none(tmp_path: Path) -> None:
    said: list[str] = []
    for name, test in (("with", 2), ("without", 0)):
        make_shapes(tmp_path / name, train=4, val=2, test=test, size_px=64)
        study = Study.model_validate({**DOCUMENT, "data": str(tmp_path / name)})
        assert set(open_study_data(study, said.append).splits) == {"train", "val"}
    (line,) = said
    assert "without: warning: it has no test split" in line


def test_a_share_of_the_images_is_part_of_a_larger_share(tmp_path: Path) -> None:
    make_shapes(tmp_path, train=10, val=1, test=0, size_px=64)
    split = open_dataset(tmp_path).split("train")
    half, most = (share_of(split, share, 0).images for share in (0.5, 0.8))
    assert (len(half), len(most)) == (5, 8)
    assert {image.path for image in half} < {image.path for image in most}
