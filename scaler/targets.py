"""What a fit is to meet: upper bounds on counts and on a measured latency, as a user writes them. No torch."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..blocks.errors import InputError, nearest
from .cost import CostReport

SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:e[+-]?\d{1,2})?)([a-z]?)")
LATENCY = "latency_ms"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that a detector has at its input size, batch 1, and how it grows under fast compound scaling."""

    unit: str  # that a number without a suffix is in; "" for a count, which takes a suffix
    count: Callable[[CostReport], Decimal] | None  # of the deploy graph; None: measured
    exponent: float  # by how much it grows where the FLOPs grow s times: s ** this, at alpha = 0.8


# d * w**2 for params, d * w * r**2 for activations, with d = s**0.1, w = s**0.4, r = s**0.05 (see `fit.fast_factors`)
QUANTITIES = {
    "params": Quantity("", lambda cost: Decimal(cost.params), 0.9),
    "gflops": Quantity("GFLOPs", lambda cost: Decimal(cost.flops("paper")) / 10**9, 1),
    "macs": Quantity("", lambda cost: Decimal(cost.macs), 1),
    "activations": Quantity("", lambda cost: Decimal(cost.activations), 0.6),
    LATENCY: Quantity("ms", None, 0.6),  # time follows the activations: arXiv:2103.06877, section 4
}


@dataclass(frozen=True, slots=True)
class Target:
    """An upper bound on a quantity, in the quantity's own unit."""

    quantity: str
    bound: Decimal

    def __str__(self) -> str:
        return f"{self.quantity} <= {shown(self.quantity, self.bound)}"


def parse_target(word: str) -> Target:
    """`params=20M`, `gflops=60`, `macs=5.2e9`, `activations=40M`, `latency_ms=8`.

    Raises:
        InputError: it is no bound on a known quantity; the message shows one.
    """
    name, equals, text = word.strip().partition("=")
    if not equals:
        raise InputError(f"--fit {word}: expected QUANTITY=BOUND, such as params=20M or gflops=60")
    if name not in QUANTITIES:
        raise InputError(f"--fit {word}: no quantity is called {name!r}; {nearest(name, QUANTITIES)}")
    found, unit = NUMBER.fullmatch(text.lower()), QUANTITIES[name].unit
    number, suffix = found.groups() if found else ("0", "")
    if not found or suffix not in SUFFIXES:
        example = f"{name}=60" if unit else f"{name}=20M, {name}=1.5G or {name}=6.2e6"
        raise InputError(f"--fit {word}: {text!r} is not a number above zero; write {example}")
    if unit and suffix:
        raise InputError(f"--fit {word}: {name} is in {unit} already; write {name}={number}")
    bound = Decimal(number) * SUFFIXES[suffix]
    if not bound:
        raise InputError(f"--fit {word}: the bound must be above zero")
    return Target(name, bound)


def parse_targets(words: Sequence[str]) -> tuple[Target, ...]:
    """Bounds of which all must hold.

    Raises:
        InputError: one is no bound, or a quantity has two.
    """
    targets = tuple(map(parse_target, words))
    names = [target.quantity for target in targets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"--fit: {twice} has two bounds; keep the smaller one")
    return targets


def shown(quantity: str, value: Decimal) -> str:
    """A value as a person writes it: `36.91M`, `104.68`, `8.00 ms`."""
    unit = QUANTITIES[quantity].unit
    if unit:
        return f"{value:.2f}{f' {unit}' if unit == 'ms' else ''}"
    for suffix, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.2f}{suffix}"
    return f"{value:.0f}"
