"""`trials.csv`: a line for each trial of a study, for people, spreadsheets and reports."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ..blocks.errors import InputError
from ..scaler.documents import read_text, write_text
from .pareto import pareto_front
from .space import BASE, Value
from .study import Study

State = Literal["complete", "stopped", "refused", "failed", "running"]  # stopped: trained, but not to its end
STATES: tuple[State, ...] = ("complete", "stopped", "refused", "failed", "running")

FIGURES = (
    "ap", "ap50", "ap_spread", "params", "gflops", "latency_ms", "latency_iqr_ms", "activations", "macs", "memory",
    "seconds", "energy_joules",
)  # fmt: skip
WHOLE = ("params", "activations", "macs", "memory")


@dataclass(frozen=True)
class Row:
    """One trial."""

    number: int
    state: State
    reason: str = ""  # why it was refused or failed, or whose result it took over
    reference: str = ""  # the base that it is, unscaled
    values: Mapping[str, Value | str] = field(default_factory=dict)  # of the space's parameters; none for a reference
    figures: Mapping[str, float] = field(default_factory=dict)  # those of `FIGURES` that are known
    fingerprint: str = ""
    name: str = ""  # of the architecture
    same_as: int | None = None  # the trial whose result it took over
    worker: str = ""  # the lease under which it is trained, or was

    @property
    def finite(self) -> bool:
        return all(math.isfinite(value) for value in self.figures.values())


def parameter_columns(study: Study) -> list[str]:
    """The parameters of a study, as columns."""
    return [*([BASE] if len(study.base) > 1 else []), *study.space.parameters]


def write_rows(path: Path, study: Study, rows: Iterable[Row]) -> None:
    """Write all trials anew; a reader sees the old file or the new one."""
    names = parameter_columns(study)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["number", "state", "reason", "reference", *names, *FIGURES, "fingerprint", "name", "same_as", "worker"]
    )
    for row in rows:
        figures = [_written(name, row.figures.get(name)) for name in FIGURES]
        values = [row.values.get(name, "") for name in names]
        end = [row.fingerprint, row.name, "" if row.same_as is None else row.same_as, row.worker]
        writer.writerow([row.number, row.state, row.reason, row.reference, *values, *figures, *end])
    write_text(path, text.getvalue())


def read_rows(path: Path, study: Study) -> list[Row]:
    """Read `trials.csv`.

    Raises:
        InputError: a line is not a trial's, with its number.
    """
    lines = csv.DictReader(io.StringIO(read_text(path)))
    names = parameter_columns(study)
    known = [name for name in FIGURES if name != "latency_iqr_ms" or study.latency.runs > 1]  # one run has no spread
    return [_read(line, names, known, f"{path}:{number}") for number, line in enumerate(lines, start=2)]


def front(study: Study, rows: Sequence[Row], objectives: Sequence[str] | None = None) -> list[Row]:
    """The trials on the Pareto front of the study's objectives (or of some of them), cheapest first.

    A trial that took over another's result, or lacks a figure, is not among them.
    """
    names = list(objectives or study.objectives)
    complete = [row for row in comparable(rows) if all(name in row.figures for name in names)]
    points = np.array([[row.figures[name] for name in names] for row in complete]).reshape(-1, len(names))
    members = [complete[i] for i in pareto_front(points, [study.objectives[name] for name in names])]
    cost = next((name for name in names if study.objectives[name] == "minimize"), names[0])
    return sorted(members, key=lambda row: (row.figures[cost], row.number))


def comparable(rows: Iterable[Row]) -> list[Row]:
    """Trials with a result of their own."""
    return [row for row in rows if row.state == "complete" and row.same_as is None and row.finite]


def _written(name: str, value: float | None) -> str | int:
    if value is None:
        return ""
    return int(value) if name in WHOLE and math.isfinite(value) else f"{value:.6g}"


def _read(line: dict[str, str | None], names: Sequence[str], known: Sequence[str], where: str) -> Row:
    try:
        state = line["state"]
        if state not in STATES:
            raise ValueError(f"state {state!r}; known: {', '.join(STATES)}")
        return Row(
            number=int(line["number"] or ""),
            state=state,
            reason=line["reason"] or "",
            reference=line["reference"] or "",
            values={name: line[name] or "" for name in names if line[name]},
            figures={name: float(line[name] or "") for name in known if line.get(name)},
            fingerprint=line["fingerprint"] or "",
            name=line["name"] or "",
            same_as=int(line["same_as"] or "") if line["same_as"] else None,
            worker=line.get("worker") or "",  # not in tables of earlier versions
        )
    except KeyError as error:
        raise InputError(f"{where}: there is no column {error} in it; it is written by catscale search run") from error
    except ValueError as error:
        raise InputError(f"{where}: is not a trial: {error}") from error
