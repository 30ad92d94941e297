"""`seeds.csv`: a line for each training of a study, so that AP can be compared seed by seed. No torch."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..blocks.errors import InputError
from ..scaler.documents import parse, read_text, write_text
from .rows import Row
from .space import BASE
from .status import StudyRecord
from .study import label

TABLE = "seeds.csv"


@dataclass(frozen=True)
class SeedRow:
    """One training: what was trained, and the figures of its best epoch on the validation images."""

    trial: int
    variant: str  # the reference's name, or the base and the values that the trial has
    seed: int
    ap: float
    ap50: float
    ap75: float
    params: int
    gflops: float  # paper's convention
    seconds: float  # of the clock, evaluations counted


def seed_rows(record: StudyRecord) -> list[SeedRow]:
    """Every complete training of a study whose run folder is there, by trial and seed."""
    own = (row for row in record.rows if row.state == "complete" and row.same_as is None)
    return [found for row in own for found in _of_trial(record, row)]


def write_seeds(path: Path, rows: Iterable[SeedRow]) -> None:
    """Write the table anew."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(SeedRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _short(value) for name, value in asdict(row).items()} for row in rows)
    write_text(path, text.getvalue())


def read_seeds(path: Path) -> list[SeedRow]:
    """Read the table.

    Raises:
        InputError: it is not there, or a line is not a training's, with its number.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such table; catscale search run writes it")
    lines = csv.DictReader(io.StringIO(read_text(path)))
    return [parse(SeedRow, line, f"{path}:{number}") for number, line in enumerate(lines, start=2)]


def variant(reference: str, values: Mapping[str, object]) -> str:
    """What a trial trained, in a few words: `x-light`, or `tiny compound=1.5 exponent=0.5`."""
    others = [f"{name}={value}" for name, value in values.items() if name != BASE]
    base = reference or (label(str(values[BASE])) if BASE in values else "")
    return " ".join([*([base] if base else []), *others])


def _of_trial(record: StudyRecord, row: Row) -> Iterator[SeedRow]:
    for run in record.study.runs_of(record.run_folder(row)).values():
        facts = run.read_facts() if run.facts.is_file() else None
        if facts is None or facts.status != "complete":
            continue
        best = next((epoch for epoch in run.read_metrics() if epoch.epoch == facts.best_epoch), None)
        if best is not None:
            yield SeedRow(
                trial=row.number,
                variant=variant(row.reference, row.values),
                seed=facts.seed,
                ap=best.ap,
                ap50=best.ap50,
                ap75=best.ap75,
                params=int(row.figures["params"]),
                gflops=row.figures["gflops"],
                seconds=facts.seconds,
            )


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
