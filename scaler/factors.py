"""Factors of a scaling: of the whole, or of parts by the beginning of their nodes' names. No torch."""

from collections.abc import Collection, Mapping
from fractions import Fraction

from ..blocks.errors import InputError, nearest
from .architecture import Architecture

Factor = float | Mapping[str, float]  # of the whole, or of parts by the beginning of their nodes' names


class ScaleError(InputError):
    """A scaling that cannot be done, or not exactly; the message names the node and a factor that works."""


def factors_of_nodes(scaling: str, architecture: Architecture, factor: Factor) -> dict[str, Fraction]:
    """The factor of every node: that of the longest part that its name begins with, 1 where none does.

    Raises:
        ScaleError: a factor is not above zero, or names a part that is not there.
    """
    names = [node.name for node in architecture.nodes]
    if not isinstance(factor, Mapping):
        return dict.fromkeys(names, exact(scaling, factor))
    parts = {part: exact(f"{scaling}: {part}", value) for part, value in factor.items()}
    part_of = parts_of_nodes(scaling, architecture, parts)
    return {name: Fraction(1) if part is None else parts[part] for name, part in part_of.items()}


def parts_of_nodes(scaling: str, architecture: Architecture, parts: Collection[str]) -> dict[str, str | None]:
    """The longest part that the name of every node begins with; None where it begins with none.

    Raises:
        ScaleError: a part is not there.
    """
    names = [node.name for node in architecture.nodes]
    for part in parts:
        if not any(f"{name}.".startswith(f"{part}.") for name in names):
            known = {".".join(name.split(".")[:length]) for name in names for length in range(1, name.count(".") + 2)}
            raise ScaleError(
                f"{architecture.name}: {scaling}: no node's name begins with {part!r}; {nearest(part, known)}"
            )
    within = {name: [part for part in parts if f"{name}.".startswith(f"{part}.")] for name in names}
    return {name: max(found, key=len, default=None) for name, found in within.items()}


def exact(scaling: str, factor: float) -> Fraction:
    """The fraction that a decimal number stands for.

    Raises:
        ScaleError: the factor is not above zero.
    """
    if isinstance(factor, bool) or not 0 < factor < 1000:
        raise ScaleError(f"{scaling}: the factor must be above 0 and below 1000, not {factor!r}")
    return Fraction(factor).limit_denominator(10**6)
