"""What search strategies find for their budget, replayed on tables of finished results; nothing is trained.

Run by `make bench`. Ours beside Optuna's samplers as they are by default: 20 repetitions each with the same seeds; the
budget is epochs trained until 95 % of the hypervolume of the table's own front. Two tables. One of our own: 120 narrow
variants of yolov7-tiny on 291 training photographs of blood cells, 12 epochs, two seeds (small: the spread of a
candidate's AP over seeds is half of that over the candidates); its curves allow early stopping. YOLOBench: 572
variants, COCO AP after 300 epochs, latency on a Raspberry Pi 5; final results only. Each with a constraint that some
two fifths of the candidates keep, and without: the filter can only help where a constraint is active.
"""

from collections.abc import Mapping
from pathlib import Path

import optuna
import pytest
from catscale.search.replay import Problem, Proposals, StopName, Strategy, replay
from catscale.search.replay_summary import summaries
from catscale.search.replay_table import Table, read_table, table_of
from catscale.search.stopping import default_rungs
from catscale.search.table_sources import yolobench_lines

OWN = Path(__file__).resolve().parents[2] / "studies" / "narrow-tiny-bccd.csv"
REPEATS = 20
COLUMNS = "{:26} {:>7} {:>5} {:>8} {:>7} {:>15} {:>7} {:>8}"

Kinds = list[tuple[Proposals, StopName]]


def compare(
    table: Table, objectives: tuple[str, str], constraints: Mapping[str, float], kinds: Kinds, budget: int
) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problem = Problem(table, objectives, constraints, default_rungs(table.epochs))
    strategies = [Strategy("tpe"), Strategy("random"), Strategy("nsga2")]
    strategies += [Strategy("tpe", stop, proposals) for proposals, stop in kinds]
    traces = {one: [replay(problem, one, budget, seed) for seed in range(REPEATS)] for one in strategies}
    print(f"\n{', '.join(objectives)}; {dict(constraints) or 'no constraint'}: {len(problem.fitting)} candidates fit")
    print(COLUMNS.format("strategy", "budget", "±", "reached", "× less", "95 % interval", "trained", "stopped"))
    for one in summaries(traces, budget):
        interval = f"{one.saving_low:.2f} … {one.saving_high:.2f}"
        cells = (f"{one.budget_mean:.0f}", f"{one.budget_sd:.0f}", f"{one.reached}/{REPEATS}", f"{one.saving:.2f}")
        print(COLUMNS.format(one.label, *cells, interval, f"{one.trained:.0f}", f"{one.stopped:.0f}"))


@pytest.mark.parametrize("constraints", [{"gflops": 0.03}, {}])
def test_on_curves_of_our_own(constraints: dict[str, float]) -> None:
    kinds: Kinds = [("any", "front"), ("any", "halving"), ("new", "none"), ("new", "front"), ("new", "halving")]
    if constraints:
        kinds.extend([("fitting", "none"), ("fitting", "front"), ("fitting", "halving")])
    table = read_table(OWN)
    compare(table, ("ap", "gflops"), constraints, kinds, len(table.results) * table.epochs)


@pytest.mark.parametrize("constraints", [{"latency_ms_pi5_ort": 77.0}, {}])
def test_on_yolobench(constraints: dict[str, float], real_data: Path) -> None:
    folder = real_data / "yolobench"
    if not folder.is_dir():
        pytest.skip(f"no YOLOBench tables at {folder}")
    parameters, lines = yolobench_lines(folder)
    kinds: Kinds = [("new", "none")]
    if constraints:
        kinds.append(("fitting", "none"))
    table = table_of(parameters, lines, "yolobench", has_epochs=False)
    compare(table, ("ap_coco", "latency_ms_pi5_ort"), constraints, kinds, 200)
