"""The learning curves' picture."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..scaler.figure_style import BLUE, PALE, PAPER, SERIES, house_style, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROWD = 300  # curves of which more are drawn as one image, so that files stay small


def draw_curves(curves: pd.DataFrame, named: Sequence[int], stopped: Collection[int], title: str) -> "Figure":
    """AP over epochs of every training; the `named` in colour with their numbers, `stopped` ones with where they end.

    Args:
        curves: as `curves_frame` gives them, at least one.
        named: trials that stand out.
        stopped: trials whose training was ended early.
        title: of the figure.
    """
    with house_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(5.6, 4.0), layout="constrained")
        axes = figure.add_subplot()
        points = np.array(curves[["epoch", "ap"]], dtype=float)
        numbers = np.array(curves["number"], dtype=int)
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        lines = {int(numbers[start]): line for start, line in zip(starts, np.split(points, starts[1:]), strict=True)}
        _others(axes, {number: line for number, line in lines.items() if number not in named}, stopped)
        ends: list[tuple[float, float, int, str]] = []
        for place, number in enumerate(number for number in named if number in lines):
            colour, line = SERIES[place % len(SERIES)], lines[number]
            axes.plot(*line.T, color=colour, linewidth=1.8, zorder=3, marker="o" if len(line) == 1 else None)
            ends.append((*line[-1], number, colour))
        low, high = axes.get_ylim()
        for (x, _, number, colour), y in zip(ends, _apart([end[1] for end in ends], 0.045 * (high - low)), strict=True):
            style: dict[str, Any] = {"color": colour, "va": "center", "fontweight": "bold"}
            axes.annotate(str(number), (x, y), (6, 0), textcoords="offset points", **style)
        axes.set_xlabel("Epoch")
        axes.set_ylabel("AP, validation · more is better")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(wrapped(title, figure))
        if figure.axes[0].get_legend_handles_labels()[0]:
            figure.legend(loc="outside lower center", ncols=3)
    return figure


def draw_curve(own: pd.DataFrame, other: pd.DataFrame | None) -> "Figure":
    """AP over the epochs of one training, beside that of the reference where one is given. Small, for the page."""
    with house_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(3.6, 2.2), layout="constrained")
        axes = figure.add_subplot()
        if other is not None:
            axes.plot(other["epoch"], other["ap"], color=PALE, linewidth=1.4, linestyle=(0, (4, 2)), label="reference")
        axes.plot(
            own["epoch"], own["ap"], color=BLUE, linewidth=1.8, label="this", marker="." if len(own) < 3 else None
        )
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Epoch")
        axes.set_ylabel("AP")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if other is not None:
            axes.legend(loc="lower right")
    return figure


def _others(axes: "Axes", lines: dict[int, np.ndarray], stopped: Collection[int]) -> None:
    from matplotlib.collections import LineCollection

    crowd = len(lines) > CROWD
    style = {"colors": PALE, "linewidths": 0.6 if crowd else 1.0, "alpha": 0.25 if crowd else 1.0, "zorder": 2}
    axes.add_collection(LineCollection(list(lines.values()), rasterized=crowd, **style))  # type: ignore[arg-type]
    ends = np.array([line[-1] for number, line in lines.items() if number in stopped]).reshape(-1, 2)
    single = np.array([line[0] for line in lines.values() if len(line) == 1]).reshape(-1, 2)
    axes.scatter(*single.T, s=16, color=PALE, zorder=2)
    if len(ends):
        style = {"s": 24, "marker": "v", "facecolors": PAPER, "edgecolors": PALE, "zorder": 2.5, "rasterized": crowd}
        axes.scatter(*ends.T, label="stopped early", **style)
    axes.autoscale_view()


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """The values, moved up as little as keeps labels at them from covering each other."""
    moved = list(values)
    last = -np.inf
    for index in np.argsort(values):
        moved[index] = last = max(values[index], last + gap)
    return moved
