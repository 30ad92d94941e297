"""Which factor meets a budget: the largest variant of a detector that stays within upper bounds. No torch for counts.

A strategy says what is scaled. Counts grow with every step of a `ladder`, so the answer is found by bisection over
exact counts, and the next step is known not to fit. A latency is measured, at few steps.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from math import log, sqrt
from typing import TYPE_CHECKING, Any

from ..blocks.errors import nearest
from .architecture import Architecture
from .block_scaling import DIVISOR
from .factors import ScaleError
from .ladder import LARGEST, ladder
from .latency_search import search_measured
from .scaling import SETTINGS, apply, checked_setting
from .targets import LATENCY, QUANTITIES, Target, shown

if TYPE_CHECKING:
    from .latency.measure import Measurement

Measure = Callable[[Architecture], "Measurement"]

STRATEGIES = {  # what each solves for, in the order in which it is applied
    "compound": ("compound",),
    "width": ("width",),
    "depth": ("depth",),
    "compound-width": ("compound", "width"),
    "fast-compound": ("depth", "resolution", "width"),
}
POSSIBLE = 3  # factors that a message lists
ALPHA = 0.8  # of fast compound scaling, as its authors recommend


@dataclass(frozen=True)
class Variant:
    """A scaled detector, by which scalings, and its latency where that was measured."""

    architecture: Architecture
    scalings: dict[str, Any]
    latency: "Measurement | None" = None

    @cached_property
    def counts(self) -> dict[str, Decimal]:
        """Every quantity that is counted, at the architecture's own input size."""
        cost = self.architecture.cost()
        return {name: quantity.count(cost) for name, quantity in QUANTITIES.items() if quantity.count}

    def value(self, quantity: str) -> Decimal | None:
        """A quantity's value; None for a latency that was not measured."""
        if quantity != LATENCY:
            return self.counts[quantity]
        return Decimal(str(round(self.latency.summary.median_ms, 4))) if self.latency else None

    def within(self, targets: Sequence[Target]) -> bool:
        """Whether no value that is known exceeds its bound."""
        values = ((self.value(target.quantity), target.bound) for target in targets)
        return all(value is None or value <= bound for value, bound in values)

    def excess(self, targets: Sequence[Target]) -> float:
        """Logarithm of value / bound, of the bound that is nearest to being exceeded."""
        values = ((self.value(target.quantity), target.bound) for target in targets)
        return max(log(value / bound) for value, bound in values if value is not None)


@dataclass(frozen=True, slots=True)
class Fit:
    """The largest variant within the bounds, where it started, and the next larger one."""

    strategy: str
    targets: tuple[Target, ...]
    base: Variant
    best: Variant
    larger: Variant | None  # the next step of the ladder, or the smallest measured one above a bound
    ideal: dict[str, float] | None = None  # fast compound: the factors before depth and size were rounded

    def miss(self, target: Target) -> Decimal:
        """By how much the fit stays below a bound, in the quantity's unit."""
        value = self.best.value(target.quantity)
        assert value is not None
        return target.bound - value


class Steps:
    """Variants of a detector along one ladder, each made, and measured, when it is first asked for."""

    def __init__(self, start: Variant, scaling: str, settings: Mapping[str, Any], measure: Measure | None) -> None:
        self.start, self.scaling, self.measure = start, scaling, measure
        self.settings = {name: value for name, value in settings.items() if scaling in SETTINGS[name]}
        self.factors = ladder(start.architecture, scaling, self.settings.get("divisor", DIVISOR))
        as_it_is = Variant(start.architecture, {**start.scalings, scaling: 1, **self.settings}, start.latency)
        self.made = {self.factors.index(1): as_it_is}

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, step: int) -> Variant:
        if step not in self.made:
            own = {self.scaling: self.factors[step], **self.settings}
            self.made[step] = Variant(apply(self.start.architecture, own), {**self.start.scalings, **own})
        return self.made[step]

    def gflops(self, step: int) -> float:
        """Of one step, by the paper's convention."""
        return float(self[step].counts["gflops"])

    def latency_ms(self, step: int) -> float:
        """Of one step, measured once."""
        variant = self[step]
        if variant.latency is None:
            assert self.measure is not None
            self.made[step] = replace(variant, latency=self.measure(variant.architecture))
        return float(self.made[step].value(LATENCY) or 0)

    def largest_within(self, targets: Sequence[Target]) -> tuple[Variant | None, Variant | None]:
        """The largest variant within the bounds, and the next above; None where there is none."""
        counted = [target for target in targets if target.quantity != LATENCY]
        # Counts grow along the ladder, but for the detector as it is, whose widths need not be multiples of a divisor.
        one = self.factors.index(1)
        scaled = [step for step in range(len(self)) if step != one]
        inside = bisect_left(scaled, True, key=lambda step: not self[step].within(counted))
        if len(counted) < len(targets):
            return self._largest_measured(scaled[inside] if inside < len(scaled) else len(self), targets)
        near = sorted({one, *scaled[max(0, inside - 1) : inside + 1]}, key=lambda step: self[step].excess(counted))
        fitting = bisect_left(near, True, key=lambda step: not self[step].within(counted))
        best = self[near[fitting - 1]] if fitting else None
        return best, (self[near[fitting]] if fitting < len(near) else None)

    def _largest_measured(self, end: int, targets: Sequence[Target]) -> tuple[Variant | None, Variant | None]:
        """The same by measurements, among the steps before `end`, whose counts are within their bounds."""
        beyond = self[end] if end < len(self) else None
        if not end:
            return None, beyond
        (bound,) = (float(target.bound) for target in targets if target.quantity == LATENCY)
        inside, above = search_measured(self, end, bound)
        return (None if inside is None else self[inside]), (beyond if above is None else self[above])


def fit(
    architecture: Architecture,
    targets: Sequence[Target],
    strategy: str = "compound",
    *,
    settings: Mapping[str, Any] | None = None,
    measure: Measure | None = None,
) -> Fit:
    """Find the largest variant whose every bound holds, at the architecture's input size.

    Strategies: `compound`, `width` and `depth` solve for the factor of that scaling; `compound-width` takes the
    compound factor that comes nearest to the bounds and closes the gap by width; `fast-compound` takes depth and input
    size from Dollár et al. and solves for width.

    Args:
        architecture: what is scaled; other scalings are applied before.
        targets: upper bounds, at least one.
        strategy: a name of `STRATEGIES`.
        settings: `divisor` and `exponent`, as for `scaling.apply`.
        measure: how a latency is measured; needed for a bound on it alone.

    Raises:
        ScaleError: nothing fits (the message says what was possible), everything does, or the strategy is unknown.

    Source: YOLOv7, arXiv:2207.02696, section 3.2; Dollár, Singh, Girshick, arXiv:2103.06877, Table 4 (fast compound).
    """
    if strategy not in STRATEGIES:
        raise ScaleError(f"--strategy: no strategy is called {strategy!r}; {nearest(strategy, STRATEGIES)}")
    targets = tuple(targets)
    settings = {name: checked_setting(name, value) for name, value in (settings or {}).items()}
    for name in settings:
        if not set(SETTINGS[name]) & set(STRATEGIES[strategy]):
            raise ScaleError(f"{name} is a setting of {' and '.join(SETTINGS[name])}; strategy {strategy} has none")
    base = Variant(architecture, {})
    if any(target.quantity == LATENCY for target in targets):
        assert measure is not None
        base = Variant(architecture, {}, measure(architecture))
    start, ideal, scaling = base, None, STRATEGIES[strategy][-1]
    if strategy == "compound-width":
        around = Steps(base, "compound", settings, measure).largest_within(targets)
        start = min((v for v in around if v), key=lambda variant: abs(variant.excess(targets)))
    elif strategy == "fast-compound":
        start, ideal = _fast_start(base, targets)
    steps = Steps(start, scaling, settings, measure)
    best, larger = steps.largest_within(targets)
    if best is None:
        raise ScaleError(_none_fits(steps, targets, settings))
    if larger is None and best.latency is None:
        raise ScaleError(
            f"{architecture.name}: fit: {_joined(targets)}: even {scaling} {LARGEST} fits, with "
            f"{_costs(best, targets)}; lower the bound"
        )
    return Fit(strategy, targets, base, best, larger, ideal)


def fast_factors(growth: float, alpha: float = ALPHA) -> dict[str, float]:
    """Factors of depth, width and input size under which FLOPs, as depth x width**2 x size**2, grow `growth` times.

    Source: Dollár, Singh, Girshick, arXiv:2103.06877, Table 4: d = s ** e_d, w = sqrt(s) ** e_w, r = sqrt(s) ** e_r
    with e_w = alpha and e_d = e_r = (1 - alpha) / 2.
    """
    rest = (1 - alpha) / 2
    return {"depth": growth**rest, "width": sqrt(growth) ** alpha, "resolution": sqrt(growth) ** rest}


def _fast_start(base: Variant, targets: Sequence[Target]) -> tuple[Variant, dict[str, float]]:
    """The detector at the nearest possible depth and input size; width, which changes most, is then solved for."""

    def growth(target: Target) -> float:
        value = base.value(target.quantity)
        assert value
        return float(target.bound / value) ** (1 / QUANTITIES[target.quantity].exponent)

    ideal = fast_factors(min(map(growth, targets)))
    detector = base.architecture
    try:
        depths = ladder(detector, "depth", DIVISOR)
    except ScaleError:  # a detector without depths has width and size alone
        depths = (1,)
    stride = detector.strides[-1]
    scalings = {
        "depth": min(depths, key=lambda depth: abs(log(depth / ideal["depth"]))),
        "resolution": max(stride, round(detector.size * ideal["resolution"] / stride) * stride),
    }
    return Variant(apply(detector, scalings), scalings), ideal


def _none_fits(steps: Steps, targets: Sequence[Target], settings: Mapping[str, Any]) -> str:
    """What was possible, the smallest first, and what would do."""
    measured = steps[0].latency is not None
    shown_steps = sorted(steps.made) if measured else range(1 if steps.scaling == "width" else POSSIBLE)
    made = [steps[step] for step in shown_steps if steps[step].latency or not measured]
    costs = [f"{variant.scalings[steps.scaling]:g} gives {_costs(variant, targets)}" for variant in made]
    costs[0] = costs[0].replace(" gives", ", the smallest, gives", 1)
    start, mend = steps.start, "raise the bound"
    if steps.scaling != "width" and not measured:
        width, _ = Steps(start, "width", settings, None).largest_within(targets)
        mend = f"use strategy width ({width.scalings['width']:g} fits)" if width else mend
    what = f"{start.architecture.name}: fit: {_joined(targets)}: no {steps.scaling} factor fits"
    return f"{what}; {'; '.join(costs)}; {mend}"


def _joined(targets: Sequence[Target]) -> str:
    return " and ".join(map(str, targets))


def _costs(variant: Variant, targets: Sequence[Target]) -> str:
    values = ((target.quantity, variant.value(target.quantity)) for target in targets)
    return ", ".join(f"{name} {shown(name, value)}" for name, value in values if value is not None)
