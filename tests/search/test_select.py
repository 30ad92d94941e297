"""Which detector of a study is chosen, and what is said where none fits. Figures are made up."""

from pathlib import Path

import pytest
from catscale.blocks.errors import InputError
from catscale.search.rows import Row
from catscale.search.select import select
from catscale.search.status import StudyRecord
from catscale.search.study import Study

STUDY = Study.model_validate(
    {
        "name": "chosen",
        "base": "yolov7-tiny",
        "space": {"width": {"choices": [0.5, 1.0]}},
        "objectives": ["ap", "gflops"],
        "trials": 8,
    }
)


def row(number: int, ap: float, gflops: float, latency_ms: float | None, state: str = "complete") -> Row:
    figures = {"ap": ap, "gflops": gflops, "params": 1e6 * gflops, **({"latency_ms": latency_ms} if latency_ms else {})}
    return Row(number, state, figures=figures, name=f"net-{number}")  # type: ignore[arg-type]


# Trial 2 is fast and good, but costs more than trial 1: it is not on the front of AP and FLOPs. Trial 4 was stopped.
ROWS = [row(0, 0.30, 1.0, 7.0), row(1, 0.40, 2.0, 9.0), row(2, 0.35, 2.5, 6.0), row(3, 0.5, 4.0, 16.0),
        row(4, 0.9, 0.1, 1.0, "stopped")]  # fmt: skip


def chosen(how: str, rows: list[Row] = ROWS) -> tuple[int, str]:
    choice = select(StudyRecord(Path("study"), STUDY, rows), how)
    return choice.row.number, choice.why


def test_under_a_latency_the_best_ap_is_chosen_on_the_front_or_not() -> None:
    assert chosen("max-latency=8") == (
        2,
        "it has the highest AP (0.350) of the 2 trials at or below 8.00 ms, with Latency (6.00 ms)",
    )
    assert chosen("max-latency=9")[0] == 1
    assert chosen("max-latency=1e3")[0] == 3


def test_of_those_that_reach_an_ap_the_fastest_is_chosen() -> None:
    assert chosen("min-ap=0.35") == (
        2,
        "it has the lowest Latency (6.00 ms) of the 3 trials that reach AP 0.35, with AP (0.350)",
    )
    assert chosen("min-ap=0.41")[0] == 3


def test_without_latencies_the_first_cost_decides() -> None:
    rows = [row(0, 0.30, 1.0, None), row(1, 0.40, 2.0, None), row(2, 0.41, 3.0, 1.0)]
    assert chosen("min-ap=0.4", rows) == (
        1,
        "it has the lowest FLOPs (2.00 G) of the 2 trials that reach AP 0.4, with AP (0.400)",
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("max-latency=5", "no trial is at or below 5.00 ms; the nearest is trial 2, Latency (6.00 ms)"),
        ("min-ap=0.6", "no trial reaches it; the nearest is trial 3, AP (0.500)"),
        ("max-latency=abc", "--select max-latency=abc: give milliseconds above zero, as in max-latency=8"),
        ("max-latency=", "give milliseconds above zero"),
        ("max-latency=-1", "give milliseconds above zero"),
        ("max-latency=nan", "give milliseconds above zero"),
        ("min-ap=40", "--select min-ap=40: give an AP between 0 and 1, as in min-ap=0.4"),
        ("knee=3", "--select knee=3: is none of knee, best, fastest, max-latency=MS, min-ap=AP, nor a trial's number"),
        ("max-latency", "is none of knee"),
        ("4", "trial 4 is stopped"),
        ("77", "trial 77 is not there; on the front are 0, 1, 3"),
    ],
)
def test_what_cannot_be_chosen_says_why(how: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        chosen(how)
    assert message in str(error.value)


def test_of_a_study_without_a_result_nothing_is_chosen() -> None:
    with pytest.raises(InputError, match="study: no trial is complete, so there is nothing to select"):
        chosen("max-latency=8", [ROWS[-1]])
