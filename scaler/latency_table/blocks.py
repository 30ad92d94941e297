"""Where a network's time goes, block by block, beside where its FLOPs are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from ...blocks.errors import CatscaleError
from ..architecture import Architecture
from ..cost import CONVENTIONS, by_block
from ..latency.architectures import subject
from ..latency.lock import Say
from ..latency.measure import measure
from ..latency.protocol import Protocol
from ..latency.runtimes import find_runtime
from ..latency.stamp import Stamp


@dataclass(frozen=True, slots=True)
class BlockTime:
    """One node of an architecture."""

    name: str
    ms: float
    time_share: float  # of the network's
    flops_share: float

    @property
    def hidden(self) -> float:
        """How many times its share of the FLOPs its share of the time is; zero where it has no FLOPs."""
        return self.time_share / self.flops_share if self.flops_share else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "ms": self.ms, "time_share": self.time_share, "flops_share": self.flops_share}


@dataclass(frozen=True)
class BlockTimes:
    """The blocks of a network in order."""

    name: str
    stamp: Stamp
    runs: int
    blocks: tuple[BlockTime, ...]

    @property
    def ms(self) -> float:
        """Of all blocks."""
        return sum(block.ms for block in self.blocks)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        blocks = [block.to_json() for block in self.blocks]
        return {"name": self.name, "ms": self.ms, "runs": self.runs, "stamp": self.stamp.to_json(), "blocks": blocks}


def block_times(architecture: Architecture, protocol: Protocol, *, say: Say = lambda line: None) -> BlockTimes:
    """Run an architecture with a clock between its layers; of each layer the median of the runs.

    Raises:
        InputError: as `measure` raises, or the protocol is of another runtime than torch's own, eager.
        CatscaleError: it failed, or is refused as a result.
    """
    from .in_situ import LayerClock, check_clockable

    check_clockable(protocol)
    runtime = find_runtime(protocol.runtime)
    clocks: list[LayerClock] = []

    def clocked(settled: Protocol) -> LayerClock:
        clocks.append(LayerClock.of(architecture, settled))
        return clocks[0]

    whole = subject(architecture, runtime, protocol.size)
    (found,) = measure([replace(whole, prepare=clocked)], protocol, runtime, say=say)
    if why := found.failure or (f"refused: {found.refusal}" if found.refusal else None):
        raise CatscaleError(f"{architecture.name}: {why}")
    runs = clocks[0].layers_ms[-len(found.samples_ms) :]
    layers_ms = {name: median(run[name] for run in runs) for name in runs[0]}
    return BlockTimes(architecture.name, found.stamp, len(runs), shares(architecture, found.stamp.size, layers_ms))


def shares(architecture: Architecture, size: int, layers_ms: Mapping[str, float]) -> tuple[BlockTime, ...]:
    """The blocks of an architecture at a size in pixels, from the times of its layers."""
    cost = architecture.cost(size)
    layers = cost.deploy
    times = by_block(layers, (layers_ms.get(layer.name, 0.0) for layer in layers))
    flops = by_block(layers, (CONVENTIONS["paper"].rule(layer) for layer in layers))
    ms, total = sum(times.values()), sum(flops.values())
    return tuple(BlockTime(name, times[name], times[name] / ms, flops[name] / total) for name in times if times[name])
