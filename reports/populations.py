"""Populations of detectors compared as distributions of AP, each weighted to the same distribution of cost.

Source: Radosavovic et al., "On network design spaces for visual recognition", arXiv:1905.13214, sections 3 and 4:
empirical distribution functions, and the normalised comparison, in which the members of a population are weighted so
that its costs are distributed as everybody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..blocks.errors import InputError
from ..scaler.figure_style import SERIES, headline, house_style
from ..search.replay_table import Table
from ..search.space import Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 6  # of cost, each with as many detectors over all populations; over all that are alike where some must be
RESAMPLES = 2000  # of detectors, with all their seeds

Floats = NDArray[np.float64]


class Members(NamedTuple):
    """Detectors of a population that are within a bin of cost."""

    scores: Floats  # the mean over the seeds
    bin: NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Detectors with one value of a parameter, as far as all populations have some of their cost."""

    parameter: str
    value: Value
    members: Members

    @property
    def weights(self) -> Floats:
        """Every bin of cost counts alike."""
        counts = np.bincount(self.members.bin)
        return 1 / counts[self.members.bin] / len(np.unique(self.members.bin))

    @property
    def mean(self) -> float:
        """The weighted mean score."""
        return float(self.weights @ self.members.scores)

    def distribution(self) -> tuple[Floats, Floats]:
        """Scores in ascending order, and the share of the population that is at most as good."""
        order = np.argsort(self.members.scores)
        return self.members.scores[order], self.weights[order].cumsum()


def populations(
    table: Table, parameter: str, *, alike: Sequence[str] = (), score: str = "ap", cost: str = "gflops"
) -> list[Population]:
    """The populations that a parameter's values make, in their order.

    Only detectors within a bin of cost are compared, and only such as have the same values of the parameters `alike`.

    Raises:
        InputError: the table has no such parameter, score or cost, or no cost that all populations have.
    """
    unknown = {parameter, *alike} - set(table.parameters) or {score} - set(table.scores) or {cost} - set(table.costs)
    if unknown:
        known = ", ".join((*table.parameters, *table.scores, *table.costs))
        raise InputError(f"{', '.join(sorted(unknown))}: is not in the table; it has {known}")
    columns = dict(zip(table.parameters, zip(*table.results, strict=True), strict=True))
    values = np.array([table.domains[parameter].index(value) for value in columns[parameter]])
    scores = np.array([result.final(score) for result in table.results.values()])
    costs = np.log([result.costs[cost] for result in table.results.values()])
    strata = list(zip(*(columns[name] for name in alike if name != parameter), strict=True)) or [()] * len(values)
    bins = _bins(costs, strata)
    common = [b for b in np.unique(bins) if len(set(values[bins == b])) == len(table.domains[parameter])]
    if not common:
        raise InputError(f"{parameter}: no {cost} that all of its populations have; they cannot be compared")
    return [
        Population(parameter, value, Members(scores[chosen], np.searchsorted(common, bins[chosen])))
        for index, value in enumerate(table.domains[parameter])
        for chosen in [(values == index) & np.isin(bins, common)]
    ]


def _bins(costs: Floats, strata: Sequence[tuple[Value, ...]]) -> NDArray[np.int64]:
    """A number for each detector, equal for those of the same stratum and of about the same cost."""
    kinds = sorted(set(strata), key=str)
    number = np.array([kinds.index(stratum) for stratum in strata])
    each = max(2, BINS // len(kinds)) if len(kinds) > 1 else BINS
    bins = np.empty(len(costs), dtype=np.int64)
    for kind in range(len(kinds)):
        own = number == kind
        edges = np.quantile(costs[own], np.linspace(0, 1, each + 1)[1:-1])
        bins[own] = kind * each + np.searchsorted(edges, costs[own])
    return bins


def above_first(found: Sequence[Population], population: Population, seed: int = 0) -> tuple[float, float, float]:
    """How much more a population scores in the mean than the first, with a 95 % bootstrap interval over detectors."""
    rng = np.random.default_rng(seed)
    first = found[0]
    low, high = np.quantile(_redrawn(population, rng) - _redrawn(first, rng), (0.025, 0.975))
    return population.mean - first.mean, float(low), float(high)


def population_frame(groups: Sequence[Sequence[Population]]) -> pd.DataFrame:
    """A line for each population. AP in percent."""
    lines = []
    for found in groups:
        for population in found:
            mean, low, high = (100 * value for value in above_first(found, population))
            lines.append(
                {
                    "Population": f"{population.parameter} {population.value}",
                    "Detectors": len(population.members.scores),
                    "Mean AP at equal FLOPs": 100 * population.mean,
                    "Best AP": 100 * float(population.members.scores.max()),
                    "Above the first": "" if population is found[0] else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]",
                }
            )
    return pd.DataFrame(lines).set_index("Population")


def draw_populations(groups: Sequence[Sequence[Population]], title: str) -> "Figure":
    """A panel for each parameter: the empirical distribution function of each of its populations."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.3 * len(groups) + 0.6, 3.7), layout="constrained")
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for panel, found in zip(panels, groups, strict=True):
            for colour, population in zip(SERIES, found, strict=False):
                scores, shares = population.distribution()
                panel.step(100 * scores, shares, where="post", color=colour, linewidth=1.6, label=str(population.value))
            panel.legend(title=found[0].parameter, loc="upper left")
            panel.set_xlabel("AP, %, small scale · more is better")
        panels[0].set_ylabel("share of detectors at most as good")
        headline(figure, title)
    return figure


def _redrawn(population: Population, rng: np.random.Generator) -> Floats:
    """(RESAMPLES,) weighted means of members drawn anew within each bin."""
    scores, bins = population.members
    own = [scores[bins == b] for b in np.unique(bins)]
    return np.mean([rng.choice(some, (RESAMPLES, len(some))).mean(axis=1) for some in own], axis=0)
