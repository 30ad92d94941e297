"""Counts of many scalings of one detector: a few microseconds each, exact, and equal to counting each alone. No torch.

Scalings that change more than widths and size make a *wiring*, which is lowered once and kept with its counts as forms
in the widths (`scaler.forms`); any width and size of it is then arithmetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..blocks.errors import InputError
from .architecture import Architecture, check_size
from .factors import exact_factor
from .forms import ALL, LIMIT, Forms, Integers, Parts, figures, forms_of, identity, of_size
from .scaling import DIVISOR, DIVISORS, SETTINGS, apply, checked_setting, width

Figure = TypeVar("Figure", int, Integers)

_LAST = ("width", "resolution", *SETTINGS)

KEPT = 2048  # wirings of one base that are kept
CHUNK = 2**15  # detectors evaluated at once
PRIME = np.uint64(0x9E3779B97F4A7C15)  # spreads sizes over the identities; any odd number that looks random does


@dataclass(frozen=True, slots=True)
class Counts(Generic[Figure]):
    """Exact counts of a deploy graph at batch 1: whole numbers for one detector, arrays (n,) for many."""

    params: Figure
    macs: Figure
    biases: Figure
    activations: Figure

    @property
    def flops(self) -> Figure:
        """By the paper's convention: 2 x (MACs + one per element to which a bias is added)."""
        return 2 * (self.macs + self.biases)


class SpaceCounter:
    """Counts scalings of one detector; the wirings that they have in common are lowered once."""

    def __init__(self, base: Architecture) -> None:
        self.base = base
        self._kept = lru_cache(maxsize=KEPT)(lambda key: Wiring(apply(base, _thawed(key))))

    def count(self, **scalings: Any) -> Counts[int]:
        """Count `base.scale(**scalings)` at its size.

        Raises:
            ScaleError, InputError: as scaling and counting it alone does.
        """
        structure, last = _split(scalings)
        try:
            wiring = self.wiring(structure)
            size, divisor = last.get("resolution", wiring.architecture.size), last.get("divisor", DIVISOR)
            if type(size) is type(divisor) is int and size > 0 and not size % wiring.stride and divisor in DIVISORS:
                counts = wiring.count(last.get("width", 1), size, divisor)
                if counts:
                    return counts
        except TypeError:  # of a value that no scaling takes; said better below
            pass
        cost = self.base.scale(**scalings).cost()
        return Counts(cost.params, cost.macs, cost.total.biases, cost.activations)

    def wiring(self, structure: Mapping[str, Any]) -> "Wiring":
        """The base after scalings that change more than widths and size.

        Raises:
            ScaleError: one of them cannot be done.
        """
        return self._kept(_frozen(structure))


class Wiring:
    """A detector whose widths and size may still be scaled."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.stride = architecture.strides[-1]
        self._forms: dict[Parts, Forms | None] = {}

    def count(self, factor: Any, size: int, divisor: int = DIVISOR) -> Counts[int] | None:
        """Count it at a width factor, of all or of parts, and a size; None where it has no forms for that.

        Raises:
            InputError: a factor is not above zero, or of a part that is not there.
            TypeError: a factor is no number.
        """
        if isinstance(factor, Mapping):
            exact = [exact_factor(f"width: {part}", value) for part, value in factor.items()]
            parts = tuple((part, value == 1) for part, value in zip(factor, exact, strict=True))
        else:
            exact, parts = [exact_factor("width", factor)], ALL
        forms = self.forms(parts)
        if forms is None or self._own is None:
            return None
        if all(value == 1 for value in exact):
            found = self._own
        else:
            ratios = [value.numerator for value in exact], [value.denominator for value in exact]
            found = forms.evaluate(forms.unknowns(*ratios, divisor)).tolist()
        return Counts(*of_size(found, (size // self.stride) ** 2))

    def count_all(
        self, factors: ArrayLike, sizes: ArrayLike, divisor: int = DIVISOR
    ) -> tuple[Counts[Integers], NDArray[np.uint64]]:
        """Count each pair of a factor of all widths and a size in pixels.

        Returns:
            The counts; and a number for each that is equal for equal detectors at equal sizes, also of other wirings.

        Raises:
            InputError: a factor is not above zero, or cannot be built; a size is no multiple of the largest stride;
                counts are beyond 2^62, or maps grow otherwise than with the area.
        """
        side = np.asarray(sizes, dtype=np.int64)
        for size in np.unique(side):
            check_size(int(size), self.stride, self.architecture.name)
        if self._own is None:
            raise InputError(f"{self.architecture.name}: maps grow otherwise than with the area; count it by profile")
        checked_setting("divisor", divisor)
        if divisor not in DIVISORS:
            known = ", ".join(map(str, DIVISORS))
            raise InputError(f"divisor: {divisor} is counted one by one alone; many at once by one of {known}")
        distinct, place = np.unique(np.asarray(factors), return_inverse=True)
        unit, identities = self._scaled([exact_factor("width", factor) for factor in distinct.tolist()], divisor)
        area = (side // self.stride) ** 2
        if (unit.max(axis=0, initial=0)[place].astype(np.float64) * (area + 1) >= LIMIT).any():
            raise InputError(f"{self.architecture.name}: counts beyond 2^62; count it by profile")
        return Counts(*of_size(unit[:, place], area)), identities[place] + PRIME * side.astype(np.uint64)

    def forms(self, parts: Parts = ALL) -> Forms | None:
        """Its `figures` as forms in the widths; None where they are none.

        Raises:
            ScaleError: no node's name begins with one of the parts.
        """
        if parts not in self._forms:
            self._forms[parts] = forms_of(self.architecture, parts)
        return self._forms[parts]

    @cached_property
    def _own(self) -> list[int] | None:
        """Its `figures` with its own widths; None where they do not give its counts at other sizes."""
        deploy = self.architecture.graph("deploy")
        found, larger = (cast(list[int], figures(deploy, size)) for size in (self.stride, 2 * self.stride))
        return found if of_size(found, 4) == of_size(larger, 1) else None

    def _scaled(self, factors: list[Fraction], divisor: int) -> tuple[Integers, NDArray[np.uint64]]:
        """Figures (4 or 7, m), and identities (m,)."""
        assert self._own is not None
        unit = np.empty((len(self._own), len(factors)), dtype=np.int64)
        identities = np.empty(len(factors), dtype=np.uint64)
        one = np.array([factor == 1 for factor in factors], dtype=bool)
        forms = self.forms()
        for index in np.flatnonzero(one if forms else np.ones_like(one)):
            alone = width(self.architecture, float(factors[index]), divisor=divisor)
            counts = cast(list[int], figures(alone.graph("deploy"), self.stride))
            if max(counts) >= LIMIT:
                raise InputError(f"{self.architecture.name}: counts beyond 2^62; count it by profile")
            unit[:, index], identities[index] = counts, cast(int, identity(alone.graph("train"))) % 2**64
        if forms:
            others = np.flatnonzero(~one)
            for chunk in (others[start : start + CHUNK] for start in range(0, len(others), CHUNK)):
                numerators = [factors[index].numerator for index in chunk]
                denominators = [factors[index].denominator for index in chunk]
                k = forms.unknowns([numerators], [denominators], divisor)
                unit[:, chunk], identities[chunk] = forms.evaluate(k), forms.identities(k)
        return unit, identities


def _split(scalings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The scalings that make a wiring, and those of width and size at the end, which are done to its counts."""
    names = list(scalings)
    while names and names[-1] in _LAST:
        names.pop()
    structure = {name: scalings[name] for name in names if name not in SETTINGS}
    last = {name: scalings[name] for name in _LAST if name in scalings and name not in structure}
    within = "compound" in structure or "width" not in last  # the divisor is of the wiring too; unused, refused there
    structure |= {name: last[name] for name in SETTINGS if name in last and (name != "divisor" or within)}
    return structure, last


def _frozen(scalings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Scalings as a key; it tells 1 from 1.0 and True."""
    return tuple(
        (name, dict, _frozen(value)) if isinstance(value, Mapping) else (name, type(value), value)
        for name, value in scalings.items()
    )


def _thawed(key: tuple[Any, ...]) -> dict[str, Any]:
    return {name: _thawed(value) if kind is dict else value for name, kind, value in key}
