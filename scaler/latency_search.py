"""The largest step of a ladder within a measured latency, by few measurements. No torch here."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

MEASUREMENTS = 8  # at most, for each ladder
CLOSE = 0.97  # of the bound: a step that comes so near is the answer, as measurements spread by as much
AIM = 0.985  # of the bound
STRIDES = (1 / 8, 4)  # by how much the FLOPs may change from one measurement to the next, while one side is unknown


class Timed(Protocol):
    """Steps in ascending order, whose cost is known and whose latency is not."""

    @property
    def factors(self) -> Sequence[float]: ...
    def gflops(self, step: int) -> float: ...
    def latency_ms(self, step: int) -> float: ...


def search_measured(steps: Timed, end: int, bound_ms: float) -> tuple[int | None, int | None]:
    """The largest measured step within the bound, and the smallest measured one above it, among those before `end`.

    Starts at the detector as it is, and goes to where its FLOPs, as far as they explain the latency measured so far,
    would meet the bound. Where nothing was within the bound, the smallest step is measured too.
    """
    inside, above = -1, end
    step = min(steps.factors.index(1), end - 1)
    for _ in range(MEASUREMENTS):
        inside, above = (step, above) if steps.latency_ms(step) <= bound_ms else (inside, step)
        if above - inside == 1 or (inside >= 0 and steps.latency_ms(inside) >= CLOSE * bound_ms):
            break
        wanted = _wanted_gflops(steps, inside, above if above < end else None, AIM * bound_ms)
        between = range(inside + 1, above)
        step = between[max(0, bisect_right(between, wanted, key=steps.gflops) - 1)]
    if inside < 0 and steps.latency_ms(0) <= bound_ms:
        inside = 0
    return (inside if inside >= 0 else None), (above if above < end else None)


def _wanted_gflops(steps: Timed, inside: int, above: int | None, goal_ms: float) -> float:
    """Where the line through the nearest measurements on both sides meets the goal; through zero where one is there."""
    if inside >= 0 and above is not None:
        low, high = steps.gflops(inside), steps.gflops(above)
        fast, slow = steps.latency_ms(inside), steps.latency_ms(above)
        return low + (high - low) * max(0, goal_ms - fast) / (slow - fast)
    only = inside if above is None else above
    smallest, largest = STRIDES
    return steps.gflops(only) * min(largest, max(smallest, goal_ms / steps.latency_ms(only)))
