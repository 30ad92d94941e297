"""Every trial in a table, and how trials ended."""

from typing import Any

from ...scaler.documents import write_text
from ..frames import markdown, outcomes_frame
from ..spent import duration, energy_words, spent
from ..trial_table import UNKNOWN, Line, trial_table
from .front_table import spread_words
from .material import Material, Section

PAGE = 100  # lines that the page holds as HTML; its script shows the others in their place


def trials(material: Material) -> Section:
    """The table, with all trials for the page's script, and its files."""
    record = material.record
    write_text(material.output / f"{material.stem}-trials.csv", material.trials.to_csv(lineterminator="\n"))
    write_text(material.output / f"{material.stem}-trials.md", markdown(material.trials.drop(columns="fingerprint")))
    table = trial_table(record, record.rows)
    content = {
        "table": table,
        "caption": f"Every trial; those of the front are tinted. A heading sorts.{spread_words(material.trials)}",
        "page": PAGE,
        "packed": {
            "page": PAGE,
            "columns": [[column.heading, int(column.numeric)] for column in table.columns],
            "lines": [_packed(line) for line in table.lines],
        },
        "states": list(dict.fromkeys(row.state for row in record.rows)),
        "files": [f"{material.stem}-trials.{kind}" for kind in ("csv", "md")],
    }
    return Section("trials", "All trials", "trials.html.j2", content)


def outcomes(material: Material) -> Section | None:
    """States, reasons and time; nothing where no trial has begun."""
    frame = outcomes_frame(material.record)
    if frame.empty:
        return None
    rows = zip(frame["state"], frame["reason"], frame["trials"], frame["seconds"], strict=True)
    lines = [(state, reason, count, duration(time) if time else UNKNOWN) for state, reason, count, time in rows]
    total = f"{duration(spent(material.record.rows))} of training in all."
    energy = energy_words(material.record, material.shown)
    content = {"lines": lines, "most": max(frame["trials"]), "spent": f"{total} {energy}"}
    return Section("outcomes", "How trials ended, and time spent", "outcomes.html.j2", content)


def _packed(line: Line) -> list[Any]:
    return [line.number, line.classes, line.mark, line.title, line.cells]
