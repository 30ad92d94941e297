"""Graphs run by onnxruntime, on a CPU or by its CUDA provider. numpy and onnxruntime; no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from ...blocks.errors import InputError
from .clocks import CpuCaches, cpu_ms
from .conditions import cpu_name
from .gpus import cuda_name, find_gpu
from .graph_files import check_forward, prepared, refuse_dtype
from .protocol import Protocol
from .runtimes import Prepared
from .stamp import RuntimeFacts

if TYPE_CHECKING:
    from ..architecture import Architecture

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
NO_MEMORY = ("bad_alloc", "bad allocation", "failed to allocate memory", "out of memory")  # its words for one thing
ERRORS_ONLY = 3  # severity of what it logs
SEED = 0


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """`onnxruntime`: all graph optimisations, operators one after the other, inputs and outputs kept on the device.

    Its threads wait actively inside a run and sleep between runs, so that the graphs of a session, which take turns,
    do not take cores from each other.
    """

    def find_device(self, device: str) -> str:
        has_cuda = CUDA in onnxruntime.get_available_providers()
        if device in ("auto", "cpu"):
            return "cuda:0" if device == "auto" and has_cuda else "cpu"
        if (found := cuda_name(device)) is None:
            raise InputError(f"--device {device}: onnxruntime is measured on cpu, cuda or cuda:N")
        if not has_cuda:
            raise InputError(
                f"--device {device}: this onnxruntime has no {CUDA}; install onnxruntime-gpu in its place, or use cpu"
            )
        return found

    def check(self, protocol: Protocol) -> None:
        check_forward(protocol)
        if protocol.device == "cpu":
            refuse_dtype(protocol, ("fp32",), "a CPU")
            return
        refuse_dtype(protocol, ("fp32", "tf32", "fp16"), "CUDA")
        if protocol.cold_cache:
            raise InputError("--cold-cache: onnxruntime cannot empty a GPU's caches; use --runtime torch")

    def facts(self, protocol: Protocol) -> RuntimeFacts:
        versions = {"onnxruntime": onnxruntime.__version__}
        if protocol.device == "cpu":
            return RuntimeFacts(cpu_name(), versions | {"provider": CPU})
        gpu = find_gpu(protocol.device)
        return RuntimeFacts(gpu.name, versions | {"provider": CUDA}, gpu=gpu.uuid)

    @contextmanager
    def held(self, protocol: Protocol) -> Iterator[None]:
        """Threads belong to each session: the process has no settings."""
        yield

    def float16_files(self, protocol: Protocol) -> bool:
        return protocol.dtype == "fp16"

    def prepare(self, architecture: "Architecture", protocol: Protocol) -> Prepared:
        return prepared(self, architecture, protocol)

    def open(self, path: Path, protocol: Protocol) -> "OnnxPrepared":
        """A session of a file, its images drawn.

        Raises:
            MemoryError: there is too little.
            InputError: the file is no graph that this onnxruntime reads, or its provider is not the one asked for.
        """
        device, _, index = protocol.device.partition(":")
        provider = CPU if device == "cpu" else (CUDA, {"device_id": index, "use_tf32": str(protocol.dtype == "tf32")})
        with words_for_memory():
            session = onnxruntime.InferenceSession(str(path), _options(protocol), providers=[provider])
        if (used := session.get_providers()[0]) != (CPU if device == "cpu" else CUDA):
            raise InputError(f"onnxruntime could not load {CUDA}, and fell back to {used}: are CUDA and cuDNN there?")
        (images,) = session.get_inputs()
        kind, number = (
            ("tensor(float16)", np.float16) if self.float16_files(protocol) else ("tensor(float)", np.float32)
        )
        if images.type != kind or not all(isinstance(side, int) for side in images.shape):
            raise InputError(f"{path.name}: reads {images.type} {images.shape}; expected a fixed shape of {kind}")
        pixels = np.random.default_rng(SEED).random(images.shape, dtype=np.float32).astype(number)
        binding = session.io_binding()
        binding.bind_ortvalue_input(
            images.name, onnxruntime.OrtValue.ortvalue_from_numpy(pixels, device, int(index or 0))
        )
        for output in session.get_outputs():
            binding.bind_output(output.name, device, int(index or 0))
        return OnnxPrepared(session, binding, protocol.cold_cache)


def _options(protocol: Protocol) -> Any:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = protocol.threads or 1
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


@dataclass(frozen=True)
class OnnxPrepared:
    """A session with its images bound, timed by the host's clock; on CUDA until the device is done."""

    session: Any
    binding: Any
    cold_cache: bool

    def run(self) -> float:
        if self.cold_cache:
            self.caches.empty()
        with words_for_memory():
            return cpu_ms(self._forward)

    def _forward(self) -> None:
        self.session.run_with_iobinding(self.binding)  # waits for the device

    @cached_property
    def caches(self) -> CpuCaches:
        return CpuCaches()


@contextmanager
def words_for_memory() -> Iterator[None]:
    """Let onnxruntime's many words for too little memory be one error."""
    try:
        yield
    except Exception as error:
        if any(words in str(error).lower() for words in NO_MEMORY):
            raise MemoryError from error
        raise
