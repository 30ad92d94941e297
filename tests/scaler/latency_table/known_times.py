"""Networks whose layers take times that are known: no machine's noise is in them."""

from catscale.scaler.architecture import Architecture
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency.stamp import Stamp
from catscale.scaler.latency_table.calibrate import Timed, tabulated
from catscale.scaler.latency_table.layers import LayerKey, layers_of
from catscale.scaler.latency_table.table import LatencyTable

SLOWER, PER_LAYER_MS = 1.1, 0.01  # of a network beside the sum of its layers
PROTOCOL = Protocol(threads=2)
STAMP = Stamp(
    protocol=1,
    host="bench",
    device="A processor",
    driver=None,
    governor=None,
    runtime="torch",
    versions="torch 2.0",
    dtype="fp32",
    part="forward",
    batch=1,
    size=256,
    memory_format="channels_last",
    threads=2,
    cores="0,1",
    cold_cache=False,
)


def layer_ms(key: LayerKey) -> float:
    """A power law of what a layer reads and writes, another one for each kind."""
    read = sum(shape.channels for shape in key.inputs)
    return 1e-7 * len(key.kind) * read**0.9 * key.output.channels**0.7 * key.output.pixels**0.8 + 1e-9


def network_ms(architecture: Architecture) -> float:
    """Its layers, which in a network are slower, and a call for each."""
    layers = [layer_ms(key) for _, key in layers_of(architecture.graph("deploy"), architecture.size)]
    return SLOWER * sum(layers) + PER_LAYER_MS * len(layers)


def timed(architecture: Architecture) -> Timed:
    """An architecture as if it had been measured."""
    layers = {layer.name: layer_ms(key) for layer, key in layers_of(architecture.graph("deploy"), architecture.size)}
    return Timed(architecture, whole=[network_ms(architecture)] * 3, runs=[layers] * 3)


def known_table(architectures: list[Architecture]) -> LatencyTable:
    """The table of architectures."""
    return tabulated([timed(one) for one in architectures], STAMP, PROTOCOL, "2026-01-01T00:00:00+00:00", 1.0)
