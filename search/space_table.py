"""Every candidate of a study's space with its counts, before anything is trained. No torch."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..blocks.errors import InputError
from ..scaler.space_cost import Counts, SpaceCounter, Wiring
from .candidates import Bases, figures, over_budget
from .pareto import pareto_front
from .quantities import Direction
from .space import BASE, Parameter, Value, combinations, drawn
from .study import Study

MOST = 5_000_000  # candidates; of a larger space, as of a continuum, a sample is drawn
DRAWN = 100_000
WIRINGS = 2000  # different ones in a sample, at most

LAST = ("width", "resolution")  # what is done to the counts of a wiring; everything else makes another wiring
FRONTS: dict[str, tuple[Direction, Direction]] = {  # of params and FLOPs
    "least": ("minimize", "minimize"),
    "most": ("maximize", "minimize"),
}

Indices = NDArray[np.int64]
_Group = tuple[int, NDArray[np.float64], Indices]  # place of a structure, widths and sizes of its candidates
Watch = Callable[[int, int], None]  # wirings done, of how many


@dataclass(frozen=True)
class SpaceTable:
    """The candidates that can be built, a row for each, in the order of the space."""

    study: Study
    combinations: int | None  # of scalings and bases in the whole space; None where there is a continuum
    looked_at: int  # candidates, buildable or not: the whole space, or a sample of it
    unbuildable: Mapping[str, int]  # reasons, and of how many candidates
    structures: tuple[dict[str, Value], ...]  # base and scalings other than width and resolution
    structure: Indices  # (n,) which of them
    width: NDArray[np.float64]  # (n,) factors; 1 where the space has none
    size: Indices  # (n,) pixels
    counts: Counts[Indices]  # (n,) each
    identities: NDArray[np.uint64]  # (n,) equal for candidates that are the same detector

    def __len__(self) -> int:
        return len(self.size)

    @property
    def sampled(self) -> bool:
        return self.looked_at != self.combinations

    @cached_property
    def distinct(self) -> int:
        """How many different detectors the rows are."""
        return len(np.unique(self.identities))

    @cached_property
    def figures(self) -> dict[str, NDArray[Any]]:
        """Params, GFLOPs (paper's convention), MACs, activations, (n,) each."""
        return figures(self.counts.params, self.counts.flops, self.counts.macs, self.counts.activations)

    @cached_property
    def within(self) -> Indices:
        """Rows within every bound that needs no measurement."""
        fits = np.ones(len(self), dtype=bool)
        for name, bound in self.study.constraints.items():
            fits &= self.figures[name] <= bound if name in self.figures else True
        return np.flatnonzero(fits)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Bounds of the study that only a measurement can tell."""
        return tuple(name for name in self.study.constraints if name not in self.figures)

    def front(self, kind: str) -> Indices:
        """Rows within the bounds that no other such row beats in params and FLOPs; fewest FLOPs first, each once.

        `least` minimises both; `most` wants the most params for the fewest FLOPs.
        """
        points = np.stack([self.counts.params[self.within], self.counts.flops[self.within]], axis=1)
        front = pareto_front(points, FRONTS[kind])
        _, first = np.unique(points[front, ::-1], axis=0, return_index=True)
        return self.within[front[first]]

    def values(self, row: int) -> dict[str, Value]:
        """The combination of values of a row, with its base."""
        structure = self.structures[self.structure[row]]
        last: dict[str, Value] = {"width": float(self.width[row]), "resolution": int(self.size[row])}
        for name, parameter in self.study.space.parameters.items():
            if name in last:  # as the study has it: 1, not 1.0
                last[name] = next((value for value in parameter.values or () if value == last[name]), last[name])
        given = {name: value for name, value in last.items() if name in self.study.space.parameters}
        return {**structure, **{name: value for name, value in given.items() if name not in structure}}

    def rules_out(self) -> dict[str, int]:
        """How many rows each bound that is counted rules out by itself."""
        bounds = {name: bound for name, bound in self.study.constraints.items() if name in self.figures}
        return {name: int((self.figures[name] > bound).sum()) for name, bound in bounds.items()}

    @property
    def nearest(self) -> int:
        """The row that is furthest within the bounds, or least beyond them."""
        return int(np.argmin(self._used))

    @cached_property
    def _used(self) -> NDArray[np.float64]:
        """The largest share of a bound that each row uses; above 1 is over budget."""
        bounds = self.study.constraints
        shares = [self.figures[name] / bound for name, bound in bounds.items() if name in self.figures]
        return np.max([np.zeros(len(self)), *shares], axis=0)


def tabulate(study: Study, bases: Bases, draws: int | None = None, watch: Watch = lambda done, of: None) -> SpaceTable:
    """Count a study's space: the whole of it, or `draws` of its candidates at random, by the study's seed.

    A continuum, and a space of more than `MOST`, is sampled also where `draws` is not given.
    """
    detectors = study.space.detectors
    everything = None if detectors is None else detectors * len(study.base)
    whole = draws is None and everything is not None and everything <= MOST
    rng = np.random.default_rng(study.seed)
    structures = _structures(study, None if whole else rng)
    groups = _whole(study, bases, structures) if whole else _drawn(study, bases, structures, draws or DRAWN, rng)
    counters = {name: SpaceCounter(base) for name, base in bases.architectures.items()}
    reasons: Counter[str] = Counter()
    rows = [_Rows.none()]
    for index, widths, sizes in groups:
        try:
            wiring = counters[str(structures[index][BASE])].wiring(study.space.scalings(structures[index]))
        except InputError as error:
            reasons[_reason(error)] += len(sizes)
        else:
            rows.append(_Rows.counted(index, wiring, widths, sizes, reasons))
        watch(index + 1, len(structures))
    together = [np.concatenate(column) for column in zip(*rows, strict=True)]
    structure, width, size, params, macs, biases, activations, identities = together
    counts = Counts(params, macs, biases, activations)
    looked_at = len(size) + reasons.total()
    common = dict(reasons.most_common())
    return SpaceTable(study, everything, looked_at, common, structures, structure, width, size, counts, identities)


def nearest_miss(table: SpaceTable, bases: Bases) -> str:
    """The row that is least beyond the bounds, in words."""
    candidate = bases.candidate(table.values(table.nearest))
    return f"{candidate.architecture.name} is {over_budget(table.study, candidate.figures)}"


class _Rows(NamedTuple):
    """Columns of rows, in the order of `SpaceTable`."""

    structure: Indices
    width: NDArray[np.float64]
    size: Indices
    params: Indices
    macs: Indices
    biases: Indices
    activations: Indices
    identities: NDArray[np.uint64]

    @classmethod
    def none(cls) -> Self:
        whole = np.zeros(0, dtype=np.int64)
        return cls(whole, np.zeros(0), whole, whole, whole, whole, whole, np.zeros(0, dtype=np.uint64))

    @classmethod
    def counted(
        cls, index: int, wiring: Wiring, widths: NDArray[np.float64], sizes: Indices, reasons: Counter[str]
    ) -> Self:
        """The rows of a wiring; the reasons get those that cannot be built."""
        try:
            counts, identities = wiring.count_all(widths, sizes)
        except InputError:
            good = _buildable(wiring, widths, sizes, reasons)
            return cls.counted(index, wiring, widths[good], sizes[good], reasons) if good.any() else cls.none()
        structure = np.full(len(sizes), index)
        figures = counts.params, counts.macs, counts.biases, counts.activations
        return cls(structure, widths, sizes, *figures, identities)


def _structures(study: Study, rng: np.random.Generator | None) -> tuple[dict[str, Value], ...]:
    """Bases with the scalings that make a wiring: all there are; with `rng`, so many at most as a sample may have."""
    space = study.space.of_detector
    last = LAST[:1] if "stages" in space else LAST  # the size comes before the levels that it must fit
    structural = {BASE: Parameter(choices=tuple(study.bases)), **{n: p for n, p in space.items() if n not in last}}
    values = [parameter.values for parameter in structural.values()]
    if rng is None or (None not in values and prod(len(some) for some in values if some) <= WIRINGS):
        return tuple(combinations(structural))
    return tuple({name: drawn(p, rng) for name, p in structural.items()} for _ in range(WIRINGS))


def _whole(study: Study, bases: Bases, structures: tuple[dict[str, Value], ...]) -> Iterator[_Group]:
    for index, structure in enumerate(structures):
        widths = np.array(_values(study, "width", 1), dtype=np.float64)
        sizes = np.array(_sizes(study, bases, structure), dtype=np.int64)
        yield index, np.repeat(widths, len(sizes)), np.tile(sizes, len(widths))


def _drawn(
    study: Study, bases: Bases, structures: tuple[dict[str, Value], ...], draws: int, rng: np.random.Generator
) -> Iterator[_Group]:
    picked, times = np.unique(rng.integers(len(structures), size=draws), return_counts=True)
    width = study.space.parameters.get("width")
    for index, count in zip(picked.tolist(), times.tolist(), strict=True):
        if width and width.values is None:
            widths = np.array([drawn(width, rng) for _ in range(count)], dtype=np.float64)
        else:
            widths = rng.choice(_values(study, "width", 1), count).astype(np.float64)
        yield index, widths, rng.choice(_sizes(study, bases, structures[index]), count).astype(np.int64)


def _sizes(study: Study, bases: Bases, structure: Mapping[str, Value]) -> tuple[Value, ...]:
    if "resolution" in structure:
        return (structure["resolution"],)
    return _values(study, "resolution", bases.architectures[str(structure[BASE])].size)


def _values(study: Study, name: str, otherwise: Value) -> tuple[Value, ...]:
    parameter = study.space.parameters.get(name)
    return (parameter.values or ()) if parameter else (otherwise,)


def _buildable(wiring: Wiring, widths: NDArray[np.float64], sizes: Indices, reasons: Counter[str]) -> NDArray[np.bool_]:
    """Which pairs of width and size can be built, tried one by one."""
    pairs, place = np.unique(np.stack([widths, sizes], axis=1), axis=0, return_inverse=True)
    good = np.ones(len(pairs), dtype=bool)
    for index, (width, size) in enumerate(pairs):
        try:
            wiring.count_all([width], [int(size)])
        except InputError as error:
            good[index] = False
            reasons[_reason(error)] += int((place == index).sum())
    return good[place]


def _reason(error: InputError) -> str:
    """Why it cannot be built, without the candidate's name, so that equal reasons are one."""
    return str(error).partition(": ")[2] or str(error)
