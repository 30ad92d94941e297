"""One training over several processes: who they are, and how they add up to one process with the whole batch.

Each process takes its share of every batch. Gradients are summed, and batch norm and the loss's counts of positives are
those of the whole batch, so that the weights are, to rounding, those of one process. The sums are made once for an
optimiser step, not overlapped with the backward pass, so that a step is left out by all processes or by none.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

from ..blocks.errors import InputError

PATIENCE = timedelta(hours=4)  # others wait while the first process evaluates


@dataclass(frozen=True, slots=True)
class World:
    """This process among its fellows; alone where there are none."""

    rank: int = 0
    size: int = 1

    @property
    def chief(self) -> bool:
        """Whether this is the process that evaluates and writes files."""
        return self.rank == 0

    def share(self, whole: int) -> int:
        """How many of a batch of `whole` images this process takes: those at rank, rank + size, …"""
        return len(range(self.rank, whole, self.size))

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors of one type over all processes, in place, in one message."""
        if self.size > 1 and tensors:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            dist.all_reduce(flat)
            for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def told(self, value: Any) -> Any:
        """The chief's value, in every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the processes that a launcher (`torchrun`, `--devices`) started; alone where there was none."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _summed(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes; the gradient is that of the sum of all processes' losses."""
    summed = _Sum.apply(x)
    assert isinstance(summed, Tensor)
    return summed


class SyncedNorm(nn.BatchNorm2d):
    """Batch norm over the images of all processes, on any device: (B, C, H, W) to the same.

    torch's own synchronised form runs on CUDA alone, and a step on two CPU processes could not be held against one.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.float()
        pixels = x.new_tensor([x.numel() / x.shape[1]])
        sums = _summed(torch.cat((x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), pixels)))
        channels, count = x.shape[1], sums[-1].detach()
        mean = sums[:channels] / count
        variance = (sums[channels:-1] / count - mean.square()).clamp(min=0)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        gain = self.weight * (variance + self.eps).rsqrt()
        y = x * gain[:, None, None] + (self.bias - mean * gain)[:, None, None]
        return y.to(input.dtype)


def sync_norms(model: nn.Module) -> None:
    """Turn every batch norm of a model into one over all processes; names and weights stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedNorm


def launch(devices: str, arguments: Sequence[str]) -> int:
    """Run this command line once for each device, and give the first exit code that is not 0.

    Args:
        devices: numbers of CUDA devices with commas between, or `cpu,cpu` for processes on the processor.
        arguments: of `catscale`, without `--devices`.

    Raises:
        InputError: the list is none.
    """
    names = [name.strip() for name in devices.split(",")]
    cpu = all(name == "cpu" for name in names)
    if not cpu and not all(name.isdecimal() for name in names):
        raise InputError(f"--devices {devices}: give numbers of CUDA devices as in 0,1, or cpu,cpu")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(len(names))}
    shared |= {} if cpu else {"CUDA_VISIBLE_DEVICES": ",".join(names)}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "catscale.cli", *arguments, "--device", "cpu" if cpu else f"cuda:{rank}"],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(len(names))
    ]
    try:
        return _wait(children)
    finally:
        for child in children:
            child.terminate()
            child.wait()


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Until all have ended well or one has not."""
    left = list(children)
    while left:
        for child in left:
            try:
                code = child.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            if code:
                return code
            left.remove(child)
            break
    return 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
