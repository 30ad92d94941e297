"""From what a table holds to the latency of any network: its layers added up, and the sum corrected. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np

from ...blocks.graph import Graph, Layer
from ..memory import BYTES
from .correct import FEATURES, Floats, corrected, interval, left_out
from .interpolate import KindTimes, features_of, fitted, fitted_kinds
from .layers import LayerKey, layers_of

CONFIDENCE = 0.9  # of the interval of a prediction
SLACK = (
    0.05  # share by which a network may lie beyond those calibrated on, and layers beyond those measured in its time
)


@dataclass(frozen=True, slots=True)
class Predicted:
    """A latency that was not measured."""

    ms: float
    low: float  # between these a measured one lies with `CONFIDENCE`, unless it is outside
    high: float
    outside: str | None  # what of it lies beyond all that the table was calibrated on
    interpolated: float  # share of the time that stems from layers whose shapes were not measured

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A whole network that was measured, beside what its layers say of it when they are taken from the others only."""

    name: str
    fingerprint: str
    size: int  # pixels
    median_ms: float
    layers_ms: float
    layers: int
    gbytes: float
    gflops: float

    @property
    def features(self) -> tuple[float, ...]:
        """In the order of `FEATURES`."""
        return tuple(getattr(self, name) for name in FEATURES)


class KnownLayer(NamedTuple):
    """What is known of a layer."""

    ms: float
    gbytes: float  # of the batch, as `scaler.memory` counts them
    gflops: float
    measured: bool  # else interpolated
    beyond: str | None = None  # why it is further from what was measured than its neighbours are


class LayerTimes:
    """Times of layers: as measured where they were, else as their kind's regression has it."""

    def __init__(
        self, layers_ms: Mapping[LayerKey, float], dtype: str, batch: int, like: "LayerTimes | None" = None
    ) -> None:
        self.layers_ms, self.element, self.batch, self.like = layers_ms, BYTES[dtype], batch, like
        self.known: dict[LayerKey, KnownLayer] = {}

    @cached_property
    def kinds(self) -> dict[str, KindTimes]:
        """The regression of each kind."""
        return fitted_kinds(self.layers_ms, self.like.kinds if self.like else None)

    @cached_property
    def all_kinds(self) -> KindTimes:
        """A regression of everything together, for kinds that were not measured."""
        return fitted(features_of(list(self.layers_ms)), np.array(list(self.layers_ms.values())))

    def of(self, deploy: Graph, size: int) -> list[KnownLayer]:
        """The layers of a deploy graph, in order."""
        layers = list(layers_of(deploy, size))
        found = [self.known.get(key) for _, key in layers]
        if None in found:
            self._learn({key: layer for (layer, key), known in zip(layers, found, strict=True) if known is None})
            found = [known or self.known[key] for (_, key), known in zip(layers, found, strict=True)]
        return cast(list[KnownLayer], found)

    def _learn(self, new: Mapping[LayerKey, Layer]) -> None:
        missing: dict[str, list[LayerKey]] = {}
        for key in new:
            if key in self.layers_ms:
                self._keep(key, new[key], self.layers_ms[key], None, measured=True)
            else:
                missing.setdefault(key.kind, []).append(key)
        for kind, keys in missing.items():
            features, alike = features_of(keys), self.kinds.get(kind)
            times = (alike or self.all_kinds)(features)
            strange = alike.outside(features) if alike else np.ones(len(keys), dtype=bool)
            why = "beyond the shapes measured" if alike else "of a kind that was not measured"
            for key, ms, is_strange in zip(keys, times.tolist(), strange.tolist(), strict=True):
                self._keep(key, new[key], ms, f"{why} ({key})" if is_strange else None, measured=False)

    def _keep(self, key: LayerKey, layer: Layer, ms: float, beyond: str | None, *, measured: bool) -> None:
        gbytes, gflops = self._moved(key, layer)
        self.known[key] = KnownLayer(ms, gbytes, gflops, measured, beyond)

    def _moved(self, key: LayerKey, layer: Layer) -> tuple[float, float]:
        """Gigabytes and GFLOPs (paper's convention) of a layer."""
        cost = layer.op.cost(*key.inputs)
        if cost.params:  # every operand once, as `traffic` has it, without counting the weights again
            maps, params = sum(shape.elements for shape in key.inputs) + key.output.elements, cost.params
        else:
            traffic = layer.op.traffic(*key.inputs)
            maps, params = traffic.read + traffic.written, traffic.params
        return self.element * (self.batch * maps + params) / 1e9, 2 * self.batch * (cost.macs + cost.biases) / 1e9


class Predictor:
    """Predicts by the times of layers and by networks that were measured as a whole."""

    def __init__(self, times: LayerTimes, networks: Sequence[Calibrated]) -> None:
        self.times = times
        features = np.array([network.features for network in networks])
        latencies = np.array([network.median_ms for network in networks])
        self.correction = corrected(features, latencies)
        self.left_out = left_out(features, latencies)  # what each network is predicted to take by all the others
        self.interval = interval(self.left_out, latencies, CONFIDENCE)
        self.low, self.high = features.min(axis=0), features.max(axis=0)

    def predict(self, deploy: Graph, size: int) -> Predicted:
        """The latency of a deploy graph for images of `size` pixels."""
        layers = self.times.of(deploy, size)
        features = features_of_network(layers)
        ms = float(features @ self.correction)
        interpolated = sum(layer.ms for layer in layers if not layer.measured) / float(features[0])
        low, high = ms * self.interval.low, ms * self.interval.high
        return Predicted(ms, low, high, self._outside(layers, features), interpolated)

    def _outside(self, layers: Sequence[KnownLayer], features: Floats) -> str | None:
        reasons: list[str] = []
        strange = [layer for layer in layers if layer.beyond]
        share = sum(layer.ms for layer in strange) / features[0]
        if share > SLACK:
            many = f"{len(strange)} layers, {share:.0%} of the time, are" if len(strange) > 1 else "a layer is"
            reasons.append(f"{many} {strange[0].beyond}")
        for name, value, low, high in zip(FEATURES, features, self.low, self.high, strict=True):
            if not low * (1 - SLACK) <= value <= high * (1 + SLACK):
                reasons.append(f"{name} {value:.4g} is not within the {low:.4g} to {high:.4g} of the networks measured")
        return "; ".join(reasons) or None


def features_of_network(layers: Sequence[KnownLayer]) -> Floats:
    """What the correction reads, in the order of `FEATURES`."""
    return np.array(
        [
            sum(layer.ms for layer in layers),
            len(layers),
            sum(layer.gbytes for layer in layers),
            sum(layer.gflops for layer in layers),
        ]
    )
