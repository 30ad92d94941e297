"""One training over several processes: who they are, and how they add up to one process with the whole batch.

Each process takes its share of every batch. Gradients are summed, and batch norm and the loss's counts of positives are
those of the whole batch, so that the weights are, to rounding, those of one process. The sums are made once for an
optimiser step, not overlapped with the backward pass, so that a step is left out by all processes or by none.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

from ..blocks.errors import CatscaleError
from .preflight import size_from_environment

PATIENCE = timedelta(hours=4)  # others wait while the first process evaluates


class Bereft(CatscaleError):
    """Another process of the training ended before its time, and has said why."""


def bereft(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    return isinstance(error, dist.DistError) or "gloo/transport" in str(error)


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

    def gathered(self, value: Any) -> list[Any]:
        """The values of all processes, in every process."""
        if self.size == 1:
            return [value]
        box: list[Any] = [None] * self.size
        dist.all_gather_object(box, value)
        return box


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the processes that a launcher (`torchrun`, `--devices`) started; alone where there was none."""
    if size_from_environment() == 1:
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
