"""Trials as the page's tables have them: each cell a text and what it sorts by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..search.quantities import QUANTITIES
from ..search.rows import Row, parameter_columns
from ..search.space import BASE
from ..search.status import StudyRecord

SHOWN = ("ap", "ap50", "params", "gflops", "latency_ms", "latency_iqr_ms", "seconds")
HEADINGS = {name: f"{quantity.title} {quantity.unit}".strip() for name, quantity in QUANTITIES.items()}
HEADINGS |= {"params": "Params M", "latency_iqr_ms": "± IQR ms", "seconds": "Trained s"}
DIGITS = {"ap": 3, "ap50": 3, "params": 3, "gflops": 3, "seconds": 1}
UNKNOWN = ("–", "")

Cell = tuple[str, str]  # text, value


@dataclass(frozen=True)
class Line:
    """A trial in a table."""

    cells: list[Cell]
    classes: str  # for the style sheet
    mark: str  # a word beside the number
    title: str  # the detector's name, and why it is not trained


@dataclass(frozen=True)
class TrialTable:
    """A table of trials; columns that would be empty are left out."""

    headings: list[str]
    lines: list[Line]


def trial_table(record: StudyRecord, rows: Sequence[Row]) -> TrialTable:
    """Some trials of a study, in the order given."""
    names = [name for name in parameter_columns(record.study) if any(name in row.values for row in rows)]
    wanted = [*SHOWN[:-1], *(name for name in record.study.objectives if name not in SHOWN), SHOWN[-1]]
    figures = [name for name in wanted if any(name in row.figures for row in rows)]
    members = {row.number for row in record.front}
    lines = [_line(row, names, figures, row.number in members) for row in rows]
    return TrialTable(["Trial", *names, *(HEADINGS[name] for name in figures)], lines)


def _line(row: Row, names: Sequence[str], figures: Sequence[str], on_front: bool) -> Line:
    values = [_value(name, row.values.get(name, "")) for name in names]
    cells = [(str(row.number), str(row.number)), *((value, value) if value else UNKNOWN for value in values)]
    cells += [_figure(name, row.figures[name]) if name in row.figures else UNKNOWN for name in figures]
    classes = [row.state, *(["on-front"] if on_front else [])]
    if row.reference:
        mark = "base" if row.state == "complete" else f"base, {row.state}"
    elif row.same_as is not None:
        mark = f"as {row.same_as}"
    else:
        mark = "" if row.state == "complete" else row.state
    return Line(cells, " ".join(classes), mark, ": ".join(filter(None, (row.name, row.reason))))


def _value(name: str, value: object) -> str:
    return Path(str(value)).stem if name == BASE else str(value)


def _figure(name: str, value: float) -> Cell:
    scale = QUANTITIES[name].scale if name in QUANTITIES else 1.0
    return f"{value / scale:.{DIGITS.get(name, 2)}f}", repr(float(value))
