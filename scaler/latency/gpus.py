"""Which GPU a CUDA device is, on a machine that may lack torch. No torch."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ...blocks.errors import InputError

BOARD = Path("/proc/device-tree/model")  # what an embedded board calls itself
ASKED_S = 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its driver knows it."""

    name: str
    uuid: str  # "GPU-…"; empty where it cannot be read


def find_gpu(device: str) -> Gpu:
    """The GPU of a CUDA device such as "cuda:0", by `nvidia-smi`; of a board without it, the board.

    Raises:
        InputError: there is no such device, or CUDA's order of unequal GPUs is not the driver's.
    """
    gpus = _listed()
    if gpus is None:
        return Gpu(_board() or "CUDA device", "")
    if len({gpu.name for gpu in gpus}) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise InputError(f"--device {device}: this machine has unequal GPUs; set CUDA_DEVICE_ORDER=PCI_BUS_ID")
    visible = _visible(gpus)
    index = int(device.partition(":")[2] or 0)
    if index >= len(visible):
        raise InputError(f"--device {device}: there is no such device; this machine shows {len(visible)} GPUs")
    return visible[index]


def cuda_name(device: str) -> str | None:
    """`cuda` and `cuda:1` as a whole name; None for what is no CUDA device."""
    word, _, index = device.partition(":")
    return f"cuda:{index or 0}" if word == "cuda" and (not index or index.isdecimal()) else None


def _listed() -> list[Gpu] | None:
    """All GPUs in the driver's order; None where it cannot be asked."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    try:
        done = subprocess.run(
            [tool, "--query-gpu=uuid,name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=ASKED_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.split(", ", 1) for line in done.stdout.splitlines()]
    return [Gpu(row[1], row[0]) for row in rows if len(row) == 2]


def _visible(gpus: list[Gpu]) -> list[Gpu]:
    """What CUDA_VISIBLE_DEVICES leaves of them, in its order: numbers, or the beginnings of UUIDs."""
    if (words := os.environ.get("CUDA_VISIBLE_DEVICES")) is None:
        return gpus
    found: list[Gpu] = []
    for word in (word.strip() for word in words.split(",")):
        one = (
            gpus[int(word) : int(word) + 1]
            if word.isdecimal()
            else [gpu for gpu in gpus if word and gpu.uuid.startswith(word)]
        )
        if not one:
            break  # CUDA stops at the first that it does not know
        found += one[:1]
    return found


def _board() -> str | None:
    try:
        return BOARD.read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        return None
