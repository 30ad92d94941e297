"""`catscale.reports` as a notebook has it."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from catscale import reports
from catscale.search.rows import Row, write_rows
from catscale.search.stored_study import write_study
from catscale.search.study import Study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    facts = {"name": "small", "base": "yolov7-tiny", "space": {"width": {"low": 0.1, "high": 2.0}}, "trials": 9}
    study = Study.model_validate({**facts, "objectives": ["ap", "gflops"]})
    rows = [
        Row(number, "complete", values={"width": 0.2 * number}, figures={"ap": 0.1 * number, "gflops": float(number)})
        for number in range(1, 6)
    ]
    write_study(study, tmp_path / "study.yaml")
    write_rows(tmp_path / "trials.csv", study, rows)
    return tmp_path


def test_every_frame_of_a_study_is_there_and_a_table_of_it_can_be_written(study: Path) -> None:
    record = reports.read_study(study)
    frames = {
        "trials": reports.trials_frame(record),
        "front": reports.front_frame(record),
        "curves": reports.curves_frame(record),
        "uncertainty": reports.uncertainty_frame(record),
        "differences": reports.differences_frame(record, 1),
        "importance": reports.importance_frame(record, methods=["ped-anova"], resamples=2),
        "progress": reports.progress_frame(record),
    }
    assert {name: len(frame) for name, frame in frames.items()} == {
        "trials": 5, "front": 5, "curves": 0, "uncertainty": 5, "differences": 4, "importance": 1, "progress": 5,
    }  # fmt: skip
    for name, frame in frames.items():
        assert isinstance(frame, pd.DataFrame)
        assert reports.markdown(frame).count("\n") == 2 + len(frame)
        assert rf"\label{{{name}}}" in reports.latex(frame, name, name)


def test_the_zoo_is_a_frame_beside_its_published_figures() -> None:
    frame = reports.zoo_frame(["yolov7", "yolor-w6-rcsp"])
    assert frame.loc["yolov7", "published.params_m"] == frame.loc["yolov7", "as_published.params_m"] == 36.9
    assert frame["published.params_m"].isna().tolist() == [False, True]


def test_the_door_names_what_it_has_and_opens_without_pandas() -> None:
    assert all(
        f"{name}(" in (reports.__doc__ or "") or f"`{name}`" in (reports.__doc__ or "") for name in reports.__all__
    )
    with pytest.raises(AttributeError, match="no attribute 'frames_of_all'"):
        _ = reports.frames_of_all
    code = "import sys, catscale.reports; assert not {'pandas', 'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
