"""What reports draw, as pandas frames: trials, fronts, learning curves."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import pandas as pd

from ..search.quantities import QUANTITIES
from ..search.rows import FIGURES, Row, front, parameter_columns
from ..search.status import StudyRecord
from ..search.study import Study
from ..trainer.run_folder import RunFolder

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


def trained(record: StudyRecord) -> list[Row]:
    """Trials that have, or had, a training of their own."""
    return [row for row in record.rows if row.state in ("complete", "failed", "running") and row.same_as is None]


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
