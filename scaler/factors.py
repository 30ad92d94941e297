"""Factors of a scaling: of the whole, or of parts by the beginning of their nodes' names. No torch."""

from collections.abc import Collection, Mapping
from fractions import Fraction

from ..blocks.errors import InputError, nearest
from ..blocks.roles import Role, fields_with
from .architecture import DETECT, Architecture

Factor = float | Mapping[str, float]  # of the whole, or of parts by the beginning of their nodes' names


class ScaleError(InputError):
    """A scaling that cannot be done, or not exactly; the message names the node and a factor that works."""


def factors_of_nodes(scaling: str, architecture: Architecture, factor: Factor) -> dict[str, Fraction]:
    """The factor of every node: that of the longest part that its name begins with, 1 where none does.

    A head that has widths of its own is `detect`, as the names of its layers begin.

    Raises:
        ScaleError: a factor is not above zero, or names a part that is not there.
    """
    if not isinstance(factor, Mapping):
        return dict.fromkeys(_names(architecture), exact_factor(scaling, factor))
    parts = {part: exact_factor(f"{scaling}: {part}", value) for part, value in factor.items()}
    of_nodes = parts_of_nodes(scaling, architecture, tuple(parts))
    return {name: Fraction(1) if part is None else parts[part] for name, part in of_nodes.items()}


def parts_of_nodes(scaling: str, architecture: Architecture, parts: Collection[str]) -> dict[str, str | None]:
    """For every node the longest of the parts that its name begins with; None where none does.

    Raises:
        ScaleError: no node's name begins with one of the parts.
    """
    names = _names(architecture)
    for part in parts:
        if not any(f"{name}.".startswith(f"{part}.") for name in names):
            known = {".".join(name.split(".")[:length]) for name in names for length in range(1, name.count(".") + 2)}
            raise ScaleError(
                f"{architecture.name}: {scaling}: no node's name begins with {part!r}; {nearest(part, known)}"
            )
    longest_first = sorted(parts, key=len, reverse=True)
    return {name: next((part for part in longest_first if f"{name}.".startswith(f"{part}.")), None) for name in names}


def _names(architecture: Architecture) -> list[str]:
    """What a part may name: the nodes, and the head where it has widths."""
    own = [DETECT] if fields_with(type(architecture.head), Role.INSIDE, Role.OUTSIDE) else []
    return [*(node.name for node in architecture.nodes), *own]


def exact_factor(scaling: str, factor: float) -> Fraction:
    """A factor as a fraction: the nearest whose denominator is at most a million, so that 0.1 is a tenth.

    Raises:
        ScaleError: it is not above zero, or not below 1000.
    """
    if not isinstance(factor, bool) and 0 < factor < 1000 and (exact := Fraction(factor).limit_denominator(10**6)):
        return exact
    raise ScaleError(f"{scaling}: the factor must be above 0 and below 1000, not {factor!r}")
