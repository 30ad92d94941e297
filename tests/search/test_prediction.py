"""Latencies of a study that come from a table: a bound before there is a trial, and no measurement."""

from pathlib import Path

import catscale
import pytest
from catscale.blocks.errors import InputError
from catscale.search.candidates import Bases
from catscale.search.dry_run import share_that_fits
from catscale.search.feasible import Feasible
from catscale.search.prediction import predictor
from catscale.search.study import Study

from ..scaler.latency_table.known_times import known_table

WIDTHS = (0.125, 0.25, 0.375, 0.5)
TINY = catscale.load("yolov7-tiny").replace(size=128)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "table.json"
    known_table([TINY.scale(width=w, compound=c) for w in WIDTHS for c in (0.5, 1, 1.5)]).write(path)
    return path


def study_of(table: Path, bound_ms: float, **latency: int) -> Study:
    return Study.model_validate(
        {
            "name": "predicted",
            "base": "yolov7-tiny",
            "space": {"width": {"choices": list(WIDTHS)}},
            "size_px": 128,
            "objectives": ["ap", "latency_ms"],
            "constraints": f"latency_ms <= {bound_ms}",
            "latency": {"predict": str(table), **latency},
            "trials": 2,
        }
    )


def test_what_is_predicted_above_the_bound_is_no_candidate(table: Path) -> None:
    known = catscale.LatencyTable.load(table)
    predicted = [known.predict(TINY.scale(width=width)).ms for width in WIDTHS]
    study = study_of(table, predicted[1] * 1.01)
    said: list[str] = []
    feasible = Feasible(study, Bases(study, predict=predictor(study, said.append)))
    assert [values["width"] for values in feasible.left(())] == list(WIDTHS[:2])
    assert str(share_that_fits(study, feasible)) == "2 of 4 (50.0%)"
    assert said[0].startswith(f"latencies are predicted by {table}, not measured: ")


def test_a_prediction_outside_of_the_table_is_said_once(table: Path) -> None:
    study = study_of(table, 1000)
    said: list[str] = []
    predict = predictor(study, said.append)
    assert predict is not None
    for size in (256, 512):
        assert predict(TINY.replace(size=size)) > 0
    assert len([line for line in said if "outside of what the table was calibrated on" in line]) == 1


def test_a_table_that_does_not_fit_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"latency\.predict: .*: batch is 1 there, 4 is asked"):
        predictor(study_of(table, 5, batch=4))
    with pytest.raises(InputError, match=r"predicted: latency\.predict: .*none\.json: cannot be read"):
        predictor(study_of(tmp_path / "none.json", 5))
