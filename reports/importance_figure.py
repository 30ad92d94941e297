"""The picture of parameter importances with their intervals."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..scaler.figure_style import BLUE, PALE, PAPER, house_style, wrapped
from ..search.quantities import QUANTITIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_INCHES, MARGIN_INCHES = 0.34, 1.2
NAMES = {"fanova": "fANOVA", "mdi": "mean decrease in impurity", "ped-anova": "PED-ANOVA"}


def draw_importance(frame: pd.DataFrame, title: str) -> "Figure":
    """A point for each parameter's share, the most important first, with its interval as a whisker.

    Args:
        frame: lines of `importance_frame` for one objective and one method, with something to say.
        title: of the figure.
    """
    with house_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import PercentFormatter

        figure = Figure(figsize=(5.6, MARGIN_INCHES + ROW_INCHES * len(frame)), layout="constrained")
        axes = figure.add_subplot()
        places, shares = np.arange(len(frame)), np.array(frame["importance"])
        axes.barh(places, shares, height=0.5, color=PALE, alpha=0.35, zorder=2)
        axes.hlines(places, np.array(frame["low"]), np.array(frame["high"]), color=BLUE, linewidth=1.6, zorder=3)
        axes.scatter(shares, places, s=36, color=BLUE, edgecolors=PAPER, linewidths=1.0, zorder=4)
        axes.set_yticks(places, list(frame["parameter"]))
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(visible=False, axis="y")
        method, objective = frame["method"].iloc[0], frame["objective"].iloc[0]
        axes.set_xlabel(f"Share of the importance for {QUANTITIES[objective].title}, by {NAMES[method]}")
        axes.set_title(wrapped(title, figure))
    return figure
