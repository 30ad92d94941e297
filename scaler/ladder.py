"""The factors at which a scaling makes another detector, in ascending order: the steps that a fit chooses among.

No torch. A factor between two steps gives the same detector as one of them, or none.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby, pairwise
from math import floor, gcd

from ..blocks.roles import Role, fields_with
from .architecture import Architecture
from .block_scaling import deepened
from .factors import ScaleError

LARGEST = 16  # factors above are not looked at
DIGITS = 6  # of a factor as it is written down; what `factors.exact` reads back exactly


def ladder(architecture: Architecture, scaling: str, divisor: int) -> tuple[float, ...]:
    """Every factor of `scaling` (width, depth or compound) up to `LARGEST` that makes another detector.

    Each is the shortest number that makes it. 1, the detector as it is, is always among them.

    Raises:
        ScaleError: no block has a depth to scale.
    """
    factors = _widths(architecture, divisor) if scaling == "width" else _depths(architecture, scaling)
    return tuple(int(factor) if factor.denominator == 1 else float(factor) for factor in factors)


def _widths(architecture: Architecture, divisor: int) -> Iterator[Fraction]:
    """A width of c channels, rounded up, changes where the factor passes a multiple of divisor / c.

    A width is left alone where the factor is 1, so this is a step of its own, whatever is a multiple of the divisor.
    """
    roles = (Role.INSIDE, Role.OUTSIDE)
    widths = {
        getattr(node.block, name) for node in architecture.nodes for name in fields_with(type(node.block), *roles)
    } - {None}
    last = {Fraction(divisor * step, width) for width in widths for step in range(1, LARGEST * width // divisor + 1)}
    for low, high in pairwise(sorted({Fraction(0), Fraction(1), *last})):
        yield shortest(low, high)


def _depths(architecture: Architecture, scaling: str) -> Iterator[Fraction]:
    """Stages must stay whole; a chain alone is rounded, and changes where a repeat passes a half."""
    stages = _values(architecture, Role.DEPTH)
    chains = _values(architecture, Role.REPEATS)
    if stages:
        unit = Fraction(1, gcd(*stages))
        yield from (unit * step for step in range(1, int(LARGEST / unit) + 1))
        return
    if not chains:
        raise ScaleError(f"{architecture.name}: {scaling}: no block of it has a depth to scale; use width")
    halves = {Fraction(2 * step + 1, 2 * chain) for chain in chains for step in range(LARGEST * chain)}
    points = [Fraction(0)]
    for low, high in pairwise([*points, *sorted(halves)]):
        points += [shortest(low, high, closed=False), high]  # exactly at a half, some chains go up and others down
    deep = [node for node in architecture.nodes if fields_with(type(node.block), Role.REPEATS)]
    for _, same in groupby(points[1:], lambda factor: [deepened(node, architecture.name, factor) for node in deep]):
        factors = list(same)
        yield Fraction(1) if 1 in factors else min(factors, key=lambda factor: len(str(float(factor))))


def _values(architecture: Architecture, role: Role) -> Sequence[int]:
    nodes = architecture.nodes
    return [getattr(node.block, name) for node in nodes for name in fields_with(type(node.block), role)]


def shortest(low: Fraction, high: Fraction, *, closed: bool = True) -> Fraction:
    """The number with the fewest decimals in (low, high], or in (low, high); 1 where it is inside."""
    if low < 1 < high:
        return Fraction(1)
    for digits in range(DIGITS + 1):
        found = Fraction(floor(high * 10**digits), 10**digits)
        if found == high and not closed:
            found -= Fraction(1, 10**digits)
        if found > low:
            return found
    return high if closed else (low + high) / 2
