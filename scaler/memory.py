"""Memory access cost and arithmetic intensity of the deploy graph, from shapes alone. No torch.

Every layer reads each of its inputs and its parameters once and writes its output once: the least that a layer moves
when it runs by itself and finds nothing in a cache. An activation function belongs to its convolution and moves
nothing more. A concatenation copies, as do a pool, an up-sampling, a sum and space to depth; an op that only says
where its output lies moves nothing (`Op.traffic`).

Source: ShuffleNetV2, arXiv:1807.11164, guideline G1: h w (c1 + c2) + c1 c2 elements for a 1x1 convolution. The bias
of each output channel, c2 elements, comes on top here.
"""

from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any

from ..blocks.errors import InputError, nearest
from .cost import CONVENTIONS, CostReport, LayerCost, by_block

BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "int8": 1}  # of an element; tf32 lies in memory as fp32 does


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a layer moves, or many do, and the FLOPs done meanwhile (convention `paper`)."""

    read: int = 0
    params: int = 0  # read too
    written: int = 0
    flops: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(
            self.read + other.read,
            self.params + other.params,
            self.written + other.written,
            self.flops + other.flops,
        )

    @property
    def bytes(self) -> int:
        """The memory access cost."""
        return self.read + self.params + self.written

    @property
    def intensity(self) -> float:
        """FLOPs for each byte moved; zero where nothing is."""
        return self.flops / self.bytes if self.bytes else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data, in bytes."""
        return {
            "bytes_read": self.read,
            "bytes_params": self.params,
            "bytes_written": self.written,
            "intensity": self.intensity,
        }


@dataclass(frozen=True)
class MemoryReport:
    """What one forward of the deploy graph moves, of `batch` images at a time in elements of a dtype."""

    cost: CostReport
    dtype: str
    batch: int

    @cached_property
    def layers(self) -> dict[str, Memory]:
        """Of each layer, in order."""
        shapes = {layer.name: layer.output for layer in self.cost.deploy}

        def moved(layer: LayerCost) -> Memory:
            traffic = layer.op.traffic(*(shapes[name] for name in layer.reads))
            maps, element = self.batch * BYTES[self.dtype], BYTES[self.dtype]
            flops = self.batch * CONVENTIONS["paper"].rule(layer)
            return Memory(maps * traffic.read, element * traffic.params, maps * traffic.written, flops)

        return {layer.name: moved(layer) for layer in self.cost.deploy}

    @cached_property
    def blocks(self) -> dict[str, Memory]:
        """Of each node of the architecture, in order."""
        return by_block(self.cost.deploy, self.layers.values())

    @cached_property
    def total(self) -> Memory:
        """Of the whole graph."""
        return reduce(add, self.layers.values(), Memory())


def memory(cost: CostReport, dtype: str = "fp16", batch: int = 1) -> MemoryReport:
    """Count the bytes that the deploy graph of a counted detector moves.

    Raises:
        InputError: the dtype is none of `BYTES`, or the batch is not above zero.
    """
    if dtype not in BYTES:
        raise InputError(f"no dtype is called {dtype!r}; {nearest(dtype, BYTES)}")
    if batch < 1:
        raise InputError(f"a batch of {batch} images; it must be at least 1")
    return MemoryReport(cost, dtype, batch)
