"""Importances where it is known what matters: AP is made of the width, a little of the activation, and chance."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from catscale.blocks.errors import InputError
from catscale.reports.importance import importance_frame
from catscale.search.rows import Row, read_rows, write_rows
from catscale.search.status import StudyRecord
from catscale.search.study import Study

STUDY = Study.model_validate(
    {
        "name": "small",
        "base": "yolov7-tiny",
        "space": {
            "width": {"low": 0.1, "high": 2.0},
            "activation": {"choices": ["silu", "leaky_relu"]},
            "compound": {"choices": [0.5, 1.0, 1.5]},
        },
        "objectives": ["ap", "gflops"],
        "trials": 99,
    }
)


def study(trials: int, folder: Path, slope: float = 0.2) -> StudyRecord:
    """A study as it is read back from its table: values are words there. A reference stands apart from its trials."""
    rng = np.random.default_rng(5)
    rows = [Row(0, "complete", reference="yolov7-tiny", figures={"ap": 0.9, "gflops": 1.0})]
    for number in range(1, trials + 1):
        width, activation = float(rng.uniform(0.1, 2)), ["silu", "leaky_relu"][number % 2]
        ap = slope * width + slope * 0.1 * (activation == "silu") + 0.01 * slope * rng.normal() + 0.1
        values = {"width": width, "activation": activation, "compound": float(rng.choice([0.5, 1.0, 1.5]))}
        rows.append(Row(number, "complete", values=values, figures={"ap": ap, "gflops": 5 * width}))
    write_rows(folder / "trials.csv", STUDY, rows)
    return StudyRecord(folder, STUDY, read_rows(folder / "trials.csv", STUDY))


def by_parameter(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    return frame[frame["method"] == method].set_index("parameter")


def test_what_matters_is_found_by_every_method_with_its_interval(tmp_path: Path) -> None:
    frame = importance_frame(study(30, tmp_path), resamples=6)
    assert set(frame["objective"]) == {"ap"}  # FLOPs follow from the parameters, and are not asked about
    assert set(frame["trials"]) == {30}  # the reference is not among them
    for method in ("fanova", "mdi", "ped-anova"):
        found = by_parameter(frame, method)
        assert found.index[0] == "width"
        assert sum(found["importance"].tolist()) == pytest.approx(1)
        assert np.all(found["low"].to_numpy() <= found["high"].to_numpy())
        assert found["low"].tolist()[0] > max(found["high"].tolist()[1:])


def test_a_handful_of_trials_is_said_to_be_few_and_fewer_give_no_number(tmp_path: Path) -> None:
    few = importance_frame(study(8, tmp_path), methods=["ped-anova"], resamples=3)
    assert set(few["remark"]) == {"few trials (8 for 3 parameters): an interval this side of chance may be one"}
    none = importance_frame(study(3, tmp_path))
    assert np.isnan(none[["importance", "low", "high"]].to_numpy()).all()
    assert set(none["remark"]) == {"nothing can be said from 3 trials; 4 is the least"}


def test_equal_trials_give_no_number(tmp_path: Path) -> None:
    frame = importance_frame(study(9, tmp_path, slope=0.0), methods=["fanova"])
    assert np.isnan(frame["importance"].to_numpy()).all()
    assert set(frame["remark"]) == {"all trials are equally good"}


def test_without_scikit_learn_the_other_method_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catscale.reports.importance.find_spec", lambda name: None)
    frame = importance_frame(study(8, tmp_path), resamples=2)
    assert np.isnan(by_parameter(frame, "fanova")["importance"].to_numpy()).all()
    assert set(by_parameter(frame, "mdi")["remark"]) == {"needs scikit-learn: pip install 'catscale[importance]'"}
    assert not np.isnan(by_parameter(frame, "ped-anova")["importance"].to_numpy()).any()


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no method 'anova'; did you mean 'fanova'"):
        importance_frame(study(8, tmp_path), methods=["anova"])  # type: ignore[list-item]
