"""What the reports' tests share: studies that are only files, and a browser to look at their pages."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from catscale.search.rows import Row, write_rows
from catscale.search.stored_study import write_study
from catscale.search.study import Study

from ..browser import BROWSER, WITHOUT, Browser

HEADER = "epoch,box,obj,cls,lr,instances,skipped,ap,ap50,ap75,train_seconds,val_seconds\n"


def known(ap: float, gflops: float, params: float, seconds: float) -> dict[str, float]:
    return {"ap": ap, "gflops": gflops, "params": params, "seconds": seconds}


ROWS = [
    Row(0, "complete", reference="tiny", figures=known(0.30, 2.0, 2e6, 9), name="tiny"),
    Row(1, "complete", values={"width": 0.5}, figures=known(0.35, 1.5, 1e6, 8), name="a"),
    Row(2, "complete", values={"width": 0.2}, figures=known(0.10, 0.5, 3e5, 7), name="b"),
    Row(3, "complete", values={"width": 0.3}, figures=known(0.09, 0.9, 5e5, 7), name="c"),
    Row(4, "refused", "over budget: <params> & more", values={"width": 2.0}, figures={"gflops": 9.0}, name="d"),
    Row(5, "failed", "out of memory", values={"width": 1.5}, figures={"gflops": 3.0}, name="e"),
    Row(6, "complete", "the same detector as trial 2: its result is reused", values={"width": 0.21},
        figures=known(0.10, 0.5, 3e5, 7), name="b", same_as=2),
]  # fmt: skip

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if BROWSER is None:
        pytest.skip(WITHOUT)
    running = Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


def make_study(
    place: Path,
    rows: list[Row],
    objectives: Any = ("ap", "gflops"),
    name: str = "small",
    device: str = "CPU",
    data: str = "shapes",
) -> Path:
    """Write a study's folder, with a learning curve for each trained trial."""
    study = Study.model_validate(
        {
            "name": name,
            "question": "Does <b>it</b> work?",
            "base": "yolov7-tiny",
            "space": {"width": {"low": 0.1, "high": 2.0}},
            "objectives": objectives,
            "trials": 8,
            "data": data,
        }
    )
    folder = place / "studies" / name
    write_study(study, folder / "study.yaml")
    write_rows(folder / "trials.csv", study, rows)
    session = {"device": device, "cores": 2, "threads": 2, "platform": "Linux",
               "command": "catscale search run small.yaml", "started": "2026-01-01"}  # fmt: skip
    (folder / "hardware.json").write_text(json.dumps({"sessions": [session]}))
    for row in rows:
        if row.state in ("complete", "stopped") and row.same_as is None:
            run = folder / "trials" / str(row.number)
            run.mkdir(parents=True)
            lines = [f"{e},1,1,1,0.01,9,0,{row.figures['ap'] * e / 3},0.2,0.1,2,1\n" for e in (1, 2, 3)]
            (run / "results.csv").write_text(HEADER + "".join(lines))
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(rows: list[Row] = ROWS, objectives: Any = ("ap", "gflops"), **changes: Any) -> Path:
        return make_study(tmp_path, rows, objectives, **changes)

    return make
