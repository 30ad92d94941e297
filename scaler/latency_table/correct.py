"""From the sum of a network's layers to its latency: a ridge regression on whole networks, and its errors. No torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEATURES = ("layers_ms", "layers", "gbytes", "gflops")  # of a network; the last two count what the layers do and move
TRUSTED = np.array([1.0, 0.0, 0.0, 0.0])  # the correction where nothing says otherwise: the sum as it is
RIDGE = 3e-3


def corrected(features: Floats, latencies_ms: Floats) -> Floats:
    """Milliseconds for each unit of a feature (4,), from networks' features (n, 4) and latencies (n,).

    Relative errors count, so that small networks do as much as large ones; what the data do not ask for stays as in
    `TRUSTED`.
    """
    shares = features / latencies_ms[:, None]
    scale = np.sqrt((shares**2).mean(axis=0)) + 1e-12
    scaled, missing = shares / scale, 1 - shares @ TRUSTED
    penalty = RIDGE * len(features) * np.eye(len(scale))
    return TRUSTED + np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ missing) / scale


def left_out(features: Floats, latencies_ms: Floats) -> Floats:
    """What each network (n,) is predicted to take by a correction that was fitted without it."""
    others = ~np.eye(len(features), dtype=bool)
    return np.array(
        [row @ corrected(features[kept], latencies_ms[kept]) for row, kept in zip(features, others, strict=True)]
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """Shares of the prediction between which a latency lies."""

    low: float
    high: float


def interval(predicted_ms: Floats, latencies_ms: Floats, confidence: float) -> Interval:
    """Where the `confidence` middle of the ratios of latency to prediction lies.

    A split conformal interval, the same above and below, in logarithms: it holds a further network of the same kind
    with at least that probability, where there are enough to say so, and is as wide as the worst error where not.
    Source: Lei et al., "Distribution-free predictive inference for regression", JASA 2018, section 2.2.
    """
    errors = np.sort(np.abs(np.log(latencies_ms / predicted_ms)))
    rank = min(len(errors), int(np.ceil(confidence * (len(errors) + 1))))
    reach = float(np.exp(errors[rank - 1]))
    return Interval(1 / reach, reach)
