"""What replayed strategies come to: the budget for a share of the hypervolume, with its spread, and the picture."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..scaler.documents import write_text
from ..scaler.figure_style import SERIES, house_style
from .replay import Strategy, Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE = 0.95  # of the hypervolume of the table's own front, that a search is to reach
BANDS = 6  # strategies whose bands can be told apart
RESAMPLES = 2000  # of the bootstrap

Traces = Mapping[Strategy, Sequence[Trace]]  # for each strategy as many, of the same seeds


@dataclass(frozen=True)
class Summary:
    """A strategy over its repetitions."""

    label: str
    reached: int  # repetitions that came to the share
    budget_mean: float  # epochs until then; a repetition that never did counts with the whole budget
    budget_sd: float
    share_mean: float  # of the hypervolume, at the end
    share_sd: float
    trained: float  # trials to their end
    stopped: float
    unfit: float  # trials that were over a bound
    saving: float  # times less budget than the first strategy; a lower bound of it where that one fell short more often
    saving_low: float  # 95 % interval, by bootstrap over the repetitions
    saving_high: float


def summaries(traces: Traces, budget: int, share: float = SHARE) -> list[Summary]:
    """A summary of each strategy, compared with the first."""
    needed = {strategy: _needed(some, budget, share) for strategy, some in traces.items()}
    baseline = next(iter(needed.values()))
    rng = np.random.default_rng(0)
    found = []
    for strategy, some in traces.items():
        own = needed[strategy]
        picks = rng.integers(len(own), size=(2, RESAMPLES, len(own)))
        ratios = baseline[picks[0]].mean(axis=1) / own[picks[1]].mean(axis=1)
        low, high = np.quantile(ratios, (0.025, 0.975)) if own is not baseline else (1.0, 1.0)
        ends = np.array([trace.at(budget) for trace in some])
        found.append(
            Summary(
                label=strategy.label,
                reached=sum(trace.reached(share) is not None for trace in some),
                budget_mean=float(own.mean()),
                budget_sd=float(own.std(ddof=1)) if len(own) > 1 else 0.0,
                share_mean=float(ends.mean()),
                share_sd=float(ends.std(ddof=1)) if len(ends) > 1 else 0.0,
                trained=float(np.mean([trace.trained for trace in some])),
                stopped=float(np.mean([trace.stopped for trace in some])),
                unfit=float(np.mean([trace.unfit for trace in some])),
                saving=float(baseline.mean() / own.mean()),
                saving_low=float(low),
                saving_high=float(high),
            )
        )
    return found


def write_traces(path: Path, traces: Traces) -> None:
    """Every step of every repetition: strategy, repetition, epochs spent, share of the hypervolume."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["strategy", "repeat", "spent", "share"])
    for strategy, some in traces.items():
        for repeat, trace in enumerate(some):
            writer.writerows(
                [strategy.label, repeat, spent, f"{share:.6f}"]
                for spent, share in zip(trace.spent, trace.share, strict=True)
            )
    write_text(path, text.getvalue())


def draw_replay(traces: Traces, budget: int, unit: str, title: str, share: float = SHARE) -> "Figure":
    """The mean share of the hypervolume over the budget, with bands of one standard deviation where they are few."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, 4.8), layout="constrained")
        axes = figure.add_subplot()
        spent = np.linspace(0, budget, 201).astype(int)
        for index, (strategy, some) in enumerate(traces.items()):
            shares = np.array([[trace.at(int(now)) for now in spent] for trace in some])
            mean, sd = shares.mean(axis=0), shares.std(axis=0)
            colour, dashes = SERIES[index % len(SERIES)], ("-", "--", ":", "-.")[index // len(SERIES) % 4]
            axes.plot(spent, mean, color=colour, linestyle=dashes, linewidth=1.8, label=strategy.label)
            if len(traces) > BANDS:
                continue
            axes.fill_between(spent, mean - sd, np.minimum(mean + sd, 1), color=colour, alpha=0.1, linewidth=0)
        axes.axhline(share, color="0.5", linewidth=0.8, linestyle=":")
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, budget)
        axes.set_xlabel(unit)
        axes.set_ylabel("Share of the front's hypervolume · more is better")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2)
    return figure


def _needed(traces: Sequence[Trace], budget: int, share: float) -> np.ndarray:
    needed = [trace.reached(share) for trace in traces]
    return np.array([budget if spent is None else spent for spent in needed], dtype=np.float64)
