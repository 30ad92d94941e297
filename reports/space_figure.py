"""The picture of a space: where its candidates lie in params and FLOPs, its bounds, its bases and its fronts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..scaler.figure_style import BLUE, GREEN, INK, PALE, PAPER, VERMILION, house_style
from ..search.quantities import QUANTITIES
from ..search.space_table import SpaceTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

X, Y = "gflops", "params"
POINTS = 2000  # candidates up to which each is a point; of more, the density is drawn
CELLS = 70  # of the density, along the x axis


def draw_space(table: SpaceTable, references: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Candidates by FLOPs and params, on logarithmic axes; `references` are the bases' figures by name."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        axes.set(xscale="log", yscale="log")
        points = _at(table.figures)
        within = np.zeros(len(table), dtype=bool)
        within[table.within] = True
        if len(table) > POINTS:
            _density(figure, axes, points, within)
        else:
            _scatter(axes, points[:, ~within], color=PALE, alpha=0.6, label="over budget")
            _scatter(axes, points[:, within], color=BLUE, alpha=0.35, label="in budget")
        _fronts(axes, table, points)
        _bounds(axes, table)
        _bases(axes, references)
        axes.set_xlabel(QUANTITIES[X].label)
        axes.set_ylabel(QUANTITIES[Y].label)
        axes.set_title(_title(table))
        _plain_numbers(axes)
        figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2, handletextpad=0.4)
    return figure


def _at(figures: Mapping[str, object]) -> np.ndarray:
    """(2, n) places in the picture."""
    return np.array([np.asarray(figures[name]) / QUANTITIES[name].scale for name in (X, Y)])


def _scatter(axes: "Axes", points: np.ndarray, **style: object) -> None:
    if points.size:
        axes.scatter(*points, s=16, linewidths=0, zorder=2, **style)  # type: ignore[arg-type]


def _density(figure: "Figure", axes: "Axes", points: np.ndarray, within: np.ndarray) -> None:
    """How many candidates lie where: those over budget pale, those in budget by number."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    extent = tuple(float(end) for side in np.log10(points) for end in (side.min(), side.max() + 1e-9))
    shared = {"gridsize": CELLS, "xscale": "log", "yscale": "log", "mincnt": 1, "linewidths": 0.1, "extent": extent}
    if not within.all():
        pale = LinearSegmentedColormap.from_list("over budget", [PALE, PALE])
        axes.hexbin(*points[:, ~within], cmap=pale, alpha=0.35, zorder=1, **shared)
        axes.scatter([], [], s=30, marker="h", color=PALE, alpha=0.6, label="over budget")
    if within.any():
        blues = LinearSegmentedColormap.from_list("in budget", ["#d3e5f2", BLUE, "#002b45"])
        cells = axes.hexbin(*points[:, within], cmap=blues, norm=LogNorm(), zorder=2, **shared)
        figure.colorbar(cells, ax=axes, label="Candidates in budget", pad=0.01, format="{x:,.0f}")


def _fronts(axes: "Axes", table: SpaceTable, points: np.ndarray) -> None:
    if not len(table.within):
        return
    least, most = (points[:, table.front(kind)] for kind in ("least", "most"))
    axes.plot(*most, drawstyle="steps-post", color=GREEN, linewidth=1.6, label="most params for its FLOPs", zorder=4)
    axes.plot(*least, drawstyle="steps-post", color=INK, linewidth=1.6, zorder=4)
    style = {"s": 46, "color": INK, "edgecolors": PAPER, "linewidths": 1.0, "zorder": 5}
    axes.scatter(*least, label="Pareto front, both low", **style)  # type: ignore[arg-type]


def _bounds(axes: "Axes", table: SpaceTable) -> None:
    """The bounds of the two axes, where the study has them and they are near enough to be seen."""
    limits = {X: axes.get_xlim(), Y: axes.get_ylim()}
    style = {"color": VERMILION, "linewidth": 1.2, "linestyle": (0, (4, 2))}
    bounds = {name: table.study.constraints.get(name, np.inf) / QUANTITIES[name].scale for name in limits}
    near = {name: bound for name, bound in bounds.items() if limits[name][0] / 2 < bound < limits[name][1] * 2}
    for name, bound in near.items():
        (axes.axvline if name == X else axes.axhline)(bound, zorder=3, **style)  # type: ignore[arg-type]
    if near:
        axes.plot([], [], label="bound", **style)  # type: ignore[arg-type]


def _bases(axes: "Axes", references: Mapping[str, Mapping[str, float]]) -> None:
    style = {"marker": "D", "s": 70, "facecolors": "none", "edgecolors": VERMILION, "linewidths": 1.8, "zorder": 6}
    for index, (name, figures) in enumerate(references.items()):
        place = _at(figures)
        axes.scatter(*place, label=None if index else "base", **style)  # type: ignore[arg-type]
        axes.annotate(name, tuple(place), (8, -12), textcoords="offset points", zorder=6)


def _title(table: SpaceTable) -> str:
    counted = f"a sample of {table.looked_at:,}" if table.sampled else f"{table.looked_at:,} candidates"
    return f"{table.study.name}: {counted}, {len(table.within):,} in budget"


def _plain_numbers(axes: "Axes") -> None:
    """Ticks as 0.1, 1, 10; between them 2 and 5 where there is room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
