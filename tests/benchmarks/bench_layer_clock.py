"""Where a layer is to be timed: by itself, again and again; by itself, on other memory each time; or in its network.

Run by `make bench`, one table. Scalings of yolov7-tiny are timed whole and layer by layer in turns; then each layer
alone, on the maps that it reads in the network. A way of timing is as good as the sums of its times are in proportion
to the latencies of whole networks.
"""

import random
import statistics
from collections.abc import Callable
from typing import Any

import catscale
import numpy as np
import torch
from catscale.blocks.errors import CatscaleError
from catscale.scaler.architecture import Architecture
from catscale.scaler.latency.clocks import cpu_ms
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency_table.in_situ import LayerClock
from torch import Tensor
from torch.fx.node import map_arg

NETWORKS, ROUNDS, WARM_UP, ALONE = 14, 12, 2, 7
SWEPT_BYTES = 8 * 2**20  # written between two runs on other memory: more than a core's own cache holds


def drawn() -> list[Architecture]:
    base, rng = catscale.load("yolov7-tiny"), random.Random(5)
    found: list[Architecture] = []
    while len(found) < NETWORKS:
        scalings: dict[str, Any] = {
            "compound": rng.choice([1, 1.5, 2]),
            "extend": rng.choice([1, 2]),
            "activation": rng.choice(["silu", "leaky_relu"]),
            "width": rng.choice([0.25, 0.5, 0.75, 1]),
            "resolution": rng.choice([256, 320, 416, 512, 640]),
        }
        try:
            found.append(base.scale(**scalings))
        except CatscaleError:  # half a tap
            continue
    return found


def in_turns(clocks: list[LayerClock]) -> tuple[list[float], list[float]]:
    """Milliseconds of each network, whole, and as the sum of its layers' medians."""
    whole: list[list[float]] = [[] for _ in clocks]
    for _ in range(WARM_UP + ROUNDS):
        for samples, clock in zip(whole, clocks, strict=True):
            samples.append(cpu_ms(lambda clock=clock: clock.model(clock.images)))
            clock.run()
    runs = [clock.layers_ms[WARM_UP:] for clock in clocks]
    sums = [sum(statistics.median(run[name] for run in some) for name in some[0]) for some in runs]
    return [statistics.median(samples[WARM_UP:]) for samples in whole], sums


def timed(
    node: torch.fx.Node, call: Callable[..., Any], read: Callable[[Any], Tensor], swept: Tensor | None = None
) -> tuple[float, Any]:
    """Milliseconds of one layer on what `read` gives for each of its inputs, and what it makes."""
    arguments, options = map_arg((node.args, node.kwargs), read)
    if swept is not None:
        swept.add_(1)
    made: list[Any] = []
    return cpu_ms(lambda: made.append(call(*arguments, **options))), made[0]


def alone(clock: LayerClock) -> tuple[float, float]:
    """Milliseconds of all layers of a network, each by itself: on the same memory, and on other memory each time."""
    swept = torch.zeros(SWEPT_BYTES // 4)
    values: dict[Any, Any] = {clock.input: clock.images}
    hot = moved = 0.0

    def copied(node: Any) -> Tensor:
        return values[node].clone(memory_format=torch.preserve_format)

    for node, call, _ in clock.steps:
        again = [timed(node, call, values.__getitem__)[0] for _ in range(ALONE)]
        other = [timed(node, call, copied, swept)[0] for _ in range(ALONE)]
        hot += statistics.median(again[WARM_UP:])
        moved += statistics.median(other[WARM_UP:])
        values[node] = timed(node, call, values.__getitem__)[1]
    return hot, moved


def test_layer_clock(capsys) -> None:  # type: ignore[no-untyped-def]
    protocol = Protocol(threads=torch.get_num_threads())
    with torch.inference_mode():
        clocks = [LayerClock.of(one, protocol.replace(size=one.size)) for one in drawn()]
        whole, in_situ = in_turns(clocks)
        hot, moved = zip(*map(alone, clocks), strict=True)
    truth = np.array(whole)
    with capsys.disabled():
        print(f"\nSums of layers' times beside {NETWORKS} networks of {truth.min():.1f} to {truth.max():.1f} ms, CPU,")
        print(f"{protocol.threads} threads: shares of the network's time; errors when all are scaled alike")
        for way, values in {
            "alone, again and again": hot,
            "alone, on other memory": moved,
            "in its network": in_situ,
        }.items():
            sums = np.array(values)
            shares = sums / truth
            factor = shares.sum() / (shares**2).sum()
            error = np.mean(np.abs(factor * shares - 1))
            print(f"{way:26}{np.median(shares):6.2f} ({shares.min():.2f} to {shares.max():.2f}){error:8.1%} off")
