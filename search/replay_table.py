"""Tables of finished results: every candidate of a space trained, to replay searches on. No torch, no Optuna.

A table is a CSV file, a line for each candidate, seed and epoch; lines that begin with # are remarks. Its columns:

    seed        of the training; may be left out where there is one
    epoch       counted from 1; left out where only the final results are known
    ap, ap50    after that epoch
    params, gflops, latency_ms, activations, macs     of the candidate
    seconds     that the epoch took, evaluation included
    proxy_zen … what a zero-cost proxy says of the candidate before its training
    any other   a parameter of the space, in numbers (ordered) or words

Of a quantity there may be several, told apart by a suffix: ap_voc and ap_coco, latency_ms_pi4 and latency_ms_nano.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from ..blocks.errors import InputError, nearest
from ..scaler.documents import read_text, write_text
from .curves import best_so_far
from .quantities import QUANTITIES, Quantity
from .space import Value

SEED, EPOCH, SECONDS = "seed", "epoch", "seconds"
PROXY = "proxy_"  # how the columns of proxies begin

Combination = tuple[Value, ...]  # a value for each parameter


class Line(NamedTuple):
    """A line of a table."""

    values: Combination
    seed: int
    epoch: int
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """What is known of a candidate."""

    costs: Mapping[str, float]  # and proxies: all that is known before a training; the mean over the lines
    scores: Mapping[str, tuple[tuple[float, ...], ...]]  # for each seed, the best until each epoch

    def final(self, score: str) -> float:
        """The score after the whole training, as the mean over the seeds."""
        return fmean(curve[-1] for curve in self.scores[score])


@dataclass(frozen=True, eq=False)
class Table:
    """A space and the results of its candidates; not every combination need be there."""

    parameters: tuple[str, ...]
    results: Mapping[Combination, Result]
    has_epochs: bool

    @cached_property
    def domains(self) -> dict[str, tuple[Value, ...]]:
        """The values of each parameter, numbers in ascending order."""
        columns = zip(*self.results, strict=True)
        return {name: _ordered(set(column)) for name, column in zip(self.parameters, columns, strict=True)}

    @cached_property
    def epochs(self) -> int:
        """Of a whole training; 1 where only final results are known."""
        return max(len(curve) for result in self.results.values() for c in result.scores.values() for curve in c)

    @property
    def costs(self) -> tuple[str, ...]:
        return tuple(next(iter(self.results.values())).costs)

    @property
    def scores(self) -> tuple[str, ...]:
        return tuple(next(iter(self.results.values())).scores)

    @property
    def proxies(self) -> tuple[str, ...]:
        return tuple(name for name in self.costs if name.startswith(PROXY))


def quantity_of(column: str) -> Quantity | None:
    """The quantity that a column is of, by its name or the part before the suffix; None for a parameter."""
    if column.startswith(PROXY):
        return Quantity("maximize", column.removeprefix(PROXY), "")
    names = [name for name in QUANTITIES if column == name or column.startswith(f"{name}_")]
    return QUANTITIES[max(names, key=len)] if names else None


def table_of(parameters: Sequence[str], lines: Iterable[Line], where: str, *, has_epochs: bool = True) -> Table:
    """A table from its lines.

    Raises:
        InputError: there are none, epochs are missing, or no score or no parameter.
    """
    found: dict[Combination, list[Line]] = {}
    for line in lines:
        found.setdefault(line.values, []).append(line)
    results = {values: _result(some, where) for values, some in found.items()}
    if not results:
        raise InputError(f"{where}: there is no line with results in it")
    if not parameters:
        raise InputError(f"{where}: has no column for a parameter, such as width")
    if not next(iter(results.values())).scores:
        raise InputError(f"{where}: has no column ap or ap50")
    return Table(tuple(parameters), results, has_epochs)


def read_table(path: Path) -> Table:
    """Read a table.

    Raises:
        InputError: it cannot be read, or a line is not a result, with its number.
    """
    numbered = [
        (number, line)
        for number, line in enumerate(read_text(path).splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not numbered:
        raise InputError(f"{path}: is empty; a table has a header and a line for each candidate, seed and epoch")
    reader = csv.reader([line for _, line in numbered], strict=True)
    header = next(reader)
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path}:{numbered[0][0]}: the column {twice!r} stands twice")
    parameters = [name for name in header if name not in (SEED, EPOCH, SECONDS) and quantity_of(name) is None]
    lines = []
    for (number, _), cells in zip(numbered[1:], reader, strict=False):
        try:
            lines.append(_line(dict(zip(header, cells, strict=True)), parameters))
        except ValueError as error:
            raise InputError(f"{path}:{number}: is not a result: {error}") from error
    return table_of(parameters, lines, str(path), has_epochs=EPOCH in header)


def write_table(path: Path, parameters: Sequence[str], lines: Sequence[Line], remarks: Iterable[str] = ()) -> None:
    """Write a table that reads back."""
    figures = list(dict.fromkeys(name for line in lines for name in line.figures))
    text = io.StringIO()
    text.writelines(f"# {remark}\n" for remark in remarks)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*parameters, SEED, EPOCH, *figures])
    for line in lines:
        cells = [f"{line.figures[name]:.6g}" if name in line.figures else "" for name in figures]
        writer.writerow([*line.values, line.seed, line.epoch, *cells])
    write_text(path, text.getvalue())


def known_columns(table: Table, names: Iterable[str], what: str) -> None:
    """Refuse a name that is not a score or a cost of the table.

    Raises:
        InputError: it is not, with the nearest that is.
    """
    known = (*table.scores, *table.costs)
    for name in names:
        if name not in known:
            raise InputError(f"{what}: the table has no column {name!r}; {nearest(name, known)}")


def _line(cells: Mapping[str, str], parameters: Sequence[str]) -> Line:
    figures = {name: float(text) for name, text in cells.items() if text and quantity_of(name)}
    for name, figure in figures.items():
        if not math.isfinite(figure):
            raise ValueError(f"{name} is {figure}")
    values = tuple(value_of(cells[name]) for name in parameters)
    return Line(values, int(cells.get(SEED) or 0), int(cells.get(EPOCH) or 1), figures)


def value_of(text: str) -> Value:
    """A parameter's value as a table has it: a number where it is one, else the word."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _result(lines: Sequence[Line], where: str) -> Result:
    runs: dict[int, dict[int, Mapping[str, float]]] = {}
    for line in lines:
        if runs.setdefault(line.seed, {}).setdefault(line.epoch, line.figures) is not line.figures:
            raise InputError(f"{where}: {_named(line)}: epoch {line.epoch} of seed {line.seed} stands twice")
    for seed, run in runs.items():
        if sorted(run) != list(range(1, len(run) + 1)):
            raise InputError(f"{where}: {_named(lines[0])}: the epochs of seed {seed} are not 1 to {len(run)}")
    names = [name for name in lines[0].figures if (quantity := quantity_of(name)) and quantity.trained]
    costs = [name for name in lines[0].figures if name not in names]
    try:
        return Result(
            costs={name: fmean(line.figures[name] for line in lines) for name in costs},
            scores={
                name: tuple(best_so_far(run[epoch][name] for epoch in sorted(run)) for run in runs.values())
                for name in names
            },
        )
    except KeyError as error:
        raise InputError(f"{where}: {_named(lines[0])}: {error} is missing in a line") from error


def _named(line: Line) -> str:
    return " ".join(map(str, line.values))


def _ordered(values: set[Value]) -> tuple[Value, ...]:
    if all(isinstance(value, int | float) for value in values):
        return tuple(sorted(values))
    return tuple(sorted(values, key=str))
