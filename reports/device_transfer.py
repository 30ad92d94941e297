"""What a Pareto front found on one device is worth on another: orders of latency, members kept, AP lost."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from ..blocks.errors import InputError
from ..scaler.figure_style import headline, house_style
from ..search.pareto import pareto_front
from ..search.replay_table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LATENCY = "latency_ms_"
DARK = 0.6  # of a scale from 0 to 1, from which on cells are dark


@dataclass(frozen=True, slots=True)
class Transfer:
    """Detectors chosen on one device, used on another."""

    chosen_on: str
    used_on: str
    tau: float  # Kendall's tau-b of all detectors' latencies
    kept: float  # share of the one's front that is on the other's too
    lost: float  # score lost at a budget of latency, in the mean over the budgets of the other's front that can be met
    unmet: float  # share of those budgets within which no member of the one's front is


def transfers(table: Table, score: str) -> list[Transfer]:
    """Every pair of devices of a table, a device with itself too.

    A budget is the latency of a member of the own front; what is lost is that member's score, less the best score of a
    member of the other device's front within the budget.

    Raises:
        InputError: the table has no such score, or latencies of fewer than two devices.
    """
    devices = [name.removeprefix(LATENCY) for name in table.costs if name.startswith(LATENCY)]
    if score not in table.scores or len(devices) < 2:
        raise InputError(
            f"score {score!r} and latencies of two devices are needed; the table has {', '.join(table.scores)}, and "
            f"latencies of {', '.join(devices) or 'none'}"
        )
    results = list(table.results.values())
    scores = np.array([result.final(score) for result in results])
    latency = {device: np.array([result.costs[LATENCY + device] for result in results]) for device in devices}
    fronts = {
        device: pareto_front(np.stack([times, scores], axis=1), ("minimize", "maximize"))
        for device, times in latency.items()
    }
    return [_transfer(one, other, scores, latency, fronts) for one in devices for other in devices]


def transfer_frame(found: Sequence[Transfer]) -> pd.DataFrame:
    """A line for each pair of devices; AP in percent."""
    return pd.DataFrame(
        [
            {
                "Chosen on": pair.chosen_on,
                "Used on": pair.used_on,
                "Kendall tau-b of latency": pair.tau,
                "Front kept %": 100 * pair.kept,
                "AP lost": 100 * pair.lost,
                "Budgets unmet %": 100 * pair.unmet,
            }
            for pair in found
        ]
    ).set_index("Chosen on")


def draw_transfers(found: Sequence[Transfer], title: str) -> "Figure":
    """Two matrices: how alike the orders of latency are, and how much AP is lost."""
    with house_style():
        from matplotlib.figure import Figure

        devices = list(dict.fromkeys(pair.chosen_on for pair in found))
        figure = Figure(figsize=(11.0, 5.0), layout="constrained")
        axes = figure.subplots(1, 2)
        for panel, heading, values, shade in (
            (axes[0], "Kendall tau-b of latency", [pair.tau for pair in found], "Blues"),
            (axes[1], "AP lost by the other's front", [100 * pair.lost for pair in found], "Oranges"),
        ):
            matrix = np.array(values).reshape(len(devices), len(devices))
            mesh = panel.pcolormesh(matrix, cmap=shade)
            for (row, column), value in np.ndenumerate(matrix):
                colour = "white" if mesh.norm(value) > DARK else "black"  # of the cell, by day and by night
                panel.text(column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
            panel.set_xticks(np.arange(len(devices)) + 0.5, devices, rotation=45, ha="right")
            panel.set_yticks(np.arange(len(devices)) + 0.5, devices)
            panel.invert_yaxis()
            panel.set_xlabel("used on")
            panel.set_title(heading)
            panel.grid(visible=False)
        axes[0].set_ylabel("chosen on")
        headline(figure, title)
    return figure


def _transfer(
    one: str,
    other: str,
    scores: np.ndarray,
    latency: Mapping[str, np.ndarray],
    fronts: Mapping[str, np.ndarray],
) -> Transfer:
    times, chosen, own = latency[other], fronts[one], fronts[other]
    losses = []
    for member in own:
        within = scores[chosen][times[chosen] <= times[member]]
        losses.append(float(scores[member] - within.max()) if len(within) else nan)
    met = [loss for loss in losses if loss == loss]
    return Transfer(
        one,
        other,
        float(np.asarray(stats.kendalltau(latency[one], times))[0]),
        len(np.intersect1d(chosen, own)) / len(chosen),
        statistics.fmean(met) if met else nan,
        1 - len(met) / len(losses),
    )
