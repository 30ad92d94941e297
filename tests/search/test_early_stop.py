"""Early stopping in studies: real short ones, and many workers at once on a real storage with curves made up."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from catscale.blocks.errors import InputError
from catscale.search.curves import best_so_far
from catscale.search.early_stop import curves_of, early_stop
from catscale.search.fidelity import Stop
from catscale.search.rows import front
from catscale.search.run import run_study
from catscale.search.study import load_study
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.run_folder import EpochRow, RunFolder

AIMS: dict[str, Any] = {"ap": "maximize", "gflops": "minimize"}
EPOCHS = 8
STUDY = """
name: halved
base: base.yaml
space: {width: {choices: [0.25, 0.375, 0.5, 0.75]}}
objectives: [ap, params]
fidelity: {epochs: 2, rungs: [1], stop: halving}
trials: 9
sampler: {kind: grid}
overrides: {batch: 4}
size_px: 64
data: data
references: false
"""


def epoch_row(epoch: int, ap: float) -> EpochRow:
    return EpochRow(epoch, 0.1, 0.1, 0.1, 0.01, 8, 0, ap, ap, ap, 1.0, 1.0)


class Bench:
    """A study in a storage, whose trainings are made up: AP rises to an end that follows from the cost."""

    def __init__(self, folder: Path, objectives: dict[str, Any], storage: Any = None) -> None:
        self.folder, self.study = folder, SimpleNamespace(objectives=objectives)
        self.optuna = optuna.create_study(directions=list(objectives.values()), storage=storage)

    def train(self, check: Any, cost: float, luck: float) -> tuple[int, str]:
        """Train one made-up trial as a worker does; gives the epochs it had, and why it was stopped."""
        trial = self.optuna.ask()
        trial.set_user_attr("figures", {"gflops": cost})
        run = RunFolder(self.folder / "trials" / str(trial.number))
        rows: list[EpochRow] = []
        why = ""
        for epoch in range(1, EPOCHS + 1):
            rows.append(epoch_row(epoch, (cost / 20 + luck) * (1 - np.exp(-epoch / 3))))
            run.write_metrics(rows)
            if why := check(self, trial, rows[-1]):
                trial.set_user_attr("stopped", True)
                break
        figures = {"ap": best_so_far(row.ap for row in rows)[-1], "gflops": cost}
        trial.set_user_attr("figures", figures)
        self.optuna.tell(trial, [figures[name] for name in self.study.objectives])
        return len(rows), why


@pytest.mark.parametrize(("stop", "most"), [("front", 0.8), ("halving", 0.75)])
def test_many_workers_stop_what_is_beaten_each_on_what_it_finds_in_the_storage(
    tmp_path: Path, stop: Stop, most: float
) -> None:
    rng = np.random.default_rng(0)
    candidates = [(float(rng.integers(1, 8)), float(rng.uniform(-0.2, 0.2))) for _ in range(64)]
    bench = Bench(tmp_path, AIMS)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda c: bench.train(early_stop(stop, AIMS, EPOCHS), *c), candidates))
    trials = bench.optuna.get_trials()
    assert all(trial.state is optuna.trial.TrialState.COMPLETE and trial.values for trial in trials)
    assert sum(epochs for epochs, _ in done) < most * EPOCHS * len(candidates)
    assert {epochs for epochs, why in done if why} <= {2, 4, 6}
    curves = curves_of(trials, AIMS)
    assert sum(curve.final is None for curve in curves) == sum(bool(why) for _, why in done)
    if stop == "front":  # in truth as foreseen: without noise no member of the front is lost
        for (epochs, why), (cost, luck) in zip(done, candidates, strict=True):
            assert epochs == EPOCHS or any(
                c <= cost and c / 20 + other > cost / 20 + luck for c, other in candidates
            ), why


@pytest.mark.parametrize("stop", ["median", "hyperband", "asha"])
def test_with_one_objective_the_pruners_of_optuna_decide(tmp_path: Path, stop: Stop) -> None:
    bench = Bench(tmp_path, {"ap": "maximize"}, storage=f"sqlite:///{tmp_path / 'study.db'}")
    check = early_stop(stop, {"ap": "maximize"}, EPOCHS)
    assert [bench.train(check, 10.0, 0.0)[1] for _ in range(6)].count("") >= 3
    ends = [bench.train(check, 0.1, 0.0) for _ in range(6)]
    assert any(epochs < EPOCHS and f"pruned by {stop}" in why for epochs, why in ends)


@pytest.mark.parametrize(
    ("stop", "objectives", "rungs", "words"),
    [
        ("median", AIMS, None, "stop: median is for a single objective; with several, take front or halving"),
        ("front", AIMS, (8,), r"rungs: \[8\]: must lie within 1 … 7, before the last epoch"),
        ("front", {"ap": "maximize", "ap50": "maximize"}, None, "needs one of ap and ap50 as an objective"),
    ],
)
def test_what_does_not_fit_is_refused(stop: Stop, objectives: Any, rungs: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        early_stop(stop, objectives, EPOCHS, rungs)


@pytest.mark.usefixtures("brief_latency")
def test_a_study_stops_half_and_goes_on_with_them_when_nothing_new_is_left(tmp_path: Path) -> None:
    make_shapes(tmp_path / "data", train=8, val=4, test=0, size_px=64)
    (tmp_path / "base.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.25}\n")
    (tmp_path / "halved.yaml").write_text(STUDY)
    study = load_study(tmp_path / "halved.yaml")
    said: list[str] = []
    rows = run_study(study, tmp_path / "folder", device="cpu", say=said.append)
    stopped = [row for row in rows if row.state == "stopped"]
    complete = [row for row in rows if row.state == "complete"]
    assert stopped
    assert all("after epoch 1, not among the best" in row.reason for row in stopped)
    assert all("; goes on as trial " in row.reason for row in stopped)
    assert len(complete) == 4  # each candidate once, though it was stopped before
    assert sum("goes on" in line and "nothing new is left" in line for line in said) == len(stopped)
    for row in complete:
        metrics = RunFolder(tmp_path / "folder" / "trials" / str(row.number)).read_metrics()
        assert [line.epoch for line in metrics] == [1, 2]
    assert {row.number for row in front(study, rows)} <= {row.number for row in complete}
