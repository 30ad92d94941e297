"""The picture of a study's progress: what it had found by when, beside random draws from its own trials."""

from typing import TYPE_CHECKING

import pandas as pd

from ..scaler.figure_style import BLUE, INK, PALE, house_style, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {"trials": "Trials", "epochs": "Epochs trained", "hours": "Hours of training"}


def draw_progress(frame: pd.DataFrame, budget: str, title: str) -> "Figure":
    """The share of the final hypervolume as a step line; expected of random draws, dashed, with a band.

    Args:
        frame: as `progress_frame` gives it.
        budget: trials, epochs or hours.
        title: of the figure.
    """
    with house_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator, PercentFormatter

        figure = Figure(figsize=(5.6, 4.0), layout="constrained")
        axes = figure.add_subplot()
        draws = frame[f"random_{budget}"] if f"random_{budget}" in frame else range(1, len(frame) + 1)
        axes.fill_between(draws, frame["random_low"], frame["random_high"], color=PALE, alpha=0.3, linewidth=0)
        axes.plot(draws, frame["random"], color=INK, linewidth=1.3, linestyle=(0, (4, 2)), label="random order, 95 %")
        axes.plot(frame[budget], frame["share"], drawstyle="steps-post", color=BLUE, linewidth=2.0, label="the search")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.xaxis.set_major_locator(MaxNLocator(integer=budget != "hours"))
        axes.set_xlabel(LABELS[budget])
        axes.set_ylabel("Share of hypervolume · more is better")
        axes.set_title(wrapped(title, figure))
        figure.legend(loc="outside lower center", ncols=2)
    return figure
