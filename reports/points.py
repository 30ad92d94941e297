"""What a front's picture shows, as a frame: every trial with its two figures, their intervals, and what it is."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..search.quantities import QUANTITIES, Direction
from ..search.rows import Row, comparable, front
from .trial_table import SPREADS

if TYPE_CHECKING:
    from ..search.status import StudyRecord

COLUMNS = ["x", "y", "x_low", "x_high", "y_low", "y_high", "kind", "reference"]


def points_frame(record: "StudyRecord", x: str, y: str) -> pd.DataFrame:
    """A line for each trial that has a place in the picture of `y` against `x`, in their own units, by number.

    `kind` is front, dominated, stopped or refused; refused trials may have no `y`. `x_low` … `y_high` are NaN where no
    spread is known: AP plus and minus its standard deviation over the seeds, latency the middle half of its runs.
    `reference` is the name of a reference model, or empty. One that is not finite is left out.
    """
    results = {row.number for row in comparable(record.rows)}
    names = [y] if len(record.study.objectives) == 1 else [x, y]
    members = {row.number for row in front(record.study, record.rows, names)}
    lines = []
    for row in record.rows:
        kind = _kind(row, results, members)
        if kind is None or not np.isfinite(row.figures.get(x, np.nan)):
            continue
        if kind != "refused" and not np.isfinite(row.figures.get(y, np.nan)):
            continue
        lines.append(
            {
                "number": row.number,
                "x": row.figures[x],
                "y": row.figures.get(y, np.nan),
                **dict(zip(("x_low", "x_high"), _interval(row, x), strict=True)),
                **dict(zip(("y_low", "y_high"), _interval(row, y), strict=True)),
                "kind": kind,
                "reference": row.reference,
            }
        )
    return pd.DataFrame(lines, columns=["number", *COLUMNS]).set_index("number")


def directions(record: "StudyRecord", x: str, y: str) -> tuple[Direction, Direction]:
    """Which way is better: the study's, and of a quantity that it does not aim at, the natural one."""
    asked = record.study.objectives
    return asked.get(x, QUANTITIES[x].direction), asked.get(y, QUANTITIES[y].direction)


def spreads_known(points: pd.DataFrame, x: str, y: str) -> list[str]:
    """What the whiskers of a picture mean, for its caption."""
    words = {
        "ap": "AP ± its standard deviation over the seeds",
        "latency_ms": "latency over the middle half of its runs",
    }
    known = set(points.columns[points.notna().any()])
    return [words[name] for axis, name in (("y", y), ("x", x)) if name in words and f"{axis}_low" in known]


def _kind(row: Row, results: set[int], members: set[int]) -> str | None:
    if row.number in members:
        return "front"
    if row.number in results:
        return "dominated"
    return row.state if row.state in ("stopped", "refused") and row.same_as is None else None


def _interval(row: Row, name: str) -> tuple[float, float]:
    spread, share = SPREADS.get(name, ("", 0.0))
    half = row.figures.get(spread, np.nan) * share
    middle = row.figures.get(name, np.nan)
    return max(middle - half, 0.0) if np.isfinite(middle - half) else np.nan, middle + half  # no figure is below 0
