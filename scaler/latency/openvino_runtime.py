"""Graphs run by OpenVINO on a CPU (extra `openvino`). numpy and openvino; no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino

from ...blocks.errors import InputError
from .clocks import CpuCaches, cpu_ms
from .conditions import cpu_name
from .graph_files import check_forward, prepared, refuse_dtype
from .protocol import Protocol
from .runtimes import Prepared
from .stamp import RuntimeFacts

if TYPE_CHECKING:
    from ..architecture import Architecture

PRECISION = {"fp32": "f32", "bf16": "bf16"}  # in which it computes, whatever it would choose by itself
SEED = 0


@dataclass(frozen=True, slots=True)
class OpenVino:
    """`openvino`: compiled for the least latency of one request at a time, its threads left to our pinning."""

    def find_device(self, device: str) -> str:
        if device not in ("auto", "cpu"):
            raise InputError(f"--device {device}: OpenVINO is measured on cpu")
        return "cpu"

    def check(self, protocol: Protocol) -> None:
        check_forward(protocol)
        able = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        refuse_dtype(protocol, ("fp32", "bf16") if able else ("fp32",), "this CPU")

    def facts(self, protocol: Protocol) -> RuntimeFacts:
        return RuntimeFacts(cpu_name(), {"openvino": openvino.__version__.partition("-")[0]})

    @contextmanager
    def held(self, protocol: Protocol) -> Iterator[None]:
        """Threads belong to each compiled graph: the process has no settings."""
        yield

    def float16_files(self, protocol: Protocol) -> bool:
        return False

    def prepare(self, architecture: "Architecture", protocol: Protocol) -> Prepared:
        return prepared(self, architecture, protocol)

    def open(self, path: Path, protocol: Protocol) -> "OpenVinoPrepared":
        """A compiled graph, its images drawn."""
        options = {
            "INFERENCE_PRECISION_HINT": PRECISION[protocol.dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": protocol.threads or 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        request = core.compile_model(core.read_model(path), "CPU", options).create_infer_request()
        images = request.get_input_tensor()
        images.data[:] = np.random.default_rng(SEED).random(tuple(images.shape), dtype=np.float32)
        return OpenVinoPrepared(request, protocol.cold_cache)


@dataclass(frozen=True)
class OpenVinoPrepared:
    """A request with its images set, timed by the monotonic clock."""

    request: Any
    cold_cache: bool

    def run(self) -> float:
        if self.cold_cache:
            self.caches.empty()
        return cpu_ms(self.request.infer)

    @cached_property
    def caches(self) -> CpuCaches:
        return CpuCaches()
