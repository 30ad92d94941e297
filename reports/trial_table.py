"""Trials as the page's tables have them: every cell a text, and columns that would be empty are left out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..search.quantities import QUANTITIES, decimals
from ..search.rows import Row, parameter_columns
from ..search.space import BASE
from ..search.status import StudyRecord
from .comparison import RELATIVE, SIZES

SHOWN = ("ap", "ap50", "params", "gflops", "latency_ms", "seconds")
SPREADS = {
    "ap": ("ap_spread", 1.0),
    "latency_ms": ("latency_iqr_ms", 0.5),
}  # written behind a figure: which, times what
HEADINGS = {name: f"{quantity.title} {quantity.unit}".strip() for name, quantity in QUANTITIES.items()}
HEADINGS |= {
    "params": "Params M",
    "seconds": "Trained s",
    "ap_per_mparams": "AP / M params",
    "ap_per_ms": "AP / ms",
    "ap_gain": "Δ AP",
    "ap_low": "AP from",
    "ap_high": "AP to",
    "ap_spread": "AP s.d.",
    "latency_iqr_ms": "Latency IQR ms",
    "front_probability": "On front",
    **{name: f"AP {name.removeprefix('ap_')}" for name in SIZES},
    **{f"{name}_change": f"Δ {QUANTITIES[name].title.replace('Parameters', 'params')}" for name in RELATIVE},
}
DIGITS: dict[str, int] = dict.fromkeys(
    ("ap", "ap50", "ap_spread", "params", "gflops", "ap_gain", "ap_per_mparams", *SIZES), 3
)
DIGITS |= {"seconds": 1, "ap_per_ms": 4, "ap_low": 3, "ap_high": 3}
UNKNOWN = "–"


@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds numbers, which stand to the right."""

    heading: str
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """A trial in a table."""

    number: int
    cells: list[str]
    classes: str  # for the style sheet
    mark: str  # a word beside the number
    title: str  # the detector's name, and why it is not trained


@dataclass(frozen=True)
class TrialTable:
    """A table of trials; the number, which comes first, is not among the columns."""

    columns: list[Column]
    lines: list[Line]


def trial_table(record: StudyRecord, rows: Sequence[Row]) -> TrialTable:
    """Some trials of a study, in the order given."""
    names = [name for name in parameter_columns(record.study) if any(name in row.values for row in rows)]
    wanted = dict.fromkeys((*SHOWN[:-1], *record.study.objectives, SHOWN[-1]))
    figures = [name for name in wanted if any(name in row.figures for row in rows)]
    members = {row.number for row in record.front}
    lines = [
        _line(row, [*(_value(name, row.values.get(name)) for name in names),
                    *(spread_cell(name, row.figures) for name in figures)], members)
        for row in rows
    ]  # fmt: skip
    words = [any(not _is_number(_value(name, row.values.get(name, 0))) for row in rows) for name in names]
    columns = [Column(name, numeric=not text) for name, text in zip(names, words, strict=True)]
    return TrialTable([*columns, *(Column(HEADINGS[name]) for name in figures)], lines)


def comparison_table(record: StudyRecord, frame: pd.DataFrame) -> TrialTable:
    """What `comparison_frame` gave, as a table."""
    rows = {row.number: row for row in record.rows}
    members = {row.number for row in record.front}
    hidden = {"name", "base", "ap_low", "ap_high", *(spread for spread, _ in SPREADS.values())}
    names = [str(name) for name in frame.columns if name not in hidden]
    parameters = set(parameter_columns(record.study))
    numeric = {name: name not in parameters or all(map(_is_number, frame[name].dropna())) for name in names}
    columns = [Column(name if name in parameters else HEADINGS.get(name, name), numeric[name]) for name in names]
    lines = []
    for number, line in frame.to_dict("index").items():
        cells = [_value(name, line[name]) if name in parameters else spread_cell(name, line) for name in names]
        lines.append(_line(rows[int(str(number))], cells, members))
    return TrialTable(columns, lines)


def in_units(frame: pd.DataFrame) -> pd.DataFrame:
    """What `comparison_frame` gave, under the tables' headings and in their units, rounded as they are."""
    shown = {}
    for name in frame.columns.drop(["name", "base"], errors="ignore"):
        scale = QUANTITIES[name].scale if name in QUANTITIES else 1.0
        if name in DIGITS or name in HEADINGS:
            least = float(np.min(frame[name] / scale))
            digits = decimals(name, least, DIGITS.get(name, 2))
            shown[HEADINGS.get(name, name)] = (frame[name] / scale).round(digits)
        else:
            shown[HEADINGS.get(name, name)] = frame[name]
    return pd.DataFrame(shown)


def spread_cell(name: str, figures: Mapping[Any, Any]) -> str:
    """A figure, and behind it what it spreads by, where that is known: `4.14 ± 0.06`, `0.31 [0.29, 0.34]`."""
    text = cell(name, figures.get(name, math.nan))
    low, high = figures.get(f"{name}_low", math.nan), figures.get(f"{name}_high", math.nan)
    if not math.isnan(low):
        return f"{text} [{cell(name, low)}, {cell(name, high)}]"
    spread, share = SPREADS.get(name, ("", 0.0))
    known = figures.get(spread, math.nan) * share
    return text if math.isnan(known) else f"{text} ± {cell(name, known)}"


def cell(name: str, value: float) -> str:
    """A figure as tables have it: in its unit; changes with their sign."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if name.endswith("_change"):
        return _signed(f"{100 * value:+.0f} %")
    if name == "ap_gain":
        return _signed(f"{value:+.{DIGITS[name]}f}")
    scale = QUANTITIES[name].scale if name in QUANTITIES else 1.0
    return f"{value / scale:.{decimals(name, value / scale, DIGITS.get(name, 2))}f}"


def _signed(text: str) -> str:
    """With a minus as wide as a plus."""
    return text.replace("-", "−")


def _line(row: Row, cells: list[str], members: set[int]) -> Line:
    classes = [row.state, *(["on-front"] if row.number in members else [])]
    if row.reference:
        mark = "reference" if row.state == "complete" else f"reference, {row.state}"
    elif row.same_as is not None:
        mark = f"as {row.same_as}"
    else:
        mark = "" if row.state == "complete" else row.state
    return Line(row.number, cells, " ".join(classes), mark, ": ".join(filter(None, (row.name, row.reason))))


def _value(name: str, value: object) -> str:
    if value is None or value != value or value == "":
        return UNKNOWN
    return Path(str(value)).stem if name == BASE else str(value)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return str(value) == UNKNOWN
    return True
