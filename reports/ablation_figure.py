"""An ablation drawn: trainings as points, means with intervals, and paired differences beside the paper's."""

from math import isfinite
from typing import TYPE_CHECKING

from ..scaler.figure_style import BLUE, INK, PALE, PAPER, VERMILION, headline, house_style
from .ablation import Ablation, Result, interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AP = "AP, %, small scale · more is better"
ROW_INCHES, MARGIN_INCHES = 0.42, 1.5


def draw_ablation(found: Ablation) -> "Figure":
    """Rows of the table downwards, or a curve, as the comparison says."""
    return _draw_curve(found) if found.comparison.draw == "curve" else _draw_rows(found)


def _draw_rows(found: Ablation) -> "Figure":
    """AP of each row to the left; to the right how much more it is than the base's, and what the paper printed."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.6, MARGIN_INCHES + ROW_INCHES * len(found.results)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        places = range(len(found.results))
        for place, result in enumerate(found.results):
            _trainings(left, _percent(result), place, first=place == 0)
        base = found.result(found.comparison.base)
        right.axvline(0, color=INK, linewidth=0.8)
        told = set()
        for place, result in enumerate(found.results):
            here = found.against(result, base.variant)
            if here is not None and isfinite(here.low):
                label = None if "here" in told else "here, with 95 % interval"
                told.add("here")
                mean, low, high = 100 * here.mean, 100 * here.low, 100 * here.high
                style = {"fmt": "o", "color": BLUE, "capsize": 3, "markersize": 6, "label": label}
                right.errorbar(mean, place, xerr=[[mean - low], [high - mean]], **style)
            theirs = result.published, base.published
            if result is not base and all(row is not None and row.ap_val is not None for row in theirs):
                gain = theirs[0].ap_val - theirs[1].ap_val  # type: ignore[operator, union-attr]
                label = None if "paper" in told else "the paper, COCO, one training"
                told.add("paper")
                style = {"marker": "D", "s": 42, "facecolors": "none", "edgecolors": VERMILION, "linewidths": 1.6}
                right.scatter([gain], [place], label=label, zorder=4, **style)
        left.set_yticks(places, [result.label for result in found.results])
        left.invert_yaxis()
        left.margins(y=0.5 / len(found.results))
        for axes in (left, right):
            axes.grid(visible=False, axis="y")
            axes.locator_params(axis="x", nbins=6)
        left.set_xlabel(AP)
        right.set_xlabel(f"AP above {base.label}, points")
        headline(figure, found.comparison.title)
        figure.legend(loc="outside lower center", ncols=4, columnspacing=1.2, handletextpad=0.4)
    return figure


def _draw_curve(found: Ablation) -> "Figure":
    """AP against what varies, and against the computation that it costs."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        curve = [result for result in found.results if result.seeds]
        for place, result in enumerate(curve):
            values = _percent(result)
            x, some = found.comparison.rows[result.variant].x, result.some
            assert some is not None
            _trainings(right, values, some.gflops, first=place == 0, upright=True)
            if x is not None:
                _trainings(left, values, x, first=False, upright=True)
            top = interval(values)[1]
            above = (some.gflops, top if isfinite(top) else max(values))
            right.annotate(result.label, above, (0, 5), textcoords="offset points", ha="center", fontsize=8)
        right.margins(x=0.1, y=0.1)
        left.set_xlabel(found.comparison.axis)
        right.set_xlabel("FLOPs (G, paper's convention) · less is better")
        left.set_ylabel(AP)
        headline(figure, found.comparison.title)
        figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2, handletextpad=0.4)
    return figure


def _percent(result: Result) -> list[float]:
    """AP of each training, as the tables have it."""
    return [100 * row.ap for row in result.seeds.values()]


def _trainings(axes: "Axes", values: list[float], at: float, *, first: bool, upright: bool = False) -> None:
    """The points of one variant, and their mean with its interval."""
    if not values:
        return
    along = [at] * len(values)
    points = (along, values) if upright else (values, along)
    axes.scatter(*points, s=22, color=PALE, linewidths=0, label="a training" if first else None, zorder=2)
    low, high = interval(values)
    mean = sum(values) / len(values)
    error = [[mean - low], [high - mean]] if isfinite(low) else None
    style = {"fmt": "o", "color": INK, "mec": PAPER, "markersize": 7, "capsize": 3, "zorder": 3}
    label = "mean, with 95 % interval" if first else None
    if upright:
        axes.errorbar(at, mean, yerr=error, label=label, **style)
    else:
        axes.errorbar(mean, at, xerr=error, label=label, **style)
