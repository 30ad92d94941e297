"""Runtimes that read ONNX files, so that a device without torch has them, and what they have in common."""

import typing
from pathlib import Path

from ...blocks.errors import InputError
from .protocol import Protocol
from .runtimes import Prepared, Runtime

if typing.TYPE_CHECKING:
    from ..architecture import Architecture


class FileRuntime(Runtime, typing.Protocol):
    """A runtime that makes an ONNX file ready; it needs no torch, and so runs plans."""

    def float16_files(self, protocol: Protocol) -> bool:
        """Whether it takes float16 from the file; else it makes what `protocol.dtype` asks out of float32."""
        ...

    def open(self, path: Path, protocol: Protocol) -> Prepared:
        """A file of one batch and one size, ready to run; the file may be gone afterwards."""
        ...


def prepared(runtime: FileRuntime, architecture: "Architecture", protocol: Protocol) -> Prepared:
    """The deploy graph of an architecture, through a file that is gone afterwards; writing it needs torch."""
    from ..onnx_graph import timed_graph

    assert protocol.size
    half = runtime.float16_files(protocol)
    with timed_graph(architecture, batch=protocol.batch, size=protocol.size, half=half) as path:
        return runtime.open(path, protocol)


def check_forward(protocol: Protocol) -> None:
    """Refuse what no runtime of files does.

    Raises:
        InputError: the part is not the forward pass, which is all that these files hold.
    """
    if protocol.part != "forward":
        raise InputError(
            f"--part {protocol.part}: {protocol.runtime} runs the forward pass alone; use --part forward or "
            "--runtime torch"
        )


def refuse_dtype(protocol: Protocol, known: tuple[str, ...], device: str) -> None:
    """Refuse numbers that a runtime does not compute with.

    Raises:
        InputError: with those it does.
    """
    if protocol.dtype not in known:
        raise InputError(
            f"--dtype {protocol.dtype}: {protocol.runtime} on {device} computes in {', '.join(known)}; use one of these"
        )
