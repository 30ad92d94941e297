"""Whether a search finds more than a scaling rule within the rule's own budget, replayed on a table of results.

A search sees the results of one seed; what it chose, and the rule's detector, are judged by another seed's. Otherwise
the best of several draws of chance would pass for a better detector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import optuna
import pandas as pd

from ..blocks.errors import InputError
from ..scaler.figure_style import BLUE, INK, PALE, house_style, wrapped
from ..search.replay import SAMPLERS
from ..search.replay_sampler import Among, Exhausted, combination, distribution
from ..search.replay_table import Combination, Table
from ..search.space import Value
from .ablation import interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BUDGET = ("params", "gflops")
REPEATS = 5  # searches from each base, with other seeds


@dataclass(frozen=True)
class Duel:
    """A base, the detector that the rule makes of it, and what searches within its budget chose."""

    base: Combination
    rule: float  # score, by the seed that judges
    within: int  # candidates within the budget, the rule's own among them
    found: float  # the same of what searches chose, in the mean
    seeming: float  # how much more it is than the rule's by the seed that the searches saw

    @property
    def gain(self) -> float:
        return self.found - self.rule


def duels(
    table: Table,
    parameter: str,
    before: Value,
    after: Value,
    *,
    alike: Sequence[str] = (),
    trials: int,
    sampler: str = "tpe",
    score: str = "ap",
) -> list[Duel]:
    """A duel for each detector of a table whose `parameter` the rule takes from `before` to `after`.

    A search may choose any candidate that has no more params and FLOPs than the rule's and the same values of `alike`.

    Raises:
        InputError: no detector of the table is a base, or results are of one seed alone.
    """
    place = table.parameters.index(parameter) if parameter in table.parameters else None
    if place is None or any(len(result.scores[score]) < 2 for result in table.results.values()):
        raise InputError(f"a table with the parameter {parameter} and results of two seeds is needed")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = [
        _duel(table, base, rule, [table.parameters.index(name) for name in alike], trials, sampler, score)
        for base in table.results
        if base[place] == before
        for rule in [(*base[:place], after, *base[place + 1 :])]
        if rule in table.results
    ]
    if not found:
        raise InputError(f"no two detectors of the table differ by {parameter} {before} and {after} alone")
    return found


def duel_frame(found: Sequence[Duel], table: Table) -> pd.DataFrame:
    """A line for each base. AP in percent."""
    return pd.DataFrame(
        [
            {
                "Base": " ".join(f"{n} {value}" for n, value in zip(table.parameters, duel.base, strict=True)),
                "Within the budget": duel.within,
                "AP of the rule": 100 * duel.rule,
                "AP of the searches": 100 * duel.found,
                "Gain": 100 * duel.gain,
            }
            for duel in found
        ]
    ).set_index("Base")


def duel_words(found: Sequence[Duel], trials: int, sampler: str) -> list[str]:
    """The mean gain, with Student's interval over the bases."""
    gains = [100 * duel.gain for duel in found]
    seeming = [100 * duel.seeming for duel in found]
    return [
        f"Searches ({sampler}, {trials} trainings each) chose detectors of {_spread(gains)} AP against the rule's, in "
        f"the mean over {len(found)} bases; better from {sum(gain > 0 for gain in gains)} of them.",
        f"By the seed that the searches saw it would have been {_spread(seeming)} AP, better from "
        f"{sum(gain > 0 for gain in seeming)}.",
    ]


def _spread(gains: Sequence[float]) -> str:
    low, high = interval(gains)
    return f"{np.mean(gains):+.1f} [{low:+.1f}, {high:+.1f}]"


def draw_duels(found: Sequence[Duel], title: str) -> "Figure":
    """The searches' AP against the rule's, a point for each base."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.4, 4.6), layout="constrained")
        axes = figure.add_subplot()
        rule, searched = [100 * duel.rule for duel in found], [100 * duel.found for duel in found]
        ends = [min(*rule, *searched), max(*rule, *searched)]
        axes.plot(ends, ends, color=PALE, linewidth=1.2)
        axes.annotate("equal", (ends[0], ends[0]), (10, -2), textcoords="offset points", color=INK, fontsize=8)
        axes.scatter(rule, searched, color=BLUE, s=30, zorder=3)
        axes.set_xlabel("AP of the rule's detector, %, small scale")
        axes.set_ylabel("AP of what searches chose, %, small scale")
        axes.set_title(wrapped(title, figure))
    return figure


def _duel(
    table: Table, base: Combination, rule: Combination, alike: list[int], trials: int, sampler: str, score: str
) -> Duel:
    bound = {name: table.results[rule].costs[name] for name in BUDGET}
    within = [
        values
        for values, result in table.results.items()
        if all(result.costs[name] <= bound[name] for name in BUDGET) and all(values[i] == rule[i] for i in alike)
    ]
    chosen = [_searched(table, within, trials, sampler, score, repeat) for repeat in range(REPEATS)]

    def mean(seed: int) -> float:
        return float(np.mean([table.results[values].scores[score][seed][-1] for values in chosen]))

    seen, judged = (curve[-1] for curve in table.results[rule].scores[score][:2])
    return Duel(base, judged, len(within), mean(1), mean(0) - seen)


def _searched(
    table: Table, within: Sequence[Combination], trials: int, sampler: str, score: str, seed: int
) -> Combination:
    """The best by the first seed of what one search trained."""
    return max(_trained(table, within, trials, sampler, score, seed))[1]


def _trained(
    table: Table, within: Sequence[Combination], trials: int, sampler: str, score: str, seed: int
) -> Iterator[tuple[float, Combination]]:
    distributions = {name: distribution(values) for name, values in table.domains.items()}
    inner = SAMPLERS[sampler](seed)  # type: ignore[index]
    among = Among(within, table, inner, distributions, np.random.default_rng(seed))
    study = optuna.create_study(direction="maximize", sampler=among)
    for _ in range(trials):
        try:
            trial = study.ask(distributions)
        except Exhausted:
            return
        values = combination(table, trial.params)
        got = table.results[values].scores[score][0][-1]
        study.tell(trial, got)
        yield got, values
