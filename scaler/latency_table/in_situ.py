"""A deploy model run layer by layer with a clock between them: each layer's time where it stands.

A layer alone in a loop finds its input and its weights in the nearest cache, and pays for a call that in the network
overlaps with nothing else; in its place it does not. The times add up to the network's, as each begins where the one
before it ends.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter_ns
from typing import Any, Self

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from ...blocks.errors import InputError
from ..architecture import Architecture
from ..latency.protocol import Protocol
from ..latency.torch_runtimes import DTYPES, deployed
from ..optimised import Runtime

RUNTIME: Runtime = "torch"  # the one whose layers run one after another as they stand in the graph

Clock = Callable[[], Any]
Step = tuple[fx.Node, Callable[..., Any], tuple[fx.Node, ...]]  # a call, and the values that nobody reads after it


@dataclass
class LayerClock:
    """Runs a deploy model on images (B, 3, H, W); `layers_ms` has the times of each run, by layer.

    One of `latency.runtimes.Prepared`: whatever times whole networks times this as well.
    """

    model: fx.GraphModule
    images: Tensor
    layers_ms: list[dict[str, float]] = field(default_factory=list)  # of each run, in order

    @classmethod
    def of(cls, architecture: Architecture, protocol: Protocol) -> Self:
        """A clock in the deploy model of an architecture, by a settled protocol with a size."""
        return cls(*deployed(architecture, protocol, torch.device(protocol.device), DTYPES[protocol.dtype], RUNTIME))

    def __post_init__(self) -> None:
        self.steps = list(_steps(self.model))
        self.input = next(node for node in self.model.graph.nodes if node.op == "placeholder")

    def run(self) -> float:
        """Run once; gives the milliseconds of all layers."""
        with torch.inference_mode():
            times = self._on_cuda() if self.images.device.type == "cuda" else self._on_cpu()
        layers: dict[str, float] = {}
        passed = 0.0
        for (node, _, _), ms in zip(self.steps, times, strict=True):
            passed += ms
            if name := node.meta.get("layer"):  # of a layer that is several calls, the last one has its name
                layers[name], passed = passed, 0.0
        self.layers_ms.append(layers)
        return sum(times)

    def _on_cpu(self) -> list[float]:
        stamps = self._run(perf_counter_ns)
        return [(end - start) / 1e6 for start, end in pairwise(stamps)]

    def _on_cuda(self) -> list[float]:
        def event() -> torch.cuda.Event:
            made = torch.cuda.Event(enable_timing=True)
            made.record()
            return made

        with torch.cuda.device(self.images.device):
            events = self._run(event)
            events[-1].synchronize()
        return [start.elapsed_time(end) for start, end in pairwise(events)]

    def _run(self, clock: Clock) -> list[Any]:
        """The clock before the first layer and after each."""
        values: dict[fx.Node, Any] = {self.input: self.images}
        stamps = [clock()]
        for node, call, done in self.steps:
            arguments, options = map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = call(*arguments, **options)
            del arguments
            for value in done:  # as the model's own code does, so that memory is used again as soon
                del values[value]
            stamps.append(clock())
        return stamps


def check_clockable(protocol: Protocol) -> None:
    """Refuse what cannot be taken apart into layers.

    Raises:
        InputError: another runtime than torch's own, eager; another part than the forward; or emptied caches.
    """
    for name, value in (("runtime", RUNTIME), ("part", "forward"), ("cold_cache", False)):
        if (asked := getattr(protocol, name)) != value:
            raise InputError(f"latency: layers are timed with {name} {value!r}, not {asked!r}")


def _steps(model: fx.GraphModule) -> Iterator[Step]:
    nodes = [node for node in model.graph.nodes if node.op not in ("placeholder", "output")]
    last = {read: node for node in nodes for read in node.all_input_nodes}
    done: dict[fx.Node, list[fx.Node]] = {}
    for read, reader in last.items():
        done.setdefault(reader, []).append(read)
    for node in nodes:
        call = model.get_submodule(node.target) if node.op == "call_module" else node.target
        yield node, call, tuple(done.get(node, ()))
