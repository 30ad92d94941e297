"""How long the report of a large study takes to make, and its page to load; nothing is trained.

Run by `make bench`. Ten thousand trials that are only files: 9,000 with a learning curve of twelve epochs each, the
others refused, stopped or failed; architectures of the front's members are drawn. Bars: made within 20 s, of at most
20 MB, and loaded by headless Chromium within 3 s.
"""

import json
import time
from pathlib import Path

import catscale
import numpy as np
import pytest
from catscale.reports.page import write_report
from catscale.search.rows import Row, write_rows
from catscale.search.status import read_study
from catscale.search.stored_study import write_study
from catscale.search.study import Study

from ..browser import BROWSER, WITHOUT, Browser

TRIALS, EPOCHS = 10_000, 12
HEADER = "epoch,box,obj,cls,lr,instances,skipped,ap,ap50,ap75,train_seconds,val_seconds\n"


def large_study(folder: Path) -> None:
    """AP grows with the logarithm of FLOPs, with noise, and over the epochs."""
    study = Study.model_validate(
        {
            "name": "large",
            "question": "Does a page of ten thousand trials stay of use?",
            "base": "yolov7-tiny",
            "space": {
                "width": {"low": 0.1, "high": 1.0},
                "compound": {"choices": [0.5, 1.0, 1.5]},
                "activation": {"choices": ["silu", "leaky_relu"]},
            },
            "objectives": ["ap", "gflops", "latency_ms"],
            "trials": TRIALS,
        }
    )
    rng = np.random.default_rng(0)
    rows = []
    for number in range(TRIALS):
        width, compound = float(rng.uniform(0.1, 1.0)), float(rng.choice([0.5, 1.0, 1.5]))
        gflops = 6 * width**2 * compound
        counted = {"gflops": gflops, "params": 6e6 * width**2 * compound, "latency_ms": 2 + 3 * gflops**0.7}
        values = {"width": round(width, 4), "compound": compound, "activation": str(rng.choice(["silu", "leaky_relu"]))}
        ap = 0.25 + 0.07 * np.log(gflops) + rng.normal(0, 0.02)
        results = {"ap": float(max(ap, 0.001)), "ap50": float(max(1.6 * ap, 0.002)), "seconds": 40 + 10 * gflops}
        state = ("refused", "failed", "stopped", "complete")[min(int(rng.integers(30)), 3)]
        reason = {"refused": f"over budget: FLOPs {gflops:.2f} G", "failed": "out of memory", "complete": "",
                  "stopped": f"{ap:.3f} after epoch 3; trial 1 costs no more"}[state]  # fmt: skip
        figures = {**counted, **(results if state in ("complete", "stopped") else {})}
        figures["latency_iqr_ms"] = 0.05 * counted["latency_ms"]
        rows.append(Row(number, state, reason, values=values, figures=figures, name=f"yolov7-tiny-width{width:.4f}"))
    write_study(study, folder / "study.yaml")
    write_rows(folder / "trials.csv", study, rows)
    session = {"device": "CPU", "cores": 2, "threads": 2, "platform": "Linux", "versions": {"torch": "2"},
               "command": "catscale search run large.yaml", "started": "2026-01-01"}  # fmt: skip
    (folder / "hardware.json").write_text(json.dumps({"sessions": [session]}))
    for row in rows:
        if row.state in ("complete", "stopped"):
            epochs = range(1, EPOCHS + 1 if row.state == "complete" else 4)
            ap = row.figures["ap"]
            lines = [f"{e},1,1,1,0.01,9,0,{ap * (1 - 0.7**e):.5f},0.2,0.1,3,1\n" for e in epochs]
            run = folder / "trials" / str(row.number)
            run.mkdir(parents=True)
            (run / "results.csv").write_text(HEADER + "".join(lines))
    base = catscale.load("yolov7-tiny")
    for row in read_study(folder).front:
        scaled = base.scale(width=float(row.values["width"])).to_yaml()
        (folder / "trials" / str(row.number) / "architecture.yaml").write_text(scaled)


def test_ten_thousand_trials(tmp_path: Path) -> None:
    large_study(tmp_path / "study")
    start = time.perf_counter()
    write_report([read_study(tmp_path / "study")], tmp_path / "out")
    made_s = time.perf_counter() - start
    page = tmp_path / "out" / "index.html"
    print(f"\n{TRIALS:,} trials: made in {made_s:.1f} s, {page.stat().st_size / 1e6:.1f} MB")
    if BROWSER is None:
        pytest.skip(WITHOUT)
    browser = Browser(tmp_path / "browser")
    try:
        for width in (1366, 390):
            loads = [browser.open(page, width) for _ in range(3)]
            start = time.perf_counter()
            browser.run("document.querySelector('.all-trials th:nth-child(3) button').click()")
            sorted_s = time.perf_counter() - start
            print(f"{width} px: loaded in {', '.join(f'{load:.2f}' for load in loads)} s, sorted in {sorted_s:.2f} s")
        assert browser.complaints() == []
    finally:
        browser.close()
