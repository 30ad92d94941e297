"""Compute devices by the name that a user gives them."""

import torch

from ..blocks.errors import InputError
from .latency.conditions import cpu_name


def find_device(device: str) -> torch.device:
    """The torch device of that name; `auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        InputError: there is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        if found.type not in ("cpu", "cuda"):
            raise RuntimeError(f"{found.type} has not been tried")
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cuda = torch.cuda.device_count()
        here = f"auto, cpu{''.join(f', cuda:{index}' for index in range(cuda))}"
        raise InputError(f"no device {device!r} here; there are {here}") from error
    return found


def gpu_uuid(device: torch.device) -> str:
    """A GPU's name for good, as NVML has it: `GPU-…`."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()} ({device.type})"
