"""What a factor does to one block: its widths, rounded up to a divisor, and its depths. No torch.

Which field of a block is a width inside a computational block, a width outside, or a depth, its type says
(`blocks.roles`); a scaling needs no list of blocks.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, TypeVar

from ..blocks.heads import Head
from ..blocks.roles import Block, Role, fields_with
from .architecture import Architecture, Node
from .factors import ScaleError

DIVISORS = (8, 16, 32)
DIVISOR = 8  # widths are multiples of it, as in every published YOLO since v5; tensor cores want it
FINE_DIVISORS = (1, 2, 4)  # for narrow detectors, whose ratios 8 would round away; counted one by one


Scaled = TypeVar("Scaled", Block, Head)


def each(
    architecture: Architecture, change: Callable[[Node], Block], *, unchanged: bool, head: Head | None = None
) -> Architecture:
    """Change every block, and the head if given; a published exception (`Node.released`) is not carried along."""
    if unchanged:
        return architecture
    nodes = tuple(replace(node, block=change(node), released=None) for node in architecture.nodes)
    return replace(architecture, nodes=nodes, head=head or architecture.head)


def widened(block: Scaled, roles: tuple[Role, ...], factor: Fraction, divisor: int) -> Scaled:
    """A block, or a head, whose widths of these roles are scaled, and rounded up to multiples of `divisor`."""
    widths = {name: getattr(block, name) for name in fields_with(type(block), *roles)}
    scaled = {name: rounded(value, factor, divisor) for name, value in widths.items() if value is not None}
    return replace(block, **scaled)  # type: ignore[type-var]


def rounded(channels: int, factor: Fraction, divisor: int) -> int:
    """A scaled width, rounded up to the next multiple of `divisor`; as it is where the factor is 1."""
    return channels if factor == 1 else least_multiple(channels, factor.numerator, factor.denominator, divisor)


def least_multiple(channels: Any, numerator: Any, denominator: Any, divisor: int) -> Any:
    """The least multiple of `divisor` from channels x numerator / denominator on: whole numbers, or arrays of them."""
    return divisor * -(-channels * numerator // (divisor * denominator))


def deepened(node: Node, where: str, factor: Fraction) -> Block:
    """A block with its stages multiplied, exactly, and its chains, to the nearest whole number from 1.

    Half way between, a chain goes to the even number, as in the released configurations.

    Raises:
        ScaleError: a fraction of a stage would be left.
    """
    chains = {name: max(1, round(getattr(node.block, name) * factor)) for name in _named(node, Role.REPEATS)}
    depths = {name: getattr(node.block, name) for name in _named(node, Role.DEPTH)}
    for name, value in depths.items():
        if (value * factor).denominator != 1:
            raise ScaleError(
                f"{where}: {node.name}: depth {float(factor):g} turns {value} {name} into {float(value * factor):g}; "
                f"use a multiple of {float(Fraction(1, value)):g}"
            )
    stages = {name: int(value * factor) for name, value in depths.items()}
    return replace(node.block, **stages, **chains)  # type: ignore[type-var]


def _named(node: Node, role: Role) -> tuple[str, ...]:
    return fields_with(type(node.block), role)
