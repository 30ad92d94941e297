"""An ablation computed: variants compared seed by seed, beside the paper's rows. Plain numbers, nothing drawn.

Intervals are of Student's t over the differences of equal seeds: with three to five trainings of each variant a
bootstrap would be too narrow, since it can only repeat what it saw.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, nan, sqrt
from typing import Literal

import numpy as np
from scipy import stats

from ..blocks.errors import InputError
from ..search.seeds import SeedRow
from .compare_file import Comparison
from .published import Published

LEVEL = 0.95  # of intervals, each by itself
Verdict = Literal["reproduced", "not reproduced", "not resolvable at this scale", "not run"]
RULE = (
    "A claim of the paper, that one row has more AP than another, is reproduced where the 95 % interval of the paired "
    "difference lies on its side of zero, not reproduced where it lies on the other side, and not resolvable at this "
    "scale where it holds zero. A table is reproduced where every claim of its best row over the others is, and not "
    "reproduced where one of them is not."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of paired differences of AP, with its interval."""

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def resolved(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Result:
    """A variant's trainings."""

    variant: str
    label: str
    seeds: Mapping[int, SeedRow]
    published: Published | None

    def mean(self, figure: str) -> float:
        """The mean of ap, ap50 or ap75 over the seeds; NaN where there is none."""
        return statistics.fmean(getattr(row, figure) for row in self.seeds.values()) if self.seeds else nan

    @property
    def spread(self) -> float:
        """The standard deviation of AP over the seeds; NaN of fewer than two."""
        return statistics.stdev(row.ap for row in self.seeds.values()) if len(self.seeds) > 1 else nan

    @property
    def some(self) -> SeedRow | None:
        """One of its trainings: parameters and FLOPs are those of all."""
        return next(iter(self.seeds.values()), None)


@dataclass(frozen=True)
class Claim:
    """The paper's best row against another: what the paper printed, and what came out here."""

    other: str
    published: float | None  # AP in percent that the best row has more
    here: Difference | None
    verdict: Verdict


@dataclass(frozen=True)
class Ablation:
    """A study's results beside the paper's."""

    comparison: Comparison
    results: Sequence[Result]  # in the table's order

    def result(self, variant: str) -> Result:
        """A variant's trainings."""
        return next(result for result in self.results if result.variant == variant)

    def against(self, result: Result, variant: str) -> Difference | None:
        """How much more AP it has than another variant; None of itself, or where no two have the same seed."""
        return None if result.variant == variant else difference(result.seeds, self.result(variant).seeds)

    @cached_property
    def claims(self) -> list[Claim]:
        """The best row's claims, in the table's order; none where the paper has no best row."""
        if self.comparison.best is None:
            return []
        best = self.result(self.comparison.best)
        return [self._claim(best, other) for other in self.results if other is not best]

    @property
    def verdict(self) -> Verdict | None:
        """What became of the table as a whole, by `RULE`; None where the paper has none of it."""
        found = {claim.verdict for claim in self.claims}
        order: tuple[Verdict, ...] = ("not run", "not reproduced", "not resolvable at this scale", "reproduced")
        return next((verdict for verdict in order if verdict in found), None)

    @property
    def tau(self) -> float | None:
        """Kendall's tau-b of the order by mean AP and the paper's; None where fewer than two rows have both."""
        known = [(r.mean("ap"), r.published.ap_val) for r in self.results if r.seeds and r.published]
        pairs = [(ours, theirs) for ours, theirs in known if theirs is not None]
        return kendall(pairs) if len(pairs) > 1 else None

    @property
    def resolution(self) -> float | None:
        """The difference of AP that could have been told from zero: the median half-width of the intervals."""
        halves = [(d.high - d.low) / 2 for d in (self.against(r, self.comparison.base) for r in self.results) if d]
        finite = [half for half in halves if half < inf]
        return statistics.median(finite) if finite else None

    def _claim(self, best: Result, other: Result) -> Claim:
        here = difference(best.seeds, other.seeds)
        theirs = [row.ap_val for row in (best.published, other.published) if row and row.ap_val is not None]
        published = round(theirs[0] - theirs[1], 2) if len(theirs) == 2 else None
        if here is None or here.pairs < 2:
            verdict: Verdict = "not run"
        elif not here.resolved:
            verdict = "not resolvable at this scale"
        else:
            verdict = "reproduced" if here.mean > 0 else "not reproduced"
        return Claim(other.label, published, here, verdict)


def ablation(comparison: Comparison, rows: Sequence[SeedRow]) -> Ablation:
    """Sort trainings by the rows of a comparison.

    Raises:
        InputError: a variant was trained that the comparison does not know, or trained twice with a seed.
    """
    found: dict[str, dict[int, SeedRow]] = {variant: {} for variant in comparison.rows}
    for row in rows:
        if row.variant not in found:
            known = ", ".join(found)
            raise InputError(f"variant {row.variant!r} of the results is none of the rows of compare.yaml: {known}")
        if found[row.variant].setdefault(row.seed, row) is not row:
            raise InputError(f"variant {row.variant!r} stands twice with seed {row.seed} in the results")
    return Ablation(
        comparison,
        [
            Result(variant, comparison.rows[variant].label, seeds, comparison.published(variant))
            for variant, seeds in found.items()
        ],
    )


def difference(ours: Mapping[int, SeedRow], theirs: Mapping[int, SeedRow]) -> Difference | None:
    """The differences of AP of equal seeds; None where there is none."""
    pairs = [ours[seed].ap - theirs[seed].ap for seed in ours if seed in theirs]
    if not pairs:
        return None
    low, high = interval(pairs)
    return Difference(statistics.fmean(pairs), low, high, len(pairs))


def interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Student's interval of the mean; without bounds of a single value."""
    if len(values) < 2:
        return -inf, inf
    mean = statistics.fmean(values)
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * statistics.stdev(values) / sqrt(len(values))
    return mean - half, mean + half


def kendall(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Tau-b of two orders; None where one of them ties everything."""
    if any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
        return None
    return float(np.asarray(stats.kendalltau(*zip(*pairs, strict=True)))[0])
