"""What search strategies find for their budget, replayed on tables of finished results; nothing is trained.

Run by `make bench`. Ours beside Optuna's samplers as they are by default: 20 repetitions each with the same seeds; the
budget is epochs trained until 95 % of the hypervolume of the table's own front (trainings, on YOLOBench). Two tables.
One of our own: 120 narrow variants of yolov7-tiny on 291 training photographs of blood cells, 12 epochs, two seeds
(small: the spread of a candidate's AP over seeds is half of that over the candidates); its curves allow early stopping.
YOLOBench: 572 variants, AP on COCO and latency on a Raspberry Pi 5, AP on VOC and latency on a Jetson Nano; final
results only. Each with a constraint that some two fifths of the candidates keep, and without: the filter can only help
where a constraint is active.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from catscale.search.replay import Problem, Strategy, Trace, replay
from catscale.search.replay_summary import SHARE, summaries
from catscale.search.replay_table import Table, read_table, table_of
from catscale.search.stopping import default_rungs
from catscale.search.table_sources import yolobench_lines
from joblib import Parallel, delayed

OWN = Path(__file__).resolve().parents[2] / "studies" / "narrow-tiny-bccd.csv"
REPEATS = 20
BASELINES = [Strategy("tpe"), Strategy("random"), Strategy("nsga2")]
COLUMNS = "{:26} {:>7} {:>5} {:>8} {:>7} {:>15} {:>7} {:>8}"

pytestmark = pytest.mark.timeout(900)


def compare(
    table: Table, objectives: tuple[str, str], constraints: Mapping[str, float], ours: list[Strategy], budget: int
) -> None:
    problem = Problem(table, objectives, constraints, default_rungs(table.epochs))
    strategies = [*BASELINES, *ours]
    work = [(strategy, seed) for strategy in strategies for seed in range(REPEATS)]
    one = delayed(replayed)
    done = Parallel(n_jobs=os.cpu_count())(one(problem, strategy, budget, seed) for strategy, seed in work)
    found = cast(list[Trace], done)
    traces = {it: [trace for (own, _), trace in zip(work, found, strict=True) if own == it] for it in strategies}
    print(f"\n{', '.join(objectives)}; {dict(constraints) or 'no constraint'}: {len(problem.fitting)} candidates fit")
    print(COLUMNS.format("strategy", "budget", "±", "reached", "× less", "95 % interval", "trained", "stopped"))
    for it in summaries(traces, budget):
        interval = f"{it.saving_low:.2f} … {it.saving_high:.2f}"
        cells = (f"{it.budget_mean:.0f}", f"{it.budget_sd:.0f}", f"{it.reached}/{REPEATS}", f"{it.saving:.2f}")
        print(COLUMNS.format(it.label, *cells, interval, f"{it.trained:.0f}", f"{it.stopped:.0f}"), flush=True)


def replayed(problem: Problem, strategy: Strategy, budget: int, seed: int) -> Trace:
    """One repetition, until the share is reached; in a process of its own, which has its own log level."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return replay(problem, strategy, budget, seed, until=SHARE)


@pytest.mark.parametrize("constraints", [{"gflops": 0.03}, {}])
def test_on_curves_of_our_own(constraints: dict[str, float]) -> None:
    which = "fitting" if constraints else "new"
    ours = [Strategy(sampler, stop, which) for sampler in ("tpe", "ehvi") for stop in ("none", "front", "halving")]
    table = read_table(OWN)
    compare(table, ("ap", "gflops"), constraints, ours, len(table.results) * table.epochs)


@pytest.mark.parametrize(
    ("score", "cost", "bound"),
    [
        ("ap_coco", "latency_ms_pi5_ort", 77.0),
        ("ap_coco", "latency_ms_pi5_ort", None),
        ("ap_voc", "latency_ms_nano_gpu", 64.0),
        ("ap_voc", "latency_ms_nano_gpu", None),
    ],
)
def test_on_yolobench(score: str, cost: str, bound: float | None, real_data: Path) -> None:
    folder = real_data / "yolobench"
    if not folder.is_dir():
        pytest.skip(f"no YOLOBench tables at {folder}")
    parameters, lines = yolobench_lines(folder)
    table = table_of(parameters, lines, "yolobench", has_epochs=False)
    which = "fitting" if bound else "new"
    ours = [Strategy("tpe", "none", which), Strategy("ehvi", "none", which)]
    compare(table, (score, cost), {cost: bound} if bound else {}, ours, 200)
