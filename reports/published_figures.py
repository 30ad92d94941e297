"""Figures 1, 9, 10 and 11 of the YOLOv7 paper drawn anew from its tables.

The paper's captions say what is compared. Figure 11 follows a comparison by times at batch 32, which no table prints:
parameters and FLOPs stand in their place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..scaler.figure_style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PALE,
    PAPER,
    PURPLE,
    SKY,
    VERMILION,
    house_style,
    plain_logarithmic,
)
from .published import Published, published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILIES = {  # by how a model's name begins: what it is called, and its colour
    "YOLOv7": ("YOLOv7", BLUE),
    "YOLOR": ("YOLOR", VERMILION),
    "YOLO-E6": ("YOLOR", VERMILION),  # as Table 9 misprints it
    "PPYOLOE": ("PP-YOLOE", GREEN),
    "YOLOX": ("YOLOX", PURPLE),
    "YOLOv5": ("YOLOv5 (r6.1)", ORANGE),
}
REAL_TIME_FPS = 30
CLOSE = 0.1  # of a neighbour, as a share of its place
SOURCE = "arXiv:2207.02696, Table {}, COCO val2017"
Measure = Callable[[Published], float | None]


@dataclass(frozen=True)
class Drawn:
    """A figure of the paper, drawn from its tables."""

    number: int  # in the paper
    caption: str
    figure: "Figure"


def published_figures() -> list[Drawn]:
    """All that the tables allow to draw."""
    ours = "YOLOv7 beside other real-time detectors"
    nine, two = published(9), published(2)
    real_time = [row for row in nine if (row.fps_v100 or 0) >= REAL_TIME_FPS]
    return [
        Drawn(
            1,
            "AP against the time of an image on a V100 at batch 1 (1000 / FPS), Table 2.",
            _by_family(f"{ours}: time", two, [(_time_ms, "Time of an image on a V100, ms · less is better", False)], 2),
        ),
        Drawn(
            9,
            "AP against FPS of all detectors of Table 9; on an A100, hollow: not comparable with those on a V100.",
            _all_detectors("YOLOv7 beside other detectors", nine),
        ),
        Drawn(
            10,
            f"AP against FPS of the detectors of Table 9 with {REAL_TIME_FPS} FPS or more on a V100.",
            _by_family(f"{ours}: speed", real_time, [(_fps, "FPS on a V100 · more is better", True)], 9),
        ),
        Drawn(
            11,
            "AP against parameters and FLOPs, Table 2. The paper's own Figure 11 follows times at batch 32, which none "
            "of its tables prints.",
            _by_family(
                f"{ours}: size and cost",
                two,
                [(_params_m, "Parameters, M · less is better", True), (_flops_g, "FLOPs, G · less is better", True)],
                2,
            ),
        ),
    ]


def _by_family(
    title: str, rows: Sequence[Published], measures: Sequence[tuple[Measure, str, bool]], table: int
) -> "Figure":
    """A panel for each measure: a line for each family and input size, on a logarithmic axis where so said."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2 if len(measures) == 1 else 10.4, 5.0), layout="constrained")
        panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for axes, (measure, label, logarithmic) in zip(panels, measures, strict=True):
            for name, colour, size, members in _lines(rows, measure):
                ours = colour == BLUE
                style = {"color": colour, "linewidth": 2.2 if ours else 1.4, "linestyle": "-" if size < 1000 else "--"}
                x, y = zip(*((measure(row), row.ap_val) for row in members), strict=True)
                marker = {"marker": "o", "markersize": 6.5 if ours else 5, "markeredgecolor": PAPER}
                axes.plot(x, y, **style, **marker, label=f"{name}, {size} px", zorder=4 if ours else 3)
                if ours:
                    _name(axes, members, measure, less_is_better="less" in label)
            _scale(axes, logarithmic)
            axes.set_xlabel(label)
        panels[0].set_ylabel("AP, % · more is better")
        panels[0].set_title(title)
        panels[-1].set_title(SOURCE.format(table), loc="right", fontsize=8)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def _all_detectors(title: str, rows: Sequence[Published]) -> "Figure":
    """Families as in the other figures; every other detector by name."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.6, 6.0), layout="constrained")
        axes = figure.add_subplot()
        for name, colour, size, members in _lines(rows, _fps):
            style = {"color": colour, "linewidth": 1.4, "linestyle": "-" if size < 1000 else "--", "marker": "o"}
            x, y = zip(*((row.fps_v100, row.ap_val) for row in members), strict=True)
            axes.plot(x, y, **style, markersize=5, markeredgecolor=PAPER, label=f"{name}, {size} px", zorder=3)
        others = [row for row in rows if family_of(row) is None]  # too close to each other for their names
        for device, measure, face in (("V100", _fps, SKY), ("A100", _fps_a100, PAPER)):
            some = [(number, row) for number, row in enumerate(others, start=1) if measure(row) is not None]
            x, y = zip(*((measure(row), row.ap_val) for _, row in some), strict=True)
            axes.scatter(x, y, s=150, c=face, edgecolors=INK, linewidths=1.0, label=f"others, on {device}", zorder=4)
            for (number, _), across, up in zip(some, x, y, strict=True):
                axes.text(across, up, str(number), ha="center", va="center", fontsize=7.5, zorder=5)
        key = [f"{number:>2}  {row.model}" for number, row in enumerate(others, start=1)]
        axes.text(0.02, 0.03, "\n".join(key), transform=axes.transAxes, fontsize=7.5, linespacing=1.35, va="bottom")
        axes.axvline(REAL_TIME_FPS, color=PALE, linewidth=1.0, linestyle=":")
        _scale(axes, logarithmic=True)
        axes.set_xlabel("FPS at batch 1 · more is better")
        axes.set_ylabel("AP, % · more is better")
        axes.set_title(title)
        axes.set_title(SOURCE.format(9), loc="right", fontsize=8)
        figure.legend(loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def _lines(rows: Sequence[Published], measure: Measure) -> list[tuple[str, str, int, list[Published]]]:
    """Families at each size, by the measure: name, colour, size in px, members."""
    found: dict[tuple[str, str, int], list[Published]] = {}
    for row in rows:
        family = family_of(row)
        if family and row.size_px and measure(row) is not None and row.ap_val is not None:
            found.setdefault((*family, row.size_px), []).append(row)
    return [(*key, sorted(members, key=lambda row: measure(row) or 0.0)) for key, members in found.items()]


def family_of(row: Published) -> tuple[str, str] | None:
    """A model's family and its colour; None of one that is of no family in the figures."""
    return next((family for begins, family in FAMILIES.items() if row.model.startswith(begins)), None)


def _name(axes: "Axes", rows: Sequence[Published], measure: Measure, *, less_is_better: bool) -> None:
    """Names on the side where no line of theirs is; below a close neighbour that is better."""
    points = [(measure(row) or 0.0, row.ap_val or 0.0) for row in rows]
    side = -1 if less_is_better else 1
    for row, (x, y) in zip(rows, points, strict=True):
        below = any(abs(x / other - 1) < CLOSE and better > y for other, better in points)
        short = row.model.removeprefix("YOLOv7").lstrip("-") or "YOLOv7"
        offset = (-7 * side, -11) if below else (5 * side, 6)
        ha = "left" if offset[0] > 0 else "right"
        axes.annotate(short, (x, y), offset, textcoords="offset points", ha=ha, fontsize=8, color=BLUE)


def _scale(axes: "Axes", logarithmic: bool) -> None:
    if logarithmic:
        plain_logarithmic(axes.xaxis)
    else:
        axes.set_xlim(left=0)


def _time_ms(row: Published) -> float | None:
    return 1000 / row.fps_v100 if row.fps_v100 else None


def _fps(row: Published) -> float | None:
    return row.fps_v100


def _fps_a100(row: Published) -> float | None:
    return row.fps_a100


def _params_m(row: Published) -> float | None:
    return None if row.params_m is None else float(row.params_m)


def _flops_g(row: Published) -> float | None:
    return None if row.flops_g is None else float(row.flops_g)
