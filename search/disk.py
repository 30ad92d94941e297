"""What a study keeps on the disk: run folders are thinned out as trials end, and room is looked for before each."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..blocks.errors import CatscaleError, InputError
from ..trainer.data.disk import free_disk_bytes
from .rows import Row, comparable, front
from .settings import THEIR_BASE
from .standing import INTERRUPTED
from .study import Study

# Bytes on the disk for each weight while a training runs: two files of weights (4), a state of weights, average,
# momentum and second moment (16), and the state's and one weights file's next version beside them (20).
BYTES_PER_WEIGHT = 44
SPARE_BYTES = 100_000_000  # for all that is small: tables, the storage, logs


def check_space(folder: Path, params: float) -> None:
    """Raise a CatscaleError where a training would not have room for its files."""
    needed = int(BYTES_PER_WEIGHT * params) + SPARE_BYTES
    try:
        free = free_disk_bytes(folder)
    except InputError:  # the system does not tell
        return
    if free < needed:
        raise CatscaleError(
            f"{folder}: {free / 1e6:.0f} MB are free on the disk, and a trial needs {needed / 1e6:.0f} MB; make room "
            "(or let the study keep: front) and run it again, it goes on"
        )


def tidy(folder: Path, study: Study, rows: Sequence[Row]) -> None:
    """Remove the weights and states of trained trials that the study does not keep; their tables and settings stay."""
    if study.keep == "all":
        return
    begun_with = study.start is not None and study.start.source == THEIR_BASE
    kept = {row.number for row in _kept(study, rows)} | {row.number for row in rows if row.reference and begun_with}
    for row in rows:
        if (
            row.state not in ("complete", "stopped", "failed")
            or row.number in kept
            or row.reason.startswith(INTERRUPTED)
        ):
            continue
        for run in study.runs_of(folder / "trials" / str(row.number)).values():
            _remove(run.state, run.weights("best"), run.weights("last"))
    for number in kept:  # nothing goes on from a complete trial's states
        _remove(*(run.state for run in study.runs_of(folder / "trials" / str(number)).values()))


def _remove(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _kept(study: Study, rows: Sequence[Row]) -> list[Row]:
    match study.keep:
        case "front":
            return front(study, rows)
        case "best":
            return sorted(comparable(rows), key=lambda row: row.figures["ap"])[-1:]
        case _:
            return []
