"""Figures of a study: each function draws what it is given, on a figure of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..scaler.figure_style import BLUE, INK, PALE, PAPER, SERIES, VERMILION, house_style
from ..search.quantities import QUANTITIES, Direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Points:
    """What a front's picture shows: trials by number, with two figures each."""

    x: str  # names of quantities
    y: str
    directions: tuple[Direction, Direction]
    all: dict[int, tuple[float, float]]  # complete trials
    front: Sequence[int]  # of these, by x
    references: dict[int, str] = field(default_factory=dict)  # of these, with the base's name
    refused: Sequence[float] = ()  # x of candidates that were never trained


def draw_front(points: Points, title: str) -> "Figure":
    """The Pareto front as a step line, its members by number; what they dominate, light; refused ones as ticks."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        scale = np.array([QUANTITIES[points.x].scale, QUANTITIES[points.y].scale])
        at = {number: np.array(point) / scale for number, point in points.all.items()}
        others = np.array([at[n] for n in at if n not in points.front]).reshape(-1, 2)
        members = np.array([at[n] for n in points.front]).reshape(-1, 2)
        if len(others):
            axes.scatter(*others.T, s=34, color=PALE, alpha=0.8, linewidths=0, label="dominated", zorder=2)
        if len(members) > 1:
            axes.plot(*members.T, drawstyle=_step(points.directions), color=BLUE, linewidth=1.8, zorder=3)
        axes.scatter(*members.T, s=62, color=BLUE, edgecolors=PAPER, linewidths=1.2, label="Pareto front", zorder=4)
        if points.references:
            base = np.array([at[n] for n in points.references])
            style = {"marker": "D", "s": 96, "facecolors": "none", "edgecolors": VERMILION, "linewidths": 1.8}
            axes.scatter(*base.T, **style, label="base", zorder=5)
        axes.margins(0.1, 0.14)
        if len(points.refused):
            refused = np.array(points.refused) / scale[0]
            _ticks(axes, refused[np.isfinite(refused)], len(members) + len(others) > 0)
        _number(axes, points, at)
        _label(axes, points)
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=4, columnspacing=1.2, handletextpad=0.4)
    return figure


def draw_curves(curves: pd.DataFrame, front: Sequence[int], title: str) -> "Figure":
    """AP over epochs of every training; those of the front in colour, with their numbers."""
    with house_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        ends: list[tuple[float, float, int, str]] = []
        for number, curve in curves.groupby("number"):
            on_front = number in front
            colour = SERIES[list(front).index(int(str(number))) % len(SERIES)] if on_front else PALE
            style = {"color": colour, "linewidth": 1.8 if on_front else 1.0, "zorder": 3 if on_front else 2}
            axes.plot(curve["epoch"], curve["ap"], marker="o" if len(curve) == 1 else None, markersize=4, **style)
            if on_front:
                ends.append((float(curve["epoch"].iloc[-1]), float(curve["ap"].iloc[-1]), int(str(number)), colour))
        low, high = axes.get_ylim()
        for (x, _, number, colour), y in zip(ends, _apart([end[1] for end in ends], 0.045 * (high - low)), strict=True):
            axes.annotate(
                str(number), (x, y), (6, 0), textcoords="offset points", color=colour, va="center", fontweight="bold"
            )
        axes.set_xlabel("Epoch")
        axes.set_ylabel("AP on the validation images · more is better")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(title)
    return figure


def _step(directions: tuple[Direction, Direction]) -> str:
    """The side on which the line drops: it encloses what the front dominates."""
    return "steps-post" if directions[0] == "minimize" else "steps-pre"


def _ticks(axes: "Axes", refused: np.ndarray, anything: bool) -> None:
    """Ticks on the x axis; those far to the right are only counted, so that the points keep their room."""
    low, high = axes.get_xlim()
    near = refused[refused <= low + 1.6 * (high - low)] if anything else refused
    further = f", {len(refused) - len(near)} further right" if len(near) < len(refused) else ""
    style = {"marker": "|", "markersize": 9, "linestyle": "none", "color": INK, "zorder": 2}
    heights = np.full(len(near), 0.015)
    label = f"refused ({len(refused)}{further})"
    axes.plot(near, heights, transform=axes.get_xaxis_transform(), label=label, **style)


def _number(axes: "Axes", points: Points, at: dict[int, np.ndarray]) -> None:
    """Members of the front on the side where no point can be; a base below, with its name."""
    outward = -6 if points.directions[0] == "minimize" else 6
    for number in points.front:
        side = "right" if outward < 0 else "left"
        place = tuple(at[number])
        axes.annotate(f"{number}", place, (outward, 6), textcoords="offset points", ha=side, fontweight="bold")
    for number, name in points.references.items():
        text = name if number in points.front else f"{number} {name}"
        axes.annotate(text, tuple(at[number]), (0, -20), textcoords="offset points", ha="center")


def _label(axes: "Axes", points: Points) -> None:
    axes.set_xlabel(f"{QUANTITIES[points.x].label} · {_better(points.directions[0])}")
    axes.set_ylabel(f"{QUANTITIES[points.y].label} · {_better(points.directions[1])}")


def _better(direction: Direction) -> str:
    return "less is better" if direction == "minimize" else "more is better"


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """The values, moved up as little as keeps labels at them from covering each other."""
    moved = list(values)
    last = -np.inf
    for index in np.argsort(values):
        moved[index] = last = max(values[index], last + gap)
    return moved
