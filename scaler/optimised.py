"""A deploy model made as fast as its device runs it: what is done, and by which of torch's runtimes it is run."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, fx, nn

from ..blocks.errors import CatscaleError, InputError
from . import onednn
from .number_formats import Dtype, quick_dtype
from .rewrites import add_in_place, cascade_pools

Runtime = Literal["torch", "compile", "cuda-graph"]
MOST_SHAPES = 8  # of images, for each of which a CUDA graph is recorded; memory is held for each
BEFORE_CAPTURE = 3  # runs in which cuDNN and the allocator settle


@dataclass(frozen=True)
class Optimised:
    """A detector to run: images (B, 3, H, W) of any device and number format to boxes (B, N, 5 + classes) in float32.

    It is no module: its weights lie as its device wants them, and are neither trained nor exported.
    """

    run: Callable[[Tensor], Tensor]
    device: torch.device
    dtype: torch.dtype

    def __call__(self, images: Tensor) -> Tensor:
        return self.run(images.to(self.device, self.dtype, memory_format=torch.channels_last))


def optimised(
    model: fx.GraphModule, device: torch.device | str = "cpu", dtype: Dtype = "fp32", runtime: Runtime = "torch"
) -> Optimised:
    """Make a deploy model (`deploy`) fast on a device; `model` is left as it is.

    Everywhere: weights and images channels-last, sums in place where nothing else reads their part, nested max pools
    each from the smaller one. On x86 processors run by torch: weights in oneDNN's layout, activations within the
    convolutions. Pools gain 2 to 8 %; sums 7 % of a residual model in bfloat16, in float32 nothing beyond noise; all of
    it together is in `make bench`. Outputs are the deploy model's to rounding.

    Raises:
        InputError: the device computes the format slowly, or has no such runtime.
    """
    where = torch.device(device)
    check_runtime(runtime, where)
    number_format = quick_dtype(dtype, where)
    fast = made_fast(copy.deepcopy(model), where, number_format, runtime)
    run: Callable[[Tensor], Tensor] = fast
    match runtime:
        case "compile":
            run = Compiled(torch.compile(fast))
        case "cuda-graph":
            run = CudaGraphs(fast)
    return Optimised(run, where, number_format)


def made_fast(
    model: fx.GraphModule, device: torch.device, number_format: torch.dtype, runtime: Runtime
) -> fx.GraphModule:
    """The module that `optimised` has a runtime run, of channels-last images: `model` itself, put on the device."""
    model.eval().requires_grad_(False)
    model.to(device, number_format).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    cascade_pools(model)
    add_in_place(model)
    if runtime == "torch" and device.type == "cpu" and onednn.works(number_format):
        onednn.fuse(model)
    return model


def check_runtime(runtime: Runtime, device: torch.device) -> None:
    """Raise an InputError where the device has no such runtime."""
    if runtime == "cuda-graph" and device.type != "cuda":
        raise InputError(f"--runtime cuda-graph: {device} has no CUDA graphs; use --runtime torch or compile")


@dataclass(frozen=True)
class Compiled:
    """A model that torch.compile made, which compiles at the first call, and again for images of another shape."""

    run: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self.run(images)
        except TorchDynamoException as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CatscaleError(f"--runtime compile: torch.compile failed: {reason}; use --runtime torch") from error


@dataclass(frozen=True)
class CudaGraphs:
    """A forward recorded for each shape of images and replayed, so that the host launches once, not once a layer."""

    model: nn.Module
    recorded: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = field(default_factory=dict)

    def __call__(self, images: Tensor) -> Tensor:
        if images.shape not in self.recorded:
            if len(self.recorded) == MOST_SHAPES:
                return self.model(images)
            self.recorded[images.shape] = recorded(self.model, images)
        graph, read, written = self.recorded[images.shape]
        read.copy_(images)
        graph.replay()
        return written.clone()  # the next replay writes there again


@torch.inference_mode()
def recorded(model: nn.Module, images: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
    """A forward as a CUDA graph, and the memory that its replay reads and writes."""
    read, graph = images.clone(), torch.cuda.CUDAGraph()
    beside = torch.cuda.Stream(images.device)  # capturing wants the first runs beside the main stream
    beside.wait_stream(torch.cuda.current_stream(images.device))
    with torch.cuda.stream(beside):
        for _ in range(BEFORE_CAPTURE):
            model(read)
    torch.cuda.current_stream(images.device).wait_stream(beside)
    with torch.cuda.graph(graph):
        written = model(read)
    return graph, read, written
