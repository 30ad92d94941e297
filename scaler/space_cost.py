"""Counts of many detectors at once: one pass over the graph for all that share its wiring. No torch.

The same lowering and the same cost rules as for one detector, with arrays in place of channel counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ..blocks.errors import InputError
from ..blocks.ops import Cost
from ..blocks.roles import Block, Role, fields_with
from .architecture import Architecture, lower
from .scaling import DIVISOR


@dataclass(frozen=True)
class Counts:
    """Exact counts of the deploy graphs of many detectors, batch 1; every array is (n,) int64."""

    params: np.ndarray
    macs: np.ndarray
    biases: np.ndarray
    activations: np.ndarray

    @property
    def flops(self) -> np.ndarray:
        """By the paper's convention: 2 x (MACs + one per element to which a bias is added)."""
        return 2 * (self.macs + self.biases)


def count_widths(
    architecture: Architecture, factors: Sequence[float | Fraction], sizes: Sequence[int], divisor: int = DIVISOR
) -> Counts:
    """Count `architecture.scale(width=factor)` at a size in pixels, for each pair of factor and size.

    Counts of maps grow with the area exactly, because a size is a multiple of the largest stride.

    Raises:
        InputError: a factor is not above zero, or a size is no multiple of the largest stride.
    """
    exact = [Fraction(factor).limit_denominator(10**6) for factor in factors]
    numerator = np.array([factor.numerator for factor in exact], dtype=np.int64)
    denominator = np.array([factor.denominator for factor in exact], dtype=np.int64)
    side, stride = np.asarray(sizes, dtype=np.int64), architecture.strides[-1]
    if (numerator <= 0).any():
        raise InputError(f"{architecture.name}: width: every factor must be above 0")
    if (side % stride).any() or (side < stride).any():
        raise InputError(f"{architecture.name}: sizes must be multiples of the largest stride, {stride}")

    def widened(block: Block) -> Block:
        widths = {name: getattr(block, name) for name in fields_with(type(block), Role.INSIDE, Role.OUTSIDE)}
        scaled = {
            name: np.where(exact_one, value, divisor * -(-value * numerator // (divisor * denominator)))
            for name, value in widths.items()
            if value is not None
        }
        return replace(block, **scaled)  # type: ignore[type-var]

    exact_one = numerator == denominator
    graph = lower(architecture, [widened(node.block) for node in architecture.nodes]).deployed()
    zero = np.zeros(len(exact), dtype=np.int64)
    total = sum((cost for _, _, cost in graph.costs(stride)), Cost(zero, zero, zero, zero))  # type: ignore[arg-type]
    area = (side // stride) ** 2
    maps = (np.broadcast_to(count, zero.shape) * area for count in (total.macs, total.biases, total.activations))
    return Counts(np.broadcast_to(total.params, zero.shape), *maps)
