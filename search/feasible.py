"""Which candidates are worth a trial: those that can be built, and are within the bounds that need no measurement.

Where candidates are to grow out of a trained detector: those that can. And such as have an assigner for their head.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ..blocks.errors import InputError
from ..scaler.space_cost import SpaceCounter
from .candidates import Bases, figures, over_budget
from .pairing import Pairing
from .quantities import QUANTITIES, shown
from .space import BASE, Value, combinations, drawn
from .space_table import SpaceTable, nearest_miss, tabulate
from .study import Study

EXAMINED = 100_000  # candidates of a finite space, the most that are all counted before a study begins
OVER = "over budget"
DRAWN = 2_000  # of a larger space, or a continuum
COUNTED = ("params", "gflops", "macs", "activations")  # that follow from the counts alone

Combination = tuple[tuple[str, Any], ...]


class Feasible:
    """Tells candidates that fit from those that do not, by the analytic cost and, where there is one, a prediction."""

    def __init__(self, study: Study, bases: Bases) -> None:
        self.study, self.bases = study, bases
        self.pairing = Pairing(study, bases)
        self._reasons: dict[Combination, str] = {}

    def reason(self, values: Mapping[str, Value]) -> str:
        """Why a combination of values is not worth a trial; empty where it is."""
        if mismatch := self.pairing.mismatch(values):
            return mismatch
        scalings = {name: value for name, value in values.items() if name not in self.study.space.of_recipe}
        key = combination(scalings)
        if key not in self._reasons:
            self._reasons[key] = self._why(scalings)
        return self._reasons[key]

    def left(self, tried: Collection[Combination]) -> Iterator[dict[str, Value]]:
        """What fits of a finite space and has not been tried, in the order of the space.

        Of one of more than `EXAMINED` candidates, what fits of a sample.
        """
        for scalings in self._rows():
            for others in combinations(self.study.space.of_recipe):
                values = self._ordered({**scalings, **others})
                if combination(values) not in tried and not self.pairing.mismatch(values):
                    yield values

    def some(self, tried: Collection[Combination], rng: np.random.Generator) -> dict[str, Value] | None:
        """A candidate at random that fits and has not been tried; None where none is known."""
        if self.finite and (self.study.space.of_recipe or not self.bases.beyond_counts):
            left = list(self.left(tried))
            return left[rng.integers(len(left))] if left else None
        return next(iter(self.several(tried, rng, 1)), None)

    def several(self, tried: Collection[Combination], rng: np.random.Generator, most: int) -> list[dict[str, Value]]:
        """As many candidates at random that fit and have not been tried; fewer where no more are known."""
        if self.finite:
            left = list(self.left(tried))
            if len(left) <= most:
                return left
            return [left[place] for place in rng.choice(len(left), most, replace=False)]
        several: list[dict[str, Value]] = []
        for row in rng.permutation(self.table.within):
            found = {**self._values(int(row)), **{n: drawn(p, rng) for n, p in self.study.space.of_recipe.items()}}
            found = self._ordered(found)
            if combination(found) not in tried and not self.reason(found):
                several.append(found)
                if len(several) == most:
                    break
        return several

    def known(self, values: Mapping[str, Value]) -> Mapping[str, float]:
        """The figures of a candidate that need no measurement.

        Raises:
            InputError: it cannot be built.
        """
        if any(name not in COUNTED and not QUANTITIES[name].trained for name in self.study.objectives):
            return self.bases.candidate(values).figures
        scalings = {name: value for name, value in values.items() if name not in self.study.space.of_recipe}
        return self._counted(scalings)

    @property
    def finite(self) -> bool:
        """Whether all that fits can be listed."""
        return self.study.combinations is not None and self.study.combinations <= EXAMINED

    @cached_property
    def table(self) -> SpaceTable:
        """The space counted: the whole of a small one, or a sample."""
        return tabulate(self.study, self.bases, None if self.finite else DRAWN)

    @cached_property
    def fitting(self) -> int:
        """How many candidates of a finite space fit."""
        if self.pairing.all_meaningful and not self.bases.beyond_counts:
            return len(self.table.within) * self._trainings
        return sum(1 for _ in self.left(()))

    @property
    def left_out(self) -> Counter[str]:
        """Of a finite space: why candidates do not fit, and of how many that is the reason."""
        found = Counter({f"cannot be built: {why}": n * self._trainings for why, n in self.table.unbuildable.items()})
        found[OVER] = (len(self.table) - len(self.table.within)) * self._trainings
        why = self.reason if self.bases.beyond_counts else self.pairing.mismatch  # the table has seen to the rest
        for row in self.table.within if self.fitting < self._trainings * len(self.table.within) else ():
            for others in combinations(self.study.space.of_recipe):
                found[kind_of(why({**self._values(int(row)), **others}))] += 1
        return Counter({why: count for why, count in found.most_common() if why and count})

    @property
    def _trainings(self) -> int:
        """In how many ways a finite space trains each detector."""
        return prod(len(parameter.values or ()) for parameter in self.study.space.of_recipe.values())

    def check(self) -> None:
        """Hold that there is a candidate that fits.

        Raises:
            InputError: there is none; the message names the bound that none keeps, and the nearest miss.
        """
        self.pairing.check()
        table, name = self.table, self.study.name
        what = f"none of its {table.combinations} candidates" if not table.sampled else (
            f"none of {table.looked_at:,} candidates drawn at random"
        )  # fmt: skip
        if not len(table):
            raise InputError(f"{name}: space: {what} can be built; {next(iter(table.unbuildable), '')}")
        what = what.replace("its", "the space's")
        if not len(table.within):
            raise InputError(
                f"{name}: constraints: {what} fits{_killer(table)}; the nearest, {nearest_miss(table, self.bases)}. "
                "Raise the bound or add smaller choices"
            )
        if self.bases.beyond_counts and all(self.reason(self._values(int(row))) for row in table.within):
            nearest = min((self._values(int(row)) for row in table.within), key=self._used)
            candidate = self.bases.candidate(nearest)
            if not over_budget(self.study, candidate.figures):
                raise InputError(f"{name}: start: {what} fits; the nearest {self.reason(nearest)}")
            raise InputError(
                f"{name}: constraints: {what} fits; the nearest, {candidate.architecture.name}, is "
                f"{over_budget(self.study, candidate.figures)}. Raise the bound or add smaller choices"
            )
        if self.finite and not self.pairing.all_meaningful and next(self.left(()), None) is None:
            raise InputError(f"{name}: {what} fits: {'; '.join(self.left_out)}")

    def _why(self, values: Mapping[str, Value]) -> str:
        try:
            if self.bases.beyond_counts:
                candidate = self.bases.candidate(values)
                return over_budget(self.study, candidate.figures) or self.bases.cannot_grow(candidate)
            return over_budget(self.study, self._counted(values))
        except InputError as error:
            return f"unbuildable: {error}"

    def _counted(self, values: Mapping[str, Value]) -> dict[str, float]:
        base = self.bases.base_of(values)
        counts = self._counters[base.name].count(**self.study.space.scalings(values))
        return figures(counts.params, counts.flops, counts.macs, counts.activations)

    @cached_property
    def _counters(self) -> dict[str, SpaceCounter]:
        return {base.name: SpaceCounter(base) for base in self.bases.architectures.values()}

    def _rows(self) -> Iterator[dict[str, Value]]:
        for row in self.table.within:
            values = self._values(int(row))
            if not self.bases.beyond_counts or not self.reason(values):
                yield values

    def _values(self, row: int) -> dict[str, Value]:
        values = self.table.values(row)
        return values if len(self.study.base) > 1 else {name: it for name, it in values.items() if name != BASE}

    def _ordered(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {name: values[name] for name in (BASE, *self.study.space.parameters) if name in values}

    def _used(self, values: Mapping[str, Value]) -> float:
        """The largest share of a bound that a candidate uses."""
        known = self.bases.candidate(values).figures
        return max((known[name] / bound for name, bound in self.study.constraints.items() if name in known), default=0)


def combination(values: Mapping[str, Any]) -> Combination:
    """A combination of values as a key."""
    return tuple(sorted((name, round(v, 9) if isinstance(v, float) else v) for name, v in values.items()))


def kind_of(reason: str) -> str:
    """A reason without what is of the one candidate, so that equal ones can be counted; empty of none."""
    if reason.startswith("unbuildable: "):
        return f"cannot be built: {reason.partition(': ')[2].partition(': ')[2]}"
    return OVER if reason.startswith(OVER) else reason


def _killer(table: SpaceTable) -> str:
    """Which bound leaves none by itself, in words."""
    alone = [name for name, count in table.rules_out().items() if count == len(table)]
    if alone:
        return f", as none keeps {' or '.join(f'{n} <= {shown(n, table.study.constraints[n])}' for n in alone)}"
    return ", though each bound alone leaves some" if len(table.study.constraints) > 1 else ""
