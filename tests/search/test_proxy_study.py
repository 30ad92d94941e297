"""Studies with proxies: audited on their own trials, in use only as long as that pays, the same for every worker."""

import csv
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import optuna
import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.architecture import Architecture
from catscale.search.candidates import Bases
from catscale.search.feasible import Feasible
from catscale.search.outcomes import Outcome
from catscale.search.proxies.ranking import SCORES, Ranking, audits
from catscale.search.repair import opened, repair
from catscale.search.rows import Row
from catscale.search.samplers import Untried
from catscale.search.settings import ProxyKind
from catscale.search.status import read_study, status, status_lines
from catscale.search.study import Study, load_study
from catscale.search.trial import OnEpoch, Task
from catscale.search.worker import Pulse

from .simulation import RESULTS, journal, simulate

optuna.logging.set_verbosity(optuna.logging.WARNING)

SPACE: dict[str, Any] = {
    "width": {"choices": [0.125, 0.1875, 0.25, 0.375, 0.5]},
    "compound": {"choices": [0.5, 1.0]},
    "activation": {"choices": ["silu", "leaky_relu"]},
}


def study_of(**changes: Any) -> Study:
    document = {"name": "s", "base": "yolov7-tiny", "space": SPACE, "objectives": ["ap", "gflops"], "trials": 50}
    return Study.model_validate({**document, "size_px": 64, "proxies": {"kinds": ["zen"], "after": 5}, **changes})


def ups_and_downs(architecture: Architecture) -> float:
    """Between 0 and 1, from the fingerprint alone: nothing that MACs know of."""
    return int(architecture.fingerprint[:8], 16) / 16**8


class Asked:
    """A stand-in for a score, which counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, kind: ProxyKind, architecture: Architecture) -> float | None:
        self.times += 1
        return ups_and_downs(architecture)


def proposals(
    study: Study, count: int, ap: Callable[[Architecture], float], score: Any, rank: bool = True
) -> list[Any]:
    """Trials of a study, each answered by an AP that follows from its detector."""
    bases = Bases(study)
    opened = optuna.create_study(directions=list(study.objectives.values()))
    sampler = opened.sampler = Untried(study)
    sampler.among = Feasible(study, bases)
    ranking = Ranking(study, bases, score)
    sampler.ranking = ranking if rank else None
    for _ in range(count):
        if sampler.exhausted(opened):
            break
        trial = opened.ask(sampler.distributions)
        candidate = bases.candidate(trial.params)
        trial.set_user_attr(SCORES, ranking.scores(candidate))
        figures = {"ap": ap(candidate.architecture), **candidate.figures}
        trial.set_user_attr("figures", figures)
        opened.tell(trial, [figures[name] for name in study.objectives])
    return opened.trials


def test_a_proxy_that_tells_finds_the_best_sooner() -> None:
    study = study_of(sampler={"kind": "random"}, objectives=["ap"])
    with_it, without = (proposals(study, 9, ups_and_downs, Asked(), rank) for rank in (True, False))
    assert [trial.params for trial in with_it[:5]] == [trial.params for trial in without[:5]]
    left = [trial.values[0] for trial in proposals(study, 20, ups_and_downs, Asked(), False)]
    best = sorted(set(left) - {trial.values[0] for trial in with_it[:5]}, reverse=True)
    assert {trial.values[0] for trial in with_it[5:]} <= set(best[:8])
    assert sum(trial.values[0] for trial in with_it[5:]) > sum(trial.values[0] for trial in without[5:])


def test_where_macs_are_as_good_nothing_is_ranked() -> None:
    study = study_of(sampler={"kind": "random"})
    by_macs = lambda architecture: architecture.cost().macs / 1e9  # noqa: E731
    with_it, without = (proposals(study, 12, by_macs, Asked(), rank) for rank in (True, False))
    assert [trial.params for trial in with_it] == [trial.params for trial in without]
    assert not any(one.in_use for one in audits(study, with_it))


@pytest.mark.parametrize("kind", ["tpe", "nsga2", "qmc"])
def test_the_same_seed_proposes_the_same(kind: str) -> None:
    study = study_of(sampler={"kind": kind, "startup": 3, "seed": 1})
    first, again = (proposals(study, 9, ups_and_downs, Asked()) for _ in range(2))
    assert any(one.in_use for one in audits(study, first[:8]))
    assert [trial.params for trial in first] == [trial.params for trial in again]


def test_each_candidate_is_proposed_and_scored_once_until_none_is_left() -> None:
    asked = Asked()
    trials = proposals(study_of(sampler={"kind": "random"}), 50, ups_and_downs, asked)
    assert len({str(trial.params) for trial in trials}) == len(trials) == asked.times == 20


def test_without_scores_the_sampler_has_its_way() -> None:
    study = study_of(sampler={"kind": "random"})
    nothing, plain = (
        proposals(study, 9, ups_and_downs, score, rank)
        for score, rank in ((lambda kind, it: None, True), (Asked(), False))
    )
    assert [trial.params for trial in nothing] == [trial.params for trial in plain]
    assert audits(study, nothing)[0].unscored == 9


def by_zen(task: Task, on_epoch: OnEpoch, pulse: Pulse) -> Outcome:
    """A training whose AP is as the trial's own Zen-score would have it."""
    trial = pulse.ledger.trials[task.number]
    return Outcome("complete", figures={**RESULTS, "ap": trial.user_attrs[SCORES]["zen"] / 1000})


@pytest.fixture(scope="module")
def ranked(tiny: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], list[Row]]:
    """A study that one worker begins and another one goes on with, in which Zen tells and MACs do not tell as much."""
    folder, settings = tmp_path_factory.mktemp("ranked") / "study", {"kinds": ["zen", "synflow"], "pool": 3, "after": 6}
    first, all_ = (simulate(tiny("ranked", proxies=settings, trials=n), folder, outcome=by_zen) for n in (7, 9))
    return folder, first, all_


def test_workers_share_scores_and_audit_through_the_storage(ranked: tuple[Path, list[Row], list[Row]]) -> None:
    folder, first, rows = ranked
    assert rows[:7] == first
    assert len({str(row.values) for row in rows}) == len(rows) == 9
    trials = opened(folder, journal(folder)).trials
    assert all(trial.user_attrs[SCORES].keys() == {"zen", "synflow"} for trial in trials)
    with (folder / "proxies.csv").open() as file:
        audited = {line["kind"]: line for line in csv.DictReader(file)}
    assert (audited["zen"]["n"], audited["zen"]["tau"], audited["zen"]["in_use"]) == ("9", "1.0000", "1")
    assert audited["synflow"]["in_use"] == "0"


def test_the_status_says_what_ranks_and_why(ranked: tuple[Path, list[Row], list[Row]]) -> None:
    folder = ranked[0]
    found = status(read_study(folder))
    assert [one["kind"] for one in found["proxies"]["audits"] if one["in_use"]] == ["zen"]
    lines = status_lines(found)
    assert "proxies: zen ranks proposals, as it orders the finished trials by AP better than MACs do" in lines
    assert any(line.startswith("  zen: tau 1.00 (1.00 … 1.00), MACs 0.") for line in lines)


def test_a_damaged_audit_is_named_and_repaired(ranked: tuple[Path, list[Row], list[Row]]) -> None:
    folder = ranked[0]
    file = folder / "proxies.csv"
    before = file.read_text()
    file.write_text(before.replace("zen,9", "zen,nine"))
    with pytest.raises(InputError, match=r"proxies\.csv:2: is no proxy's audit; catscale search repair writes it anew"):
        status(read_study(folder))
    repair(folder, journal(folder))
    assert file.read_text() == before


def test_a_resumed_trial_keeps_its_scores(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny("resumed", proxies={"kinds": ["zen"]}, trials=1)

    def interrupted(task: Task, on_epoch: OnEpoch, pulse: Pulse) -> Outcome:
        return Outcome("interrupted") if task.number == 0 else by_zen(task, on_epoch, pulse)

    simulate(path, tmp_path / "s", outcome=interrupted)
    first, second = opened(tmp_path / "s", journal(tmp_path / "s")).trials
    assert second.user_attrs["continues"] == 0
    assert second.user_attrs[SCORES] == first.user_attrs[SCORES]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxies": {"kinds": ["naswat"]}}, r"proxies\.kinds: no proxy is called 'naswat'; .*naswot"),
        ({"proxies": {"kinds": ["zen", "zen"]}}, r"proxies\.kinds: zen stands twice"),
        ({"proxies": {"kinds": []}}, r"proxies\.kinds: "),
        ({"proxies": {"pool": 1}}, r"proxies\.pool: .*greater than or equal to 2"),
        ({"proxies": {"after": 4}}, r"proxies\.after: .*greater than or equal to 5"),
        ({"proxies": {"pools": 9}}, r"proxies: unknown key .pools.; did you mean .pool."),
        ({"proxies": {}, "sampler": {"kind": "grid"}}, r"proxies: grid goes through the whole space, .*such as tpe"),
        ({"proxies": {}, "sampler": {"kind": "brute"}}, r"proxies: brute goes through the whole space"),
    ],
)
def test_what_cannot_be_is_refused(tiny: Callable[..., Path], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_study(tiny("refused", **changes))


@pytest.mark.slow
def test_the_command_line_audits_and_says_so_once(
    tiny: Callable[..., Path], tmp_path: Path, cli: Callable[..., "CompletedProcess[str]"]
) -> None:
    settings = {"kinds": ["synflow", "activations"], "pool": 2, "after": 5}
    path, folder = tiny("audited", proxies=settings, latency={"runs": 1}), tmp_path / "s"
    for trials in (4, 6):
        done = cli("search", "run", path, "--folder", folder, "--workers", 2, "--trials", trials, timeout=900)
        assert done.returncode == 0, done.stderr
        said = 2 if trials == 4 else 3  # as it begins, as it changes, and at the end
        assert done.stdout.count("proxies: ") == said
    with (folder / "proxies.csv").open() as file:
        assert {(line["kind"], line["n"]) for line in csv.DictReader(file)} == {("synflow", "6"), ("activations", "6")}
    status_ = cli("search", "status", folder).stdout
    assert status_.count("proxies: ") == 1
    assert "  activations: tau " in status_
