"""The roofline bound: how fast a device could run a detector at the very best. No torch.

Source: Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52 (4), 2009.
"""

from dataclasses import dataclass
from functools import cache, cached_property, reduce
from importlib.resources import as_file, files
from operator import add
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..blocks.errors import InputError, nearest
from .cost import by_block
from .documents import parse, read_yaml
from .memory import BYTES, MemoryReport

Dtype = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Device(BaseModel):
    """A device's peaks, as `scaler/accelerators.yaml` or a user's own file states them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    peak_tflops: Annotated[dict[Dtype, Positive], Field(min_length=1)]  # a multiply-add is two operations; no sparsity
    bandwidth_gbs: Positive  # of its memory: 10^9 bytes per second
    source: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """The least time of a layer, or of many one after another, in seconds."""

    compute_s: float = 0.0  # the operations at the device's peak
    memory_s: float = 0.0  # the bytes at its bandwidth
    time_s: float = 0.0  # the longer of the two, layer by layer

    def __add__(self, other: "Bound") -> "Bound":
        return Bound(self.compute_s + other.compute_s, self.memory_s + other.memory_s, self.time_s + other.time_s)

    @property
    def by(self) -> str | None:
        """What bounds it, `compute` or `memory`; None where nothing is computed or moved."""
        if not self.time_s:
            return None
        return "compute" if self.compute_s >= self.memory_s else "memory"


@dataclass(frozen=True)
class Roofline:
    """The least time of one forward of the deploy graph: layers one after another, each through the device's memory.

    A layer takes at least its FLOPs over the device's peak, and at least its bytes over the bandwidth. Left out is all
    that makes a real run slower: the launch of each layer, shapes that fill the device badly, clocks below those of the
    data sheet, activation functions and everything else that the FLOPs do not count, and what stands before and after
    the forward. Left out as well is what can undercut it: maps that a cache keeps or layers fused across their maps
    (`fused_s` still holds), and algorithms that need fewer multiplications than the definition of a convolution
    (Winograd, FFT).
    """

    memory: MemoryReport
    device: str  # its name
    peak: float  # FLOPs per second at the report's dtype
    bandwidth: float  # bytes per second

    @property
    def ridge(self) -> float:
        """The arithmetic intensity, in FLOPs per byte, above which compute is the bound."""
        return self.peak / self.bandwidth

    @cached_property
    def layers(self) -> dict[str, Bound]:
        """Of each layer, in order."""
        return {name: self._bound(moved.flops, moved.bytes) for name, moved in self.memory.layers.items()}

    @cached_property
    def blocks(self) -> dict[str, Bound]:
        """Of each node of the architecture, in order."""
        return by_block(self.memory.cost.deploy, self.layers.values())

    @cached_property
    def total(self) -> Bound:
        """Of the whole graph."""
        return reduce(add, self.layers.values(), Bound())

    @property
    def fused_s(self) -> float:
        """The least time if no map between image and boxes ever left the processor."""
        image, boxes = (self.memory.cost.deploy[end].output.elements for end in (0, -1))
        ends = self.memory.batch * BYTES[self.memory.dtype] * (image + boxes)
        return self._bound(self.memory.total.flops, self.memory.total.params + ends).time_s

    def _bound(self, flops: int, moved: int) -> Bound:
        compute_s, memory_s = flops / self.peak, moved / self.bandwidth
        return Bound(compute_s, memory_s, max(compute_s, memory_s))

    def to_json(self) -> dict[str, Any]:
        """Plain data: the device, and the bounds of the whole in ms."""
        return {
            "device": self.device,
            "peak_tflops": self.peak / 1e12,
            "bandwidth_gbs": self.bandwidth / 1e9,
            "ridge": self.ridge,
            "bound_ms": 1e3 * self.total.time_s,
            "compute_ms": 1e3 * self.total.compute_s,
            "memory_ms": 1e3 * self.total.memory_s,
            "bound_by": self.total.by,
            "fused_ms": 1e3 * self.fused_s,
        }


def roofline(memory: MemoryReport, device: str) -> Roofline:
    """Bound the time of a forward on a device: one of `known_devices`, or a YAML file with the fields of `Device`.

    Raises:
        InputError: the device is unknown, its file is wrong, or it has no peak for the report's dtype.
    """
    found = _find(device)
    if memory.dtype not in found.peak_tflops:
        given = ", ".join(found.peak_tflops)
        raise InputError(f"{device}: no peak is known for {memory.dtype}; there is one for {given}")
    return Roofline(memory, device, 1e12 * found.peak_tflops[memory.dtype], 1e9 * found.bandwidth_gbs)


@cache
def known_devices() -> dict[str, Device]:
    """Devices whose vendors print their peaks, by name."""
    with as_file(files(__name__.rpartition(".")[0]) / "accelerators.yaml") as path:
        return parse(dict[str, Device], read_yaml(path), str(path))


def _find(device: str) -> Device:
    if device in known_devices():
        return known_devices()[device]
    path = Path(device)
    if path.suffix in (".yaml", ".yml"):
        return parse(Device, read_yaml(path), device)
    raise InputError(f"no device is called {device!r}; {nearest(device, known_devices())}, or name a YAML file")
