"""What reports draw, as pandas frames: trials, fronts, learning curves."""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from ..search.quantities import QUANTITIES
from ..search.rows import FIGURES, STATES, Row, comparable, front, parameter_columns
from ..search.status import StudyRecord
from ..search.study import Study
from ..trainer.run_folder import RunFolder
from .zoo_table import zoo_table

AGAINST = "gflops"  # what a single objective is drawn against


def trials_frame(record: StudyRecord) -> pd.DataFrame:
    """A line for each trial, by number: state, reason, parameters, figures (NaN where unknown), `on_front`."""
    members = {row.number for row in record.front}
    names = parameter_columns(record.study)
    frame = pd.DataFrame(
        [
            {
                "number": row.number,
                "name": row.name,
                "state": row.state,
                "reason": row.reason,
                "reference": row.reference,
                "on_front": row.number in members,
                **{name: row.values.get(name) for name in names},
                **{name: row.figures.get(name, float("nan")) for name in FIGURES},
                "fingerprint": row.fingerprint,
            }
            for row in record.rows
        ],
        columns=["number", "name", "state", "reason", "reference", "on_front", *names, *FIGURES, "fingerprint"],
    )
    return frame.set_index("number")


def front_frame(record: StudyRecord, objectives: Sequence[str] | None = None) -> pd.DataFrame:
    """The trials on the front of the study's objectives, or of some of them; cheapest first."""
    return trials_frame(record).loc[[row.number for row in front(record.study, record.rows, objectives)]]


def curves_frame(record: StudyRecord) -> pd.DataFrame:
    """A line for each epoch of each training that left one: number, epoch, ap, ap50 and the losses."""
    lines = [
        {"number": row.number, "epoch": epoch.epoch, "ap": epoch.ap, "ap50": epoch.ap50, "box": epoch.box,
         "obj": epoch.obj, "cls": epoch.cls, "seconds": epoch.seconds}
        for row in trained(record)
        for epoch in RunFolder(record.run_folder(row)).read_metrics()
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=["number", "epoch", "ap", "ap50", "box", "obj", "cls", "seconds"])


def zoo_frame(models: Sequence[str] | None = None) -> pd.DataFrame:
    """A line for each model: our counts, `published.*`, and `as_published.*`, ours by the published convention.

    Raises:
        InputError: a model is not in the zoo.
    """
    records = [{key: it for key, it in one.items() if key != "also_published"} for one in zoo_table(models)]
    known = [{key: it for key, it in one.items() if it is not None} for one in records]
    return pd.json_normalize(known).set_index("name")


def by_trial(curves: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The lines of each trial, as `curves_frame` has them: together."""
    numbers = np.array(curves["number"], dtype=int)
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    ends = [*starts, len(numbers)][1:]
    return {int(numbers[start]): curves.iloc[start:end] for start, end in zip(starts, ends, strict=True)}


def trained(record: StudyRecord) -> list[Row]:
    """Trials that have, or had, a training of their own."""
    return [
        row for row in record.rows if row.state in ("complete", "stopped", "failed", "running") and row.same_as is None
    ]


def outcomes_frame(record: StudyRecord) -> pd.DataFrame:
    """A line for each state and reason that trials ended with, the most frequent first: state, reason, trials, seconds.

    The reason is the outcome's name and what is said of it with its numbers left out, so that like counts with like.
    """
    lines = [
        {
            "state": "repeated" if row.same_as is not None else row.state,
            "reason": _kind_of(row),
            "seconds": 0.0 if row.same_as is not None else row.figures.get("seconds", 0.0),
        }
        for row in record.rows
    ]
    frame = pd.DataFrame(lines, columns=["state", "reason", "seconds"])
    groups = frame.groupby(["state", "reason"], sort=False)["seconds"]
    counted = groups.agg(trials="size", seconds="sum").reset_index()
    order = {state: place for place, state in enumerate((*STATES, "repeated"))}
    return counted.sort_values(
        ["state", "trials"], key=lambda column: column.map(order) if column.name == "state" else -column
    ).reset_index(drop=True)


def _kind_of(row: Row) -> str:
    return "" if row.same_as is not None else re.sub(r"\d+(\.\d+)?(e[+-]\d+)?", "…", row.reason)


def parallel_frame(record: StudyRecord) -> pd.DataFrame:
    """Trials with a result, by number: parameters that vary, as numbers if all are, and objectives in their units."""
    rows = comparable(record.rows)
    columns: dict[str, list[object]] = {}
    for name in parameter_columns(record.study):
        values = [row.values.get(name) for row in rows]
        if len({value for value in values if value is not None}) > 1:
            columns[name] = _numbers(values)
    for name in record.study.objectives:
        columns[name] = [row.figures.get(name, float("nan")) / QUANTITIES[name].scale for row in rows]
    return pd.DataFrame(columns, index=pd.Index([row.number for row in rows], name="number")).dropna()


def _numbers(values: Sequence[object]) -> list[object]:
    """The values as numbers where all that are there are some, else as they are."""
    try:
        return [float("nan") if value is None else float(str(value)) for value in values]
    except ValueError:
        return list(values)


def pairs(study: Study) -> list[tuple[str, str]]:
    """What is drawn against what, (x, y): each cost against AP first, then the other pairs of objectives."""
    names = list(study.objectives)
    if len(names) == 1:
        return [(AGAINST, names[0])]

    def trained(name: str) -> bool:
        return QUANTITIES[name].trained

    ordered = [(b, a) if trained(a) and not trained(b) else (a, b) for a, b in combinations(names, 2)]
    return sorted(ordered, key=lambda pair: trained(pair[1]) is trained(pair[0]))


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table, its index first."""

    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    columns = [frame.index.name or "", *frame.columns]
    body = [line((index, *(cell_text(value) for value in values))) for index, *values in frame.itertuples()]
    return "\n".join([line(columns), line("---" for _ in columns), *body]) + "\n"


def cell_text(value: object) -> str:
    """A value as tables for people have it: six digits at most; nothing where it is not known."""
    if value is None or value is pd.NA or value != value:  # NaN is not itself
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return str(value)
