"""What a study took, in words: time and energy."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from catscale.reports.page import write_report
from catscale.reports.spent import amount, duration
from catscale.search.status import read_study
from catscale.trainer.run_folder import RunFacts, RunFolder

from .conftest import ROWS, Make
from .page_text import page_of


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(31.4, "31 s"), (245, "4 min 5 s"), (1200, "20 min"), (12_000, "3 h 20 min"), (7200, "2 h"), (576_000, "160 h")],
)
def test_a_duration_is_as_people_say_it(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("joules", "words"), [(812.3, "812 J"), (12_300, "12.3 kJ (3.4 Wh)"), (4_200_000, "4.2 MJ (1.2 kWh)")]
)
def test_energy_is_as_people_say_it(joules: float, words: str) -> None:
    """1 Wh is 3600 J."""
    assert amount(joules) == words


def test_energy_is_summed_where_it_was_readable(make: Make, tmp_path: Path) -> None:
    rows = [
        replace(row, figures={**row.figures, "energy_joules": 3000.0 * number}) for number, row in enumerate(ROWS[:3])
    ]
    write_report([read_study(make([*rows, ROWS[3]]))], tmp_path / "out")
    page = page_of(tmp_path / "out").text
    assert "31 s of training in all. Energy of 3 of 4 trials, where it was readable: 9.0 kJ (2.5 Wh)" in page
    assert "Energy 3.0 kJ (0.8 Wh)" in page  # of trial 1, among its figures


@pytest.mark.parametrize(
    ("energy", "words"),
    [({"joules": None, "of": ""}, "Energy: not readable on this machine."), (None, "Energy was not recorded.")],
)
def test_where_energy_is_not_known_the_page_says_why(
    make: Make, tmp_path: Path, energy: dict[str, Any] | None, words: str
) -> None:
    folder = make()
    facts = RunFacts("a", "f", ("x",), (1,), "d", 64, 0, "cpu", {}, "complete")
    run = RunFolder(folder / "trials" / "1")
    run.write_facts(facts)
    document = json.loads(run.facts.read_text()) | {"energy": energy}
    run.facts.write_text(json.dumps(document))
    write_report([read_study(folder)], tmp_path / "out")
    assert f"31 s of training in all. {words}" in page_of(tmp_path / "out").text
