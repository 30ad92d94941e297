"""`latency.csv` of a study's folder: what `catscale latency` measured, in few columns. No torch."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ..blocks.errors import InputError
from ..scaler.documents import parse, read_text

LATENCIES = "latency.csv"


@dataclass(frozen=True)
class Timed:
    """A line of the table of latencies: the median of a forward pass at batch 1, and its 95 % interval."""

    model: str
    size_px: int
    median_ms: float
    low_ms: float
    high_ms: float


def read_timed(path: Path) -> list[Timed]:
    """Read latencies.

    Raises:
        InputError: there are none, or a line is not one, with its number.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such table of latencies")
    lines = csv.DictReader(io.StringIO(read_text(path)))
    return [parse(Timed, line, f"{path}:{number}") for number, line in enumerate(lines, start=2)]
