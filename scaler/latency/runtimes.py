"""What runs a graph: the interface of every runtime, and which there are. No torch until one is asked for."""

import typing
from contextlib import AbstractContextManager

from ...blocks.errors import InputError, nearest
from .protocol import Protocol
from .stamp import RuntimeFacts

if typing.TYPE_CHECKING:
    from ..architecture import Architecture

TORCH = ("torch", "compile", "cuda-graph")
FILE_RUNTIMES = ("onnxruntime", "openvino", "tensorrt")  # of ONNX files, so that plans name them; see `graph_files`
RUNTIMES = TORCH + FILE_RUNTIMES


class Prepared(typing.Protocol):
    """A graph with its inputs on its device, ready to run."""

    def run(self) -> float:
        """Run once; gives the milliseconds by the device's own clock."""
        ...


class Runtime(typing.Protocol):
    """One way to run graphs."""

    def find_device(self, device: str) -> str:
        """The whole name of a device: "cpu", "cuda:0"; of `auto`, the best there is.

        Raises:
            InputError: this runtime has no such device here.
        """
        ...

    def check(self, protocol: Protocol) -> None:
        """Refuse what this runtime cannot do, before anything is built.

        Raises:
            InputError: with the name of the choice and what would do.
        """
        ...

    def facts(self, protocol: Protocol) -> RuntimeFacts:
        """What the stamp says of the device and of the runtime."""
        ...

    def held(self, protocol: Protocol) -> AbstractContextManager[None]:
        """Settings of the whole process (threads, tf32) while graphs are prepared and run; restored afterwards."""
        ...

    def prepare(self, architecture: "Architecture", protocol: Protocol) -> Prepared:
        """The deploy graph of an architecture, or the part of the work that `protocol.part` names.

        `protocol` has a whole device, a size and, for a CPU, threads. What is thrown is this graph's failure.
        """
        ...


def find_runtime(name: str) -> Runtime:
    """The runtime of that name.

    Raises:
        InputError: there is none, or what it needs is not installed.
    """
    if name in TORCH:
        from .torch_runtimes import TorchRuntime

        return TorchRuntime(name)
    try:
        match name:
            case "onnxruntime":
                from .onnx_runtime import OnnxRuntime

                return OnnxRuntime()
            case "openvino":
                from .openvino_runtime import OpenVino

                return OpenVino()
            case "tensorrt":
                from .tensorrt_runtime import TensorRt

                return TensorRt()
    except ImportError as error:
        raise InputError(f"--runtime {name}: needs the package {error.name}; pip install {error.name}") from error
    raise InputError(f"--runtime: no runtime is called {name!r}; {nearest(name, RUNTIMES)}")
