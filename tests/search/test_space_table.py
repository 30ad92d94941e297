"""A space counted at once is what its candidates are one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from catscale.blocks.errors import InputError
from catscale.search.candidates import Bases, Candidate, over_budget
from catscale.search.space_table import SpaceTable, nearest_miss, tabulate
from catscale.search.study import Study, load_study

STUDY: dict[str, Any] = {
    "name": "spread",
    "base": ["yolov7-tiny", "yolor-csp"],
    "space": {
        "resolution": {"choices": [64, 96]},
        "width": {"choices": [0.1, 0.101, 0.25, 1]},
        "depth": {"choices": [0.5, 0.75, 1]},
        "extend": {"choices": [1, 2]},
    },
    "objectives": ["ap", "gflops"],
    "constraints": {"params": 3e6, "activations": 4e5, "latency_ms": 30},
    "trials": 2,
}


def study_of(folder: Path, **changes: Any) -> Study:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **changes}), encoding="utf-8")
    return load_study(path)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, SpaceTable, Bases]:
    study = study_of(tmp_path_factory.mktemp("study"))
    bases = Bases(study)
    return study, tabulate(study, bases), bases


@pytest.fixture(scope="module")
def one_by_one(counted: tuple[Study, SpaceTable, Bases]) -> tuple[list[dict[str, Any]], list[Candidate], list[str]]:
    study, _, bases = counted
    values, candidates, refused = [], [], []
    for base in study.base:
        for combination in study.space.combinations():
            try:
                candidates.append(bases.candidate({"base": base, **combination}))
                values.append({"base": base, **combination})
            except InputError as error:
                refused.append(str(error))
    return values, candidates, refused


def test_rows_are_the_candidates_that_can_be_built_in_the_order_of_the_space(counted: Any, one_by_one: Any) -> None:
    _, table, _ = counted
    values, candidates, refused = one_by_one
    assert [table.values(row) for row in range(len(table))] == values
    assert [{name: column[row] for name, column in table.figures.items()} for row in range(len(table))] == [
        candidate.figures for candidate in candidates
    ]
    assert (table.looked_at, table.combinations, table.sampled) == (96, 96, False)
    assert sum(table.unbuildable.values()) == len(refused) > 0
    assert all(any(error.endswith(reason) for error in refused) for reason in table.unbuildable)


def test_different_detectors_are_those_with_different_fingerprints(counted: Any, one_by_one: Any) -> None:
    assert counted[1].distinct == len({candidate.key for candidate in one_by_one[1]}) < len(one_by_one[1])


def test_in_budget_is_what_breaks_no_bound_that_is_counted(counted: Any, one_by_one: Any) -> None:
    study, table, _ = counted
    fits = [not over_budget(study, candidate.figures) for candidate in one_by_one[1]]
    assert table.within.tolist() == np.flatnonzero(fits).tolist()
    assert 0 < len(table.within) < len(table)
    assert table.unmeasured == ("latency_ms",)


def test_a_bound_is_itself_within_the_budget(counted: Any, tmp_path: Path) -> None:
    smallest = float(counted[1].figures["gflops"].min())
    study = study_of(tmp_path, constraints={"gflops": smallest})
    table = tabulate(study, Bases(study))
    assert set(table.figures["gflops"][table.within]) == {smallest}


@pytest.mark.parametrize(("kind", "sign"), [("least", 1), ("most", -1)])
def test_a_front_has_what_nothing_beats(counted: Any, kind: str, sign: int) -> None:
    _, table, _ = counted
    points = {(sign * int(table.counts.params[row]), int(table.counts.flops[row])) for row in table.within}
    unbeaten = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    front = [(sign * int(table.counts.params[row]), int(table.counts.flops[row])) for row in table.front(kind)]
    assert front == sorted(unbeaten, key=lambda point: point[1])


def test_the_nearest_miss_uses_the_least_of_its_bounds(tmp_path: Path) -> None:
    study = study_of(tmp_path, constraints={"params": 1000, "macs": 1e9}, base="yolov7-tiny")
    bases = Bases(study)
    table = tabulate(study, bases)
    assert not len(table.within)
    assert not len(table.front("least"))
    smallest = f"{table.counts.params.min() / 1e6:.3f}"
    assert nearest_miss(table, bases).endswith(f"is over budget: params {smallest} M above 0.001 M")


def test_a_continuum_is_sampled_the_same_each_time(tmp_path: Path) -> None:
    study = study_of(tmp_path, space={**STUDY["space"], "width": {"low": 0.1, "high": 0.4}}, seed=3)
    bases = Bases(study)
    table, again = (tabulate(study, bases, 200) for _ in range(2))
    assert table.combinations is None
    assert table.sampled
    assert table.looked_at == 200 == len(table) + sum(table.unbuildable.values())
    assert (table.width == again.width).all()
    assert 0.1 <= table.width.min() < table.width.max() <= 0.4
    row = int(table.within[0])
    assert bases.candidate(table.values(row)).figures == {name: column[row] for name, column in table.figures.items()}


def test_nothing_that_can_be_built_is_an_answer_too(tmp_path: Path) -> None:
    study = study_of(tmp_path, space={"depth": {"choices": [0.75]}}, base="yolov7-tiny")
    table = tabulate(study, Bases(study))
    assert (len(table), len(table.within), table.distinct) == (0, 0, 0)
    assert table.unbuildable == {"backbone.p2.elan: depth 0.75 turns 2 taps into 1.5; use a multiple of 0.5": 1}
