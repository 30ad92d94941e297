"""Number formats that a deployed detector computes in, and which of them a device computes quickly."""

from pathlib import Path
from typing import Literal

import torch

from ..blocks.errors import InputError

Dtype = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[Dtype, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # words of Linux's list of a processor's abilities: x86, x86, Arm


def computes_bf16(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic of its own.

    Emulated on a processor it takes several times float32's time. A processor that does not tell (no Linux) counts as
    one without.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return any(NATIVE_BF16 & set(line.split()) for line in lines if line.startswith(("flags", "Features")))


def quick_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """Torch's name of a format that the device computes no slower than float32.

    Raises:
        InputError: the device emulates the format.
    """
    if dtype == "bf16" and not computes_bf16(device):
        raise InputError(f"--dtype bf16: {device} has no bfloat16 arithmetic and would emulate it slowly; use fp32")
    if dtype == "fp16" and device.type == "cpu":
        better = "bf16" if computes_bf16(device) else "fp32"
        raise InputError(f"--dtype fp16: slower than fp32 on {device}; use {better}")
    return DTYPES[dtype]


def half_of(device: torch.device) -> Dtype:
    """The half precision that the device computes quickly: float16 of a GPU, bfloat16 of a processor that has it.

    Raises:
        InputError: the device has neither.
    """
    if device.type == "cuda":
        return "fp16"
    if computes_bf16(device):
        return "bf16"
    raise InputError(f"--half: {device} has no bfloat16 arithmetic, and half precision would be slower; leave it out")
