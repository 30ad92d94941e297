"""Weights by official key, and the two layers that every family's plain forward is made of."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Weights:
    """Weights by official key: those given, or, where there are none yet, made at random (on `meta`: only counted)."""

    values: dict[str, Tensor] = field(default_factory=dict)
    device: str = "cpu"
    made: bool = True
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def __call__(self, key: str, *shape: int, low: float = -0.1, high: float = 0.1) -> Tensor:
        if self.made and self.device == "meta":
            self.values[key] = torch.empty(shape, device="meta")
        elif self.made:
            self.values[key] = torch.empty(shape).uniform_(low, high, generator=self.generator)
        assert self.values[key].shape == shape, key
        return self.values[key]

    @property
    def params(self) -> int:
        buffers = ("running_mean", "running_var", "num_batches_tracked", "anchors", "anchor_grid")
        return sum(value.numel() for key, value in self.values.items() if key.rpartition(".")[2] not in buffers)

    def conv(self, name: str, x: Tensor, c: int, k: int, s: int = 1, g: int = 1, act: str = "nn.SiLU()") -> Tensor:
        """Convolution, batch norm, activation."""
        weight = self(f"{name}.conv.weight", c, x.shape[1] // g, k, k)
        if x.is_meta:  # only counted: shapes by hand are faster
            self.norm(f"{name}.bn", y := x.new_empty(1, c, *(-(-side // s) for side in x.shape[2:])))
            return y
        y = self.norm(f"{name}.bn", F.conv2d(x, weight, None, s, 2 if k == 6 else k // 2, 1, g))
        match act:
            case "nn.SiLU()":
                return F.silu(y)
            case "nn.LeakyReLU(0.1)":
                return F.leaky_relu(y, 0.1)
        assert act == "nn.Identity()"
        return y

    def norm(self, name: str, x: Tensor) -> Tensor:
        c = x.shape[1]
        mean, variance = self(f"{name}.running_mean", c), self(f"{name}.running_var", c, low=0.5, high=1.5)
        gain, bias = self(f"{name}.weight", c, low=0.5, high=1.5), self(f"{name}.bias", c)
        if self.made:
            self.values[f"{name}.num_batches_tracked"] = torch.tensor(7)
        if x.is_meta:
            return x
        return F.batch_norm(x, mean, variance, gain, bias, False, 0.03, 1e-3)
