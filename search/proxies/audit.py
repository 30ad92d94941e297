"""Which proxy, if any, orders a study's own finished trials by AP better than plain MACs do. No torch.

A proxy is worth asking only while it beats what costs nothing: Kendall's tau of its score with AP must be above that of
MACs, and above zero. Of few trials tau is uncertain, and the best of several proxies is above MACs by luck more often
than a single one: a point estimate would put one to use in most studies, and so would a chance of more than a half.
Here trials are drawn anew with replacement, proxy and MACs are compared on each draw, paired, and a proxy is put to use
where it loses in less than a share of CHANCE / (number of proxies) of the draws: the more are tried, the more each must
show. What that comes to with proxies that are no better than MACs stands in `docs/proxies.md`.

The audit follows from the finished trials alone. What was put to use is switched off when later trials speak against
it, and the other way round. Trials that a proxy has chosen are more alike in its score than drawn ones, which lowers
its tau rather than that of MACs: an error on the side of switching it off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHANCE = 0.1  # of the draws in which one of the proxies in use, all taken together, may lose
DRAWS = 2_000
INTERVAL = (2.5, 97.5)  # percentiles

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Tau:
    """Kendall's tau with AP, and an interval of 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} … {self.high:.2f})"


@dataclass(frozen=True)
class Audit:
    """A proxy beside MACs, on the same finished trials."""

    kind: str
    n: int  # finished trials with a score
    unscored: int  # finished trials of which the proxy gave no score
    tau: Tau
    macs: Tau
    beats: float  # the share of the draws in which it is above both MACs and zero
    in_use: bool = False


def audit(
    ap: ArrayLike, macs: ArrayLike, scores: Mapping[str, Sequence[float | None]], after: int, draws: int = DRAWS
) -> list[Audit]:
    """Audit proxies on n trials; at most one, that with the highest tau, is in use.

    Args:
        ap: (n,) of the finished trials.
        macs: (n,) likewise.
        scores: (n,) of each proxy; None where there is no score.
        after: trials with a score from which on a proxy may be in use.
        draws: with replacement.
    """
    audits = [_one(kind, _floats(ap), _floats(macs), _floats(found), draws) for kind, found in scores.items()]
    beating = [one for one in audits if one.n >= after and one.beats > 1 - CHANCE / len(audits)]
    best = max(beating, key=lambda one: one.tau.value, default=None)
    return [replace(one, in_use=one is best) for one in audits]


def kendall(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Values:
    """Kendall's tau-b of values (n,) that stand w times each: (m,) for weights (m, n); once each where None.

    Zero where all values of either are equal, of which tau is not defined: they order nothing.

    Source: Kendall, "The treatment of ties in ranking problems", Biometrika 33 (1945).
    """
    one, other = (np.sign(np.subtract.outer(values, values)) for values in (_floats(x), _floats(y)))
    counts = np.ones((1, len(one))) if weights is None else np.asarray(weights, dtype=np.float64)

    def pairs(signs: Values) -> Values:
        return ((counts @ signs) * counts).sum(axis=1)

    untied = np.sqrt(pairs(np.abs(one)) * pairs(np.abs(other)))
    return np.divide(pairs(one * other), untied, out=np.zeros(len(counts)), where=untied > 0)


def _one(kind: str, ap: Values, macs: Values, score: Values, draws: int) -> Audit:
    scored = np.isfinite(score)
    ap, macs, score = ap[scored], macs[scored], score[scored]
    n, unscored = len(ap), len(scored) - len(ap)
    if not n:
        return Audit(kind, 0, unscored, Tau(0, 0, 0), Tau(0, 0, 0), 0.0)
    times = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), draws)
    drawn, plain = kendall(score, ap, times), kendall(macs, ap, times)
    tau, plainly = (
        Tau(kendall(values, ap).item(), *np.percentile(taus, INTERVAL).tolist())
        for values, taus in ((score, drawn), (macs, plain))
    )
    return Audit(kind, n, unscored, tau, plainly, float((drawn > np.maximum(plain, 0)).mean()))


def _floats(values: ArrayLike | Sequence[float | None]) -> Values:
    return np.array(values, dtype=np.float64)
