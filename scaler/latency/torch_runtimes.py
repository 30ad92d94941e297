"""Graphs run by torch: eager, compiled, and as a CUDA graph; forward, suppression and the whole way apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, fx

from ...blocks.errors import InputError
from ..architecture import Architecture
from ..build import build
from ..devices import find_device, gpu_uuid
from ..optimised import Runtime, made_fast, recorded
from ..suppression import Detections, suppress
from .clocks import CpuCaches, cpu_ms
from .conditions import cpu_name
from .protocol import Protocol
from .stamp import RuntimeFacts

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
CANDIDATES, BOXES_PER_OBJECT = 300, 10  # boxes of each image that the suppression has to choose from
CONF, IOU, MAX_DET = 0.25, 0.45, 300  # as `catscale predict`
SEED = 0


@dataclass(frozen=True, slots=True)
class TorchRuntime:
    """A runtime of torch: `torch` (eager), `compile` or `cuda-graph`."""

    name: Runtime

    def find_device(self, device: str) -> str:
        found = find_device(device)
        if found.type == "cuda" and found.index is None:
            found = torch.device("cuda", torch.cuda.current_device())
        return str(found)

    def check(self, protocol: Protocol) -> None:
        cuda = protocol.device != "cpu"
        if self.name == "cuda-graph" and not cuda:
            raise InputError(f"--runtime cuda-graph: {protocol.device} has no CUDA graphs; use --runtime torch")
        if protocol.dtype == "tf32" and not cuda:
            raise InputError(f"--dtype tf32: {protocol.device} has no such numbers; use fp32 or bf16")

    def facts(self, protocol: Protocol) -> RuntimeFacts:
        versions = {"torch": torch.__version__}
        device = torch.device(protocol.device)
        if device.type != "cuda":
            return RuntimeFacts(cpu_name(), versions)
        properties = torch.cuda.get_device_properties(device)
        versions |= {"cuda": torch.version.cuda or "", "cudnn": str(torch.backends.cudnn.version())}
        return RuntimeFacts(properties.name, versions, gpu=gpu_uuid(device))

    @contextmanager
    def held(self, protocol: Protocol) -> Iterator[None]:
        """Threads and, on CUDA, whether float32 products are rounded; cuDNN chooses among algorithms by time."""
        cuda, cudnn, matmul = protocol.device != "cpu", cast(Any, torch.backends.cudnn), torch.backends.cuda.matmul
        threads, before = torch.get_num_threads(), (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark)
        if protocol.threads:
            torch.set_num_threads(protocol.threads)
        if cuda:
            cudnn.allow_tf32 = matmul.allow_tf32 = protocol.dtype == "tf32"
            cudnn.benchmark = True
        try:
            with torch.cuda.device(protocol.device) if cuda else nullcontext():
                yield
        finally:
            torch.set_num_threads(threads)
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before
            if cuda:
                torch.cuda.empty_cache()

    def prepare(self, architecture: Architecture, protocol: Protocol) -> "TorchPrepared":
        device, dtype = torch.device(protocol.device), DTYPES[protocol.dtype]
        if protocol.part == "forward":
            return TorchPrepared(self._forward(architecture, protocol, device, dtype)[0], device, protocol.cold_cache)
        boxes = drawn_boxes(architecture, protocol.batch, protocol.size or architecture.size).to(device)
        if protocol.part == "nms":
            return TorchPrepared(lambda: _suppressed(boxes), device, protocol.cold_cache)
        forward, images = self._forward(architecture, protocol, device, dtype)
        pixels = torch.randint(256, images.shape, dtype=torch.uint8).to(memory_format=torch.channels_last)

        def end_to_end() -> None:
            images.copy_(pixels.to(device)).div_(255)
            forward()
            for found in _suppressed(boxes):
                found.boxes.cpu()

        return TorchPrepared(end_to_end, device, protocol.cold_cache)

    def _forward(
        self, architecture: Architecture, protocol: Protocol, device: torch.device, dtype: torch.dtype
    ) -> tuple[Callable[[], Any], Tensor]:
        """What runs the deploy graph, and the images (B, 3, H, W) that it reads."""
        model, images = deployed(architecture, protocol, device, dtype, self.name)
        if self.name == "cuda-graph":
            graph, read, written = recorded(model, images)
            return (lambda: (graph.replay(), written)), read
        run: Any = torch.compile(model) if self.name == "compile" else model
        with torch.inference_mode():
            run(images)  # compiling is no part of the warm-up
        return (lambda: run(images)), images


def deployed(
    architecture: Architecture, protocol: Protocol, device: torch.device, dtype: torch.dtype, runtime: Runtime
) -> tuple[fx.GraphModule, Tensor]:
    """The deploy model as `predict` runs it, weights fresh, and images (B, 3, H, W); plain where not channels-last."""
    assert protocol.size
    model = build(architecture, "deploy")
    images = torch.rand(protocol.batch, 3, protocol.size, protocol.size, device=device, dtype=dtype)
    if protocol.memory_format == "channels_last":
        images = images.to(memory_format=torch.channels_last)
        return made_fast(model, device, dtype, runtime), images
    return model.eval().requires_grad_(False).to(device, dtype), images


@dataclass(frozen=True)
class TorchPrepared:
    """A call on its device, timed by the device's own clock."""

    call: Callable[[], object]
    device: torch.device
    cold_cache: bool

    def run(self) -> float:
        if self.cold_cache:
            self.caches.empty()
        with torch.inference_mode():
            return cpu_ms(self.call) if self.device.type == "cpu" else _cuda_ms(self.call, self.device)

    @cached_property
    def caches(self) -> "CpuCaches | CudaCaches":
        return CpuCaches() if self.device.type == "cpu" else CudaCaches(self.device)


class CudaCaches:
    """Memory of twice the GPU's second-level cache, whose writing leaves nothing else in it."""

    def __init__(self, device: torch.device) -> None:
        size = 2 * torch.cuda.get_device_properties(device).L2_cache_size
        self.memory = torch.zeros(size, dtype=torch.uint8, device=device)

    def empty(self) -> None:
        """Queued before the run, and not timed: the event of its start is queued after it."""
        self.memory.add_(1)


def drawn_boxes(architecture: Architecture, batch: int, size: int) -> Tensor:
    """Boxes (B, N, 5 + classes) as the deploy graph gives them, of images with objects, drawn from a fixed seed.

    Fresh weights find nothing, and the time of a suppression is that of what it has to choose from: `CANDIDATES` boxes
    of each image lie above the threshold, ten around each object, on the places of the deploy graph.
    """
    random = torch.Generator().manual_seed(SEED)
    levels = architecture.graph().levels
    count = sum(levels[name].rows * (size // levels[name].stride) ** 2 for name in architecture.graph().lead)
    boxes = torch.zeros(batch, count, 5 + architecture.classes)
    boxes[..., :4] = torch.rand(batch, count, 4, generator=random) * size
    objects = max(1, min(CANDIDATES, count) // BOXES_PER_OBJECT)
    for image in boxes:
        chosen = torch.randperm(count, generator=random)[: objects * BOXES_PER_OBJECT]
        centres = torch.rand(objects, 2, generator=random) * size
        sides = (0.05 + 0.25 * torch.rand(objects, 2, generator=random)) * size
        labels = torch.randint(architecture.classes, (objects,), generator=random)
        around = torch.cat((centres, sides), 1).repeat_interleave(BOXES_PER_OBJECT, 0)[: len(chosen)]
        sides = around[:, 2:].repeat(1, 2)
        image[chosen, :4] = around + 0.05 * sides * torch.randn(around.shape, generator=random)
        image[chosen, 4] = 0.5 + 0.5 * torch.rand(len(chosen), generator=random)
        image[chosen, 5 + labels.repeat_interleave(BOXES_PER_OBJECT)[: len(chosen)]] = 0.9
    return boxes


def _suppressed(boxes: Tensor) -> list[Detections]:
    return suppress(boxes, conf=CONF, iou=IOU, max_det=MAX_DET, multi_label=False)


def _cuda_ms(call: Callable[[], object], device: torch.device) -> float:
    """Milliseconds between two events around a call, of what it queued and of the gaps that it left."""
    with torch.cuda.device(device):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)
