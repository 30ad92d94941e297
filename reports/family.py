"""The models of Tables 1 and 2: counts beside the printed ones, latency here beside the paper's V100. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ..scaler.figure_style import BLUE, VERMILION, house_style, plain_logarithmic, wrapped
from .ablation import kendall
from .point_names import name_points
from .published import published
from .timed import Timed
from .zoo_table import zoo_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = {640: BLUE, 1280: VERMILION}  # pixels at which the paper timed


@dataclass(frozen=True)
class Member:
    """A model of the zoo with what is counted, printed and timed of it."""

    model: str
    size_px: int
    params: int
    flops_g: float
    params_m_printed: float | None
    flops_g_printed: float | None
    equal: bool | None  # the printed counts are ours, counted and rounded as the row was
    fps_v100: float | None
    ap_test: float | None
    timed: Timed | None


def family(timed: Sequence[Timed]) -> list[Member]:
    """Every model of the zoo that Tables 1 and 2 print, in their order."""
    times = {line.model: line for line in timed}
    printed = {row.zoo: row for row in published() if row.table == 2 and row.zoo}
    found = []
    for record in zoo_table():
        theirs, row = record["published"], printed.get(record["name"])
        if theirs is None or theirs["table"] not in (1, 2):
            continue
        found.append(
            Member(
                record["name"],
                record["size"],
                record["params"],
                record["flops_g"],
                theirs["params_m"],
                theirs["flops_g"],
                record["equal"],
                row.fps_v100 if row else None,
                row.ap_test if row else None,
                times.get(record["name"]),
            )
        )
    return found


def rank_correlation(members: Sequence[Member], size_px: int) -> tuple[float | None, int]:
    """Kendall's tau-b of latency here and on the paper's V100, of models that it timed at a size; and their number."""
    pairs = [(m.timed.median_ms, 1000 / m.fps_v100) for m in members if m.size_px == size_px and m.timed and m.fps_v100]
    return (kendall(pairs) if len(pairs) > 1 else None), len(pairs)


def family_frame(members: Sequence[Member]) -> pd.DataFrame:
    """A line for each model."""
    return pd.DataFrame(
        [
            {
                "Model": m.model,
                "Size px": m.size_px,
                "Params M": round(m.params / 1e6, 2),
                "GFLOPs": round(m.flops_g, 1),
                "Params M (paper)": m.params_m_printed,
                "GFLOPs (paper)": m.flops_g_printed,
                "Equal": {True: "yes", False: "no", None: ""}[m.equal],
                "Latency here ms": m.timed.median_ms if m.timed else None,
                "Interval ms": f"{m.timed.low_ms:.1f} to {m.timed.high_ms:.1f}" if m.timed else "",
                "FPS, V100 (paper)": m.fps_v100,
                "AP test, COCO (paper)": m.ap_test,
            }
            for m in members
        ]
    ).set_index("Model")


def family_words(members: Sequence[Member]) -> list[str]:
    """How the orders of latency compare."""
    said = []
    for size in SIZES:
        tau, number = rank_correlation(members, size)
        if tau is not None:
            said.append(
                f"Of the {number} models that the paper timed at {size} px: Kendall tau-b {tau:+.2f} of the latency "
                "here and 1 / FPS on its V100."
            )
    equal = sum(m.equal is True for m in members)
    return [
        f"{equal} of {len(members)} models: params and FLOPs as printed, to the last digit, counted as the row was.",
        *said,
    ]


def draw_family(members: Sequence[Member], title: str, measured: str) -> "Figure":
    """Latency here against the paper's, one point for each model, by the size that the paper timed at.

    `measured` says how the latency here was.
    """
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.4, 6.0), layout="constrained")
        axes = figure.add_subplot()
        places: dict[str, tuple[float, float]] = {}
        for size, colour in SIZES.items():
            some = [m for m in members if m.size_px == size and m.timed and m.fps_v100]
            label = f"{size} px in the paper"
            axes.scatter(
                [m.timed.median_ms for m in some if m.timed],
                [1000 / m.fps_v100 for m in some if m.fps_v100],
                color=colour,
                s=36,
                label=label,
            )
            places |= {m.model: (m.timed.median_ms, 1000 / m.fps_v100) for m in some if m.timed and m.fps_v100}
        plain_logarithmic(axes.xaxis)
        plain_logarithmic(axes.yaxis)
        axes.set_xlabel(f"Latency here ({measured}), ms · less is better")
        axes.set_ylabel("1 / FPS on the paper's V100, ms · less is better")
        axes.set_title(wrapped(title, figure))
        axes.legend(loc="upper left")
        axes.margins(x=0.1)
        name_points(figure, axes, places)
    return figure
