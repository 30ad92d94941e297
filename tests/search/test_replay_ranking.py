"""Replays of studies that rank their proposals by proxies."""

from pathlib import Path

import optuna
import pytest
from catscale.blocks.errors import InputError
from catscale.search.replay import Problem, Strategy, replay
from catscale.search.replay_command import replay as replay_verb
from catscale.search.replay_table import Line, Table, read_table, table_of, write_table

PARAMETERS = ("width", "kind")


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def lines(telling: bool) -> list[Line]:
    """60 candidates of 30 costs; AP is a matter of the kind, which MACs do not know of, but a telling proxy does."""
    found = []
    for width in range(1, 31):
        for kind in (0, 1):
            ap = 0.01 * width + 0.4 * kind + 0.07 * (width * 7 % 5)
            proxy = ap if telling else float(width * 13 % 11)
            figures = {"ap": ap, "macs": float(width), "proxy_zen": proxy}
            found.append(Line((width, kind), 0, 1, figures))
    return found


def table(telling: bool) -> Table:
    return table_of(PARAMETERS, lines(telling), "made up", has_epochs=False)


def test_a_table_with_proxies_reads_back(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", PARAMETERS, lines(True))
    read = read_table(tmp_path / "t.csv")
    assert read.parameters == PARAMETERS
    assert read.proxies == ("proxy_zen",)
    assert read.results[(3, 1)].costs["proxy_zen"] == pytest.approx(0.03 + 0.4 + 0.07)


def test_a_proxy_that_tells_finds_more_for_the_same_budget() -> None:
    problem = Problem(table(True), ("ap", "macs"))
    shares = {
        kind: sum(replay(problem, Strategy("random", "none", kind), 24, seed).at(24) for seed in range(5)) / 5
        for kind in ("fitting", "ranked")
    }
    assert shares["ranked"] > shares["fitting"] + 0.02


def test_one_that_does_not_tell_changes_nothing() -> None:
    problem = Problem(table(False), ("ap", "macs"))
    fitting, ranked = (replay(problem, Strategy("random", "none", kind), 40, 0) for kind in ("fitting", "ranked"))
    assert fitting == ranked


def test_a_table_without_proxies_is_refused(tmp_path: Path) -> None:
    plain = [line._replace(figures={"ap": line.figures["ap"], "macs": line.figures["macs"]}) for line in lines(True)]
    write_table(tmp_path / "t.csv", PARAMETERS, plain)
    with pytest.raises(InputError, match=r"--proposals: ranked needs a table with columns macs and proxy_…"):
        replay_verb(tmp_path / "t.csv", samplers="random", stop="none", proposals="ranked")
