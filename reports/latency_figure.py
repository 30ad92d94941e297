"""Latencies of several detectors with their spread: what is faster, and what only seems so."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..scaler.figure_style import BLUE, PALE, PAPER, house_style, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_INCHES, MARGIN_INCHES = 0.28, 1.2


@dataclass(frozen=True, slots=True)
class Timing:
    """A detector's latency."""

    label: str
    median_ms: float
    iqr_ms: float  # of single runs
    interval_ms: tuple[float, float] | None = None  # confidence interval of the median, where it is known


def draw_latencies(timings: Sequence[Timing], title: str) -> "Figure":
    """A point for each median, fastest first; whiskers as wide as the interquartile range, a bar for the interval."""
    with house_style():
        from matplotlib.figure import Figure

        ordered = sorted(timings, key=lambda timing: timing.median_ms)
        places = range(len(ordered))
        figure = Figure(figsize=(6.4, MARGIN_INCHES + ROW_INCHES * len(ordered)), layout="constrained")
        axes = figure.add_subplot()
        medians = [timing.median_ms for timing in ordered]
        halves = [timing.iqr_ms / 2 for timing in ordered]
        whiskers = {"ecolor": PALE, "elinewidth": 1.6, "capsize": 3, "label": "middle half of runs"}
        axes.errorbar(medians, places, xerr=halves, fmt="none", **whiskers)
        known = [(place, timing.interval_ms) for place, timing in enumerate(ordered) if timing.interval_ms]
        if known:
            lows, highs = zip(*(interval for _, interval in known), strict=True)
            bars = {"color": BLUE, "linewidth": 5, "alpha": 0.45, "label": "interval of the median"}
            axes.hlines([place for place, _ in known], lows, highs, **bars)
        axes.scatter(medians, places, s=34, color=BLUE, edgecolors=PAPER, linewidths=0.8, zorder=3, label="median")
        axes.set_yticks(places, [timing.label for timing in ordered])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.margins(y=0.6 / max(1, len(ordered)))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Latency, ms · less is better")
        axes.set_title(wrapped(title, figure))
        figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2, handletextpad=0.4)
    return figure
