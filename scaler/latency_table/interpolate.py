"""Times of layers at shapes that were not measured, from those of their kind that were. No torch.

In logarithms a time is a power law of widths and pixels, by ridge regression, plus what a Gaussian process finds in
its residuals: steps where a width no longer fills a vector register, maps that no longer fit a cache. Far from all that
was measured the process says nothing, and the power law remains.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, 2.2 and 5.4.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .layers import LayerKey

Floats = NDArray[np.float64]

VECTOR = 16  # float32 in the widest register of a CPU; GPUs' tensor cores take multiples of 8
MEASURES = 4  # of the features are measures, the others say yes or no
RIDGE = 1e-3
LENGTHS = (1.0, 2.0, 4.0)  # over how many doublings of a width or of the pixels residuals are alike
NOISES = (0.01, 0.1, 1.0)  # variance of a measured time beside that of the residuals
MOST = 600  # rows of a kind: the cube of it is the time to read a table


def features_of(keys: Sequence[LayerKey]) -> Floats:
    """Of each layer (n, 6): doublings of channels read and written, of pixels written and of maps read; and whether
    channels read, and channels written, leave a register partly empty.
    """
    rows = [
        (sum([shape.channels for shape in key.inputs]), key.output.channels, key.output.pixels, len(key.inputs))
        for key in keys
    ]
    counts = np.array(rows)
    return np.concatenate((np.log2(counts), (counts[:, :2] % VECTOR > 0).astype(np.float64)), axis=1)


@dataclass(frozen=True)
class KindTimes:
    """The layers of one kind: from features (n, 6) to milliseconds (n,)."""

    low: Floats  # (6,) of the features that were measured
    high: Floats
    law: Floats  # (7,) of the power law
    known: Floats  # (m, 6)
    weights: Floats  # (m,) of the process
    length: float
    noise: float

    def __call__(self, features: Floats) -> Floats:
        likeness = _likeness(features / self.length, *self._scaled)
        return np.exp(_lawful(features) @ self.law + likeness @ self.weights)

    @cached_property
    def _scaled(self) -> tuple[Floats, Floats]:
        """What of the likeness is the same for every call."""
        known = self.known / self.length
        return known, _halves(known)

    def outside(self, features: Floats) -> NDArray[np.bool_]:
        """Which of them (n,) lie beyond what was measured, in a width, in pixels or in the number of maps."""
        beyond = (features < self.low - 1e-9) | (features > self.high + 1e-9)
        return np.asarray(beyond[:, :MEASURES].any(axis=1))


def fitted(features: Floats, times_ms: Floats, like: KindTimes | None = None) -> KindTimes:
    """Fit times (n,) of layers of a kind; length and noise as `like` has them, else by the error of each left out."""
    if len(features) > MOST:
        chosen = np.random.default_rng(0).choice(len(features), MOST, replace=False)
        features, times_ms = features[chosen], times_ms[chosen]
    times, lawful = np.log(times_ms), _lawful(features)
    penalty = RIDGE * len(features) * np.diag([0.0] + [1.0] * features.shape[1])
    law: Floats = np.linalg.lstsq(lawful.T @ lawful + penalty, lawful.T @ times, rcond=None)[0].astype(np.float64)
    rest = times - lawful @ law
    choices = [(like.length, like.noise)] if like else list(product(LENGTHS, NOISES))
    tried = [(*_process(features, rest, length, noise), length, noise) for length, noise in choices]
    _, weights, length, noise = min(tried, key=lambda one: one[0])
    return KindTimes(features.min(axis=0), features.max(axis=0), law, features, weights, length, noise)


def fitted_kinds(
    layers_ms: Mapping[LayerKey, float], like: Mapping[str, KindTimes] | None = None
) -> dict[str, KindTimes]:
    """Fit every kind of the measured layers."""
    by_kind: dict[str, list[LayerKey]] = {}
    for key in layers_ms:
        by_kind.setdefault(key.kind, []).append(key)
    return {
        kind: fitted(features_of(keys), np.array([layers_ms[key] for key in keys]), (like or {}).get(kind))
        for kind, keys in by_kind.items()
    }


def _process(features: Floats, rest: Floats, length: float, noise: float) -> tuple[float, Floats]:
    """Squared error of the residuals (n,), each left out, and the weights (n,) that explain them."""
    scaled = features / length
    inverse = np.linalg.inv(_likeness(scaled, scaled, _halves(scaled)) + noise * np.eye(len(rest)))
    weights = inverse @ rest
    return float(np.mean((weights / np.diag(inverse)) ** 2)), weights


def _lawful(features: Floats) -> Floats:
    return np.concatenate((np.ones((len(features), 1)), features), axis=1)


def _likeness(some: Floats, others: Floats, halves: Floats) -> Floats:
    """(n, m) for features in lengths: 1 where they are equal, less the more lies between; `halves` of the others."""
    return np.exp(np.minimum(some @ others.T - _halves(some)[:, None] - halves, 0))


def _halves(scaled: Floats) -> Floats:
    return (scaled * scaled).sum(axis=1) / 2
