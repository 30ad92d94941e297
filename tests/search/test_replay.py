"""Searches replayed: tables read and written, of real studies too, what strategies spend and find, and the verbs."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
from catscale.blocks.errors import InputError
from catscale.search.replay import Problem, Strategy, replay
from catscale.search.replay_table import Line, Table, read_table, table_of, write_table
from catscale.search.run import run_study
from catscale.search.study import load_study
from catscale.search.table_sources import yolobench_lines
from catscale.trainer.data.shapes import make_shapes

EPOCHS = 4
STUDY = """
name: tiny
base: base.yaml
space: {width: {choices: [0.25, 0.5]}}
objectives: [ap, gflops]
epochs: 2
trials: 2
sampler: {kind: grid}
overrides: {batch: 4}
size_px: 64
data: data
references: false
"""


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def lines() -> list[Line]:
    """48 candidates, two seeds: AP grows with the cost, less for words that are poor, and in steps with the epochs."""
    found = []
    for width in range(1, 9):
        for depth in (1, 2, 3):
            for kind, worth in (("good", 1.0), ("poor", 0.5)):
                cost = width * depth
                for seed in (0, 1):
                    for epoch in range(1, EPOCHS + 1):
                        ap = worth * (cost / 24) ** 0.5 * epoch / EPOCHS + 0.001 * seed
                        found.append(Line((width, depth, kind), seed, epoch, {"ap": ap, "gflops": float(cost)}))
    return found


@pytest.fixture(scope="module")
def table() -> Table:
    return table_of(("width", "depth", "kind"), lines(), "made up")


def test_a_table_reads_back_as_it_was_written(tmp_path: Path, table: Table) -> None:
    write_table(tmp_path / "t.csv", table.parameters, lines(), ["a remark"])
    again = read_table(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[:2] == ["# a remark", "width,depth,kind,seed,epoch,ap,gflops"]
    assert (again.parameters, again.domains, again.epochs) == (table.parameters, table.domains, EPOCHS)
    values = (8, 3, "good")
    assert again.results[values].costs == {"gflops": 24.0}
    assert again.results[values].final("ap") == pytest.approx(1.0005)
    assert again.domains["kind"] == ("good", "poor")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("width,ap\n1,x\n", r":2: is not a result: could not convert string to float: 'x'"),
        ("# r\nwidth,ap\n1\n", r":3: is not a result"),
        ("width,width,ap\n1,1,1\n", "the column 'width' stands twice"),
        ("width,gflops\n1,1\n", "has no column ap or ap50"),
        ("ap,gflops\n1,1\n", "has no column for a parameter"),
        ("width,epoch,ap\n1,1,0.1\n1,3,0.2\n", "the epochs of seed 0 are not 1 to 2"),
        ("width,epoch,ap\n1,1,0.1\n1,1,0.2\n", "epoch 1 of seed 0 stands twice"),
        ("width,ap\n1,nan\n", "ap is nan"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "t.csv")


def problem(table: Table, **changes: Any) -> Problem:
    return Problem(table, ("ap", "gflops"), **{"constraints": {"gflops": 8.0}, "rungs": (1, 2), **changes})


def test_the_filter_spends_nothing_on_what_does_not_fit_and_finds_all_that_does(table: Table) -> None:
    task = problem(table)
    fit = sum(cost <= 8 for width in range(1, 9) for depth in (1, 2, 3) if (cost := width * depth)) * 2
    trace = replay(task, Strategy("random", "none", "fitting"), 10_000, 0)
    assert (trace.trained, trace.unfit, trace.spent[-1]) == (fit, 0, fit * EPOCHS)
    assert trace.share[-1] == pytest.approx(1)
    assert all(after >= before - 1e-9 for before, after in pairwise(trace.share))


def test_without_it_budget_goes_to_what_does_not_fit(table: Table) -> None:
    trace = replay(problem(table), Strategy("random"), 40 * EPOCHS, 0)
    assert trace.trained == 40
    assert trace.unfit > 10


@pytest.mark.parametrize("stop", ["front", "halving"])
def test_stopping_trains_more_candidates_for_the_same_budget_and_loses_none(table: Table, stop: Any) -> None:
    task, budget = problem(table, constraints={}), 30 * EPOCHS
    whole, stopping = (replay(task, Strategy("random", kind, "new"), budget, 3) for kind in ("none", stop))
    assert stopping.trained + stopping.stopped > whole.trained + whole.stopped
    assert stopping.share[-1] >= whole.share[-1]
    everything = replay(task, Strategy("random", stop, "new"), 10_000, 3)
    assert (everything.trained, everything.stopped, everything.share[-1]) == (48, 0, pytest.approx(1))
    assert everything.spent[-1] == 48 * EPOCHS  # a stopped trial goes on from where it was


def test_a_replay_follows_from_its_seed_also_with_many_workers(table: Table) -> None:
    task = problem(table, workers=4)
    one, same, other = (replay(task, Strategy("tpe", "halving", "fitting"), 60, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "nsga3", "qmc", "random"])
def test_every_sampler_keeps_within_the_budget(table: Table, sampler: Any) -> None:
    for proposals in ("any", "fitting"):
        trace = replay(problem(table), Strategy(sampler, "none", proposals), 15 * EPOCHS + 1, 0)
        assert trace.trained == 15
        assert max(trace.spent) <= 15 * EPOCHS


@pytest.mark.usefixtures("brief_latency")
def test_real_studies_become_a_table(tmp_path: Path, cli: Callable[..., Any]) -> None:
    make_shapes(tmp_path / "data", train=8, val=4, test=0, size_px=64)
    (tmp_path / "base.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.25}\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    run_study(load_study(tmp_path / "study.yaml"), tmp_path / "seed0", device="cpu")
    shutil.copytree(tmp_path / "seed0", tmp_path / "seed1")
    stored = tmp_path / "seed1" / "study.yaml"
    stored.write_text(stored.read_text().replace("seed: 0", "seed: 1"))
    done = cli("search", "table", "seed0", "seed1", "-o", "table.csv", cwd=tmp_path)
    assert done.stdout == "2 candidates, 8 lines saved to table.csv\n"
    table = read_table(tmp_path / "table.csv")
    assert (table.parameters, table.domains, table.epochs) == (("width",), {"width": (0.25, 0.5)}, 2)
    assert {"gflops", "params", "latency_ms"} <= set(table.costs)
    assert all(len(result.scores["ap"]) == 2 for result in table.results.values())
    twice = cli("search", "table", "seed0", "seed0", "-o", "table.csv", cwd=tmp_path)
    assert (twice.returncode, "its seed 0 is another study's too" in twice.stderr) == (2, True)


def test_the_verb_compares_strategies_and_draws_them(tmp_path: Path, cli: Callable[..., Any]) -> None:
    write_table(tmp_path / "t.csv", ("width", "depth", "kind"), lines())
    command = ("search", "replay", "t.csv", "--samplers", "random", "--stop", "none,halving", "--repeats", "3")
    bound = ("--constraint", "gflops <= 8")
    done = cli(*command, *bound, "-o", "out", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["label"] for one in found["strategies"]] == [
        "random", "random + halving", "random + fitting", "random + fitting + halving",
    ]  # fmt: skip
    assert (found["candidates"], found["fitting"], found["epochs"], found["rungs"]) == (48, 28, 4, [1, 2, 3])
    assert found["strategies"][2]["saving"] > 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"steps.csv", "replay.png", "replay.svg"}
    assert (tmp_path / "out/steps.csv").read_text().startswith("strategy,repeat,spent,share\nrandom,0,")
    for wrong, words in (
        (("--constraint", "gflops <= 0.5"), "no candidate has gflops <= 0.5; the least is 1"),
        (("--constraint", "gflop<=8"), "--constraint: the table has no column 'gflop'; did you mean 'gflops'?"),
        (("--samplers", "tpee"), "--samplers: there is no 'tpee'; did you mean 'tpe'?"),
        (("--rungs", "4"), "--rungs: 4: must lie within 1 … 3"),
        (("--objectives", "gflops"), "name one of ap, and costs, each once"),
    ):
        refused = cli("search", "replay", "t.csv", *wrong, cwd=tmp_path)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr


@pytest.mark.realdata
def test_yolobench_is_572_variants_with_their_published_figures(real_data: Path) -> None:
    folder = real_data / "yolobench"
    if not folder.is_dir():
        pytest.skip(f"no YOLOBench tables at {folder}")
    parameters, found = yolobench_lines(folder)
    table = table_of(parameters, found, "yolobench")
    assert len(table.results) == len(found) == 572
    assert len({values for values in table.results if values[0] == "v7"}) == 44
    result = table.results[("v3", 1.0, 0.25, 160)]  # yolo3d1w25_160, the file's first line
    assert (result.final("ap_voc"), result.costs["latency_ms_openvino"]) == pytest.approx((0.45812, 2.52076), rel=1e-5)
