"""Choosing one detector of a study, with a sentence that says why."""

from dataclasses import dataclass

import numpy as np

from ..blocks.errors import InputError
from .pareto import knee
from .quantities import QUANTITIES, shown
from .rows import Row, comparable
from .status import StudyRecord

WORDS = "knee, best, fastest, max-latency=MS, min-ap=AP, nor a trial's number"


@dataclass(frozen=True)
class Choice:
    """A trial, and why it was chosen."""

    row: Row
    why: str


def select(record: StudyRecord, how: str) -> Choice:
    """Choose a trial.

    Args:
        record: the study.
        how: off the front, `knee`, `best` (AP) or `fastest` (latency); of all trials, `max-latency=8`, the best AP at
            or below 8 ms, or `min-ap=0.4`, the cheapest that reaches it; or any trial by its number.

    Raises:
        InputError: there is nothing to choose from, no such trial or word, or none keeps the bound; the message names
            the nearest miss.
    """
    members = record.front
    if not members:
        raise InputError(f"{record.folder}: no trial is complete, so there is nothing to select")
    if how.isdigit():
        return _numbered(record, int(how), members)
    word, given, bound = how.partition("=")
    match word:
        case "max-latency" if given:
            return _within(record, _number(how, bound, "milliseconds above zero, as in max-latency=8"))
        case "min-ap" if given:
            return _reaching(record, _number(how, bound, "an AP between 0 and 1, as in min-ap=0.4", most=1.0))
        case "best" if not given:
            aim = next(name for name in record.study.objectives if QUANTITIES[name].trained)
            row = max(members, key=lambda row: row.figures[aim])
            return Choice(row, f"it has the highest {_figure(row, aim)} of all {len(members)} on the front")
        case "fastest" if not given:
            row = min(members, key=lambda row: row.figures["latency_ms"])
            return Choice(row, f"it has the lowest {_figure(row, 'latency_ms')} of all {len(members)} on the front")
        case "knee" if not given:
            names = list(record.study.objectives)
            points = np.array([[row.figures[name] for name in names] for row in members])
            row = members[knee(points, [record.study.objectives[name] for name in names])]
            reach = " and ".join(_figure(row, name) for name in names)
            return Choice(row, f"it is the knee of the front: beyond {reach}, more of one costs most of another")
        case _:
            raise InputError(f"--select {how}: is none of {WORDS}")


def _within(record: StudyRecord, bound_ms: float) -> Choice:
    """The best AP at or below a latency; of equals the faster."""
    rows = _with_figures(record, "latency_ms", "ap")
    bound = shown("latency_ms", bound_ms)
    fitting = [row for row in rows if row.figures["latency_ms"] <= bound_ms]
    nearest = min(rows, key=lambda row: row.figures["latency_ms"])
    if not fitting:
        raise InputError(
            f"--select max-latency={bound_ms:g}: no trial is at or below {bound}; "
            f"the nearest is trial {nearest.number}, {_figure(nearest, 'latency_ms')}"
        )
    row = max(fitting, key=lambda row: (row.figures["ap"], -row.figures["latency_ms"]))
    count = f"the {len(fitting)} trials" if len(fitting) > 1 else "the single trial"
    why = f"it has the highest {_figure(row, 'ap')} of {count} at or below {bound}"
    return Choice(row, f"{why}, with {_figure(row, 'latency_ms')}")


def _reaching(record: StudyRecord, ap: float) -> Choice:
    """The cheapest that reaches an AP: by latency, else by the first objective that is a cost; of equals the better."""
    rows = _with_figures(record, "ap")
    costs = ["latency_ms", *(name for name, way in record.study.objectives.items() if way == "minimize"), "params"]
    cost = next(name for name in costs if all(name in row.figures for row in rows))
    fitting = [row for row in rows if row.figures["ap"] >= ap]
    nearest = max(rows, key=lambda row: row.figures["ap"])
    if not fitting:
        raise InputError(
            f"--select min-ap={ap:g}: no trial reaches it; "
            f"the nearest is trial {nearest.number}, {_figure(nearest, 'ap')}"
        )
    row = min(fitting, key=lambda row: (row.figures[cost], -row.figures["ap"]))
    count = f"the {len(fitting)} trials that reach" if len(fitting) > 1 else "the single trial that reaches"
    return Choice(row, f"it has the lowest {_figure(row, cost)} of {count} AP {ap:g}, with {_figure(row, 'ap')}")


def _with_figures(record: StudyRecord, *names: str) -> list[Row]:
    """Trials with a result of their own and these figures."""
    rows = [row for row in comparable(record.rows) if all(name in row.figures for name in names)]
    if not rows:
        titles = " and ".join(QUANTITIES[name].title for name in names)
        raise InputError(f"{record.folder}: no trial has {titles}, so there is nothing to select by")
    return rows


def _number(how: str, text: str, wanted: str, most: float = float("inf")) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number <= most or number == float("inf"):
        raise InputError(f"--select {how}: give {wanted}")
    return number


def _numbered(record: StudyRecord, number: int, members: list[Row]) -> Choice:
    row = next((row for row in record.rows if row.number == number), None)
    if row is None or row.state != "complete":
        what = f"is {row.state}: {row.reason}" if row else "is not there"
        on_front = ", ".join(str(member.number) for member in members)
        raise InputError(f"--select {number}: trial {number} {what}; on the front are {on_front}")
    where = "on" if row in members else "not on"
    return Choice(row, f"it was named; it is {where} the front")


def _figure(row: Row, name: str) -> str:
    return f"{QUANTITIES[name].title} ({shown(name, row.figures[name])})"
