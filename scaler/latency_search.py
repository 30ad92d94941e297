"""The largest step of a ladder within a measured latency, by few measurements. No torch here."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

MEASUREMENTS = 8  # at most, and the smallest step where none of them was within the bound
CLOSE = 0.97  # of the bound: a step that comes so near is the answer, as measurements spread by as much
AIM = 0.985  # of the bound
STRIDES = (1 / 8, 4)  # by how much the FLOPs may go below or above those measured so far


class Timed(Protocol):
    """Steps in ascending order, whose cost is known and whose latency is not."""

    @property
    def factors(self) -> Sequence[float]: ...
    def gflops(self, step: int) -> float: ...
    def latency_ms(self, step: int) -> float: ...


def search_measured(steps: Timed, end: int, bound_ms: float) -> tuple[int | None, int | None]:
    """The largest measured step within the bound, and the smallest measured one above it, among those before `end`.

    Starts at the detector as it is, and goes to where its FLOPs, as far as they explain the latency measured so far,
    would meet the bound.
    """
    inside, above = -1, end
    measured: dict[int, float] = {}
    step = min(steps.factors.index(1), end - 1)
    for _ in range(MEASUREMENTS):
        measured[step] = steps.latency_ms(step)
        inside, above = (step, above) if measured[step] <= bound_ms else (inside, step)
        if above - inside == 1 or measured.get(inside, 0) >= CLOSE * bound_ms:
            break
        nearest = sorted(measured, key=lambda known: min(abs(known - inside), abs(known - above)))[:2]
        wanted = _wanted_gflops([(steps.gflops(known), measured[known]) for known in nearest], AIM * bound_ms)
        between = range(inside + 1, above)
        step = between[max(0, bisect_right(between, wanted, key=steps.gflops) - 1)]
    if inside < 0 and steps.latency_ms(0) <= bound_ms:
        inside = 0
    return (inside if inside >= 0 else None), (above if above < end else None)


def _wanted_gflops(known: Sequence[tuple[float, float]], goal_ms: float) -> float:
    """Where the line through two measurements, or through one and zero, meets the goal."""
    (low, fast), (high, slow) = min(known), max(known)
    if slow <= fast:  # of one measurement; or of two, where noise was more than the difference
        low, fast, high, slow = 0.0, 0.0, low, fast
    smallest, largest = STRIDES
    wanted = low + (high - low) * (goal_ms - fast) / (slow - fast)
    return min(largest * high, max(smallest * (low or high), wanted))
