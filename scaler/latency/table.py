"""What `catscale latency` prints: a table for each stamp, never one over several; bars; what was refused and why."""

from collections.abc import Sequence
from typing import Any

from ..terminal import err, out, print_table
from .measure import Measurement
from .samples import ratio
from .stamp import Stamp, differences

BAR = 24  # characters of the longest
EIGHTHS = " ▏▎▍▌▋▊▉"
PARTS = {
    "forward": "forward of the deploy graph",
    "nms": "suppression (NMS) of drawn boxes",
    "end-to-end": "pixels on the host to detections on the host",
}


def print_measurements(measurements: Sequence[Measurement]) -> None:
    """A table for each stamp, in the order given; the first of each is what the others are compared with."""
    groups: dict[Stamp, list[Measurement]] = {}
    for measured in measurements:
        groups.setdefault(measured.stamp, []).append(measured)
    stamps = list(groups)
    for index, (stamp, group) in enumerate(groups.items()):
        if index:
            out.print()
        _print_group(stamp, group)
        if index:
            fields = differences(stamps[0], stamp)
            told = ", ".join(f"{field} is {here} here, {there} there" for field, (there, here) in fields.items())
            out.print(f"not ranked with the first table: {told}", markup=False)
    for measured in measurements:
        at = f"{measured.name}, {measured.stamp.part} at {measured.stamp.size} px, batch {measured.stamp.batch}"
        if measured.failure:
            err.print(f"{at}: failed: {measured.failure}", markup=False)
        elif measured.refusal:
            err.print(f"{at}: refused: {measured.refusal}", markup=False)
        elif measured.disturbed:
            err.print(f"{at}: {measured.disturbed}; the figure may be too long", markup=False)
    for line in dict.fromkeys(m.conditions.unread for m in measurements if m.conditions and m.conditions.unread):
        err.print(line, markup=False)


def _print_group(stamp: Stamp, group: Sequence[Measurement]) -> None:
    accepted = [measured for measured in group if measured.accepted]
    longest = max((measured.summary.median_ms for measured in accepted), default=0.0)
    base = accepted[0] if accepted and accepted[0] is group[0] else None
    confidence = f"{group[0].protocol.confidence:.0%}"

    def row(measured: Measurement) -> tuple[Any, ...]:
        if measured not in accepted:
            return (measured.name, "failed" if measured.failure else "refused", *[None] * 8)
        its = measured.summary
        times = [_ms(value, its.median_ms) for value in (its.median_ms, its.iqr_ms, its.p95_ms, its.p99_ms)]
        interval = f"{_ms(its.low_ms, its.median_ms)} to {_ms(its.high_ms, its.median_ms)}"
        figures = (times[0], interval, *times[1:], measured.fps, its.runs)
        return (measured.name, *figures, compared(measured, base), bar(its.median_ms / longest))

    columns = ("name", "median ms", f"its {confidence} interval", "IQR ms", "p95 ms", "p99 ms", "images/s", "runs")
    rows = [row(measured) for measured in group]
    note = f"{stamp.words}; taken {', '.join(sorted({measured.taken for measured in accepted})) or group[0].taken}"
    title = f"Latency at {stamp.size} px, batch {stamp.batch}: {PARTS[stamp.part]}"
    print_table(title, (*columns, f"x {group[0].name}", ""), rows, note)


def _ms(value: float, median: float) -> str:
    """Two decimals, four where the median is below a millisecond."""
    return f"{value:,.{2 if median >= 1 else 4}f}"


def compared(measured: Measurement, base: Measurement | None) -> str | None:
    """How many times as long as the first of its table, with the interval, and whether that is a difference."""
    if base is None or measured is base:
        return None
    together = measured.session == base.session and len(measured.samples_ms) == len(base.samples_ms)
    its = ratio(measured.samples_ms, base.samples_ms, measured.protocol.confidence, paired=together)
    return f"{its.value:.3f} ({its.low:.3f} to {its.high:.3f}){', within noise' if its.within_noise else ''}"


def bar(share: float) -> str:
    """A bar of blocks, `BAR` characters where the share is 1."""
    eighths = max(1, round(share * BAR * 8))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
