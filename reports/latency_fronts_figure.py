"""Published AP against time, here and in the paper: two panels of the same models, and the front of each."""

from typing import TYPE_CHECKING, Any

from ..scaler.figure_style import INK, PAPER, headline, house_style, lay_out, plain_logarithmic
from .latency_fronts import Fronts, Model, Time, here, paper
from .published_figures import FAMILIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = dict(zip(dict.fromkeys(name for name, _ in FAMILIES.values()), "oDs^v", strict=True))
COLOURS = dict(FAMILIES.values())
NAMES: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.5, "zorder": 6}
PX = 100 / 72  # of a point
NAME_PX, WIDE_PX = 13.0, 75.0  # how high and wide a name is, about


def draw_fronts(found: Fronts, title: str, measured: str) -> "Figure":
    """A line for each family and size, in order of time; the front as a step line; hollow marks are of 1280 px.

    What is on one front alone is ringed where it is on it, and named in both panels.
    """
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11.0, 5.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        ours, theirs = found.front(here), found.front(paper)
        _panel(left, found, here, alone=[model for model in ours if model not in theirs])
        _panel(right, found, paper, alone=[model for model in theirs if model not in ours])
        left.set_xlabel(f"Latency here ({measured}), ms · less is better")
        right.set_xlabel("1 / FPS on the paper's V100, batch 1, ms · less is better")
        left.set_ylabel("AP on COCO val2017, as published, % · more is better")
        left.set_title("Timed here")
        right.set_title("Timed by the paper")
        headline(figure, title)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, columnspacing=1.2)
        lay_out(figure)
        on = {model.name for model in (*ours, *theirs)}
        for axes, time, front in ((left, here, ours), (right, paper, theirs)):
            _name_front(axes, front, time, bold=set(ours) ^ set(theirs))
            _name_others(axes, [m for m in found.models if m.name in on and m not in front], time)
    return figure


def _panel(axes: "Axes", found: Fronts, time: Time, *, alone: list[Model]) -> None:
    lines: dict[tuple[str, int], list[Model]] = {}
    for model in found.models:
        lines.setdefault((model.family, model.row.size_px or 0), []).append(model)
    front = found.front(time)
    x, y = zip(*((time(model), model.ap) for model in front), strict=True)
    axes.plot(x, y, drawstyle="steps-post", color=INK, linewidth=1.4, alpha=0.75, label="front", zorder=2)
    for (family, size), members in lines.items():
        members = sorted(members, key=time)
        large, colour = size > 1000, COLOURS[family]
        x, y = zip(*((time(model), model.ap) for model in members), strict=True)
        style = {"color": colour, "linewidth": 1.2, "linestyle": "--" if large else "-", "marker": MARKERS[family]}
        face = {"markerfacecolor": PAPER if large else colour, "markeredgecolor": colour, "markersize": 6}
        axes.plot(x, y, **style, **face, alpha=0.95, label=f"{family}, {size} px", zorder=3)
    ring = {"s": 190, "facecolors": "none", "edgecolors": INK, "linewidths": 1.6, "zorder": 5}
    x, y = zip(*((time(model), model.ap) for model in alone), strict=True) if alone else ((), ())
    axes.scatter(x, y, **ring, label="on this front alone")
    plain_logarithmic(axes.xaxis)
    axes.margins(x=0.06, y=0.12)
    fastest, slowest = (end(map(time, found.models)) for end in (min, max))
    axes.set_xlim(left=fastest * (fastest / slowest) ** 0.2)  # room for the fastest one's name


def _name_front(axes: "Axes", front: list[Model], time: Time, *, bold: set[Model]) -> None:
    """Names above and left of the front, where nothing else is; each above the one before it where they would meet."""
    taken: list[tuple[float, float]] = []  # right end and height of each name, px
    for model in front:
        x, y = axes.transData.transform((time(model), model.ap))
        up = max([4.0, *((height + NAME_PX - y) / PX for end, height in taken if x - end < WIDE_PX)])
        taken.append((x, y + up * PX))
        style: dict[str, Any] = {"ha": "right", "fontweight": "bold" if model in bold else "normal"}
        axes.annotate(model.name, (time(model), model.ap), (-7, up), **NAMES, **style)


def _name_others(axes: "Axes", models: list[Model], time: Time) -> None:
    """Names of those that are on the other front, below and right of their points."""
    for model in models:
        axes.annotate(model.name, (time(model), model.ap), (7, -10), **NAMES, ha="left")
