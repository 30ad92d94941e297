"""Parallel coordinates: a line for each trial through its parameters and figures."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..scaler.figure_style import BLUE, INK, PALE, PAPER, house_style, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROWD = 300  # lines of which more are drawn as one image, so that files stay small
WORDS = 12  # of an axis that are written at most
CHOICES = 4  # numbers of an axis that are each written; of more, five between the ends


def draw_parallel(frame: pd.DataFrame, members: list[int], labels: dict[str, str], title: str) -> "Figure":
    """An axis for each column, each from its least to its greatest value; `members` in colour, above the others.

    Args:
        frame: trials by number; columns of numbers, or of words, which lie on their axis by the alphabet.
        members: of the front.
        labels: of the columns.
        title: of the figure.
    """
    with house_style():
        from matplotlib.collections import LineCollection
        from matplotlib.figure import Figure

        figure = Figure(figsize=(max(6.4, 1.35 * len(frame.columns)), 3.9), layout="constrained")
        axes = figure.add_subplot()
        places, lines = np.arange(len(frame.columns)), courses(frame)
        chosen = frame.index.isin(members)
        crowd = int((~chosen).sum()) > CROWD
        pale = {"colors": PALE, "linewidths": 0.5 if crowd else 0.9, "alpha": 0.15 if crowd else 0.7, "zorder": 2}
        axes.add_collection(LineCollection(list(lines[~chosen]), rasterized=crowd, **pale))  # type: ignore[arg-type]
        axes.add_collection(LineCollection(list(lines[chosen]), colors=BLUE, linewidths=1.7, alpha=0.9, zorder=3))
        for place, name in enumerate(frame.columns):
            _axis(axes, place, _heights(list(frame[name]))[1])
        axes.set(xlim=(-0.3, len(places) - 0.7 + 0.3), ylim=(-0.05, 1.05), yticks=[])
        axes.set_xticks(places, [labels[name].replace(" (", "\n(") for name in frame.columns])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, pad=8)
        axes.grid(visible=False)
        axes.set_title(wrapped(title, figure), pad=14)
    return figure


def courses(frame: pd.DataFrame) -> np.ndarray:
    """Where each trial's line runs in the units of the figure: (trials, columns, 2)."""
    heights = np.column_stack([_heights(list(frame[name]))[0] for name in frame.columns])
    return np.stack([np.broadcast_to(np.arange(len(frame.columns)), heights.shape), heights], axis=2)


def _heights(values: list[Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Where each value lies between 0 and 1, and what is written beside the axis, at which height."""
    if any(isinstance(value, str) for value in values):
        words = sorted(set(map(str, values)))
        step = {word: place / max(len(words) - 1, 1) for place, word in enumerate(words)}
        return np.array([step[str(value)] for value in values]), [(step[word], word) for word in words]
    numbers = np.array(values, dtype=float)
    low, span = float(numbers.min()), float(np.ptp(numbers))
    distinct = np.unique(numbers)
    ticks = distinct if len(distinct) <= CHOICES else np.linspace(low, low + span, 5)

    def height(number: Any) -> Any:
        return (number - low) / span if span else number * 0 + 0.5

    return height(numbers), [(float(height(tick)), f"{tick:.3g}") for tick in ticks]


def _axis(axes: "Axes", place: int, written: list[tuple[float, str]]) -> None:
    axes.axvline(place, color=INK, linewidth=0.8, zorder=4, ymin=0.045, ymax=0.955)
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0, "alpha": 0.8}
    for height, text in written[:WORDS]:
        style = {"textcoords": "offset points", "va": "center", "fontsize": 8, "zorder": 5, "bbox": box}
        axes.annotate(text, (place, height), (4, 0), **style)
