"""NASWOT: how differently an untrained network activates on different images."""

import torch
from torch import Tensor, fx, nn

from .initialised import watching

PART = 2**22  # units of an image that are compared at once: counts of them are exact in float32


@torch.no_grad()
def naswot(model: fx.GraphModule, images: Tensor) -> float:
    """The log-determinant of the kernel of binary activation codes, of images (N, 3, H, W).

    The code of an image has a bit for each unit before its activation: whether it is above zero. The kernel counts in
    how many bits two images agree, K(i, j) = units - Hamming distance, and the score is log |det K|; the more the codes
    differ, the higher. Without images that differ it is minus infinity.

    Source: Mellor et al., "Neural architecture search without training", ICML 2021, arXiv:2006.04647.
        Adapted: the sign before the activation stands for the linear regions of ReLU, as SiLU and leaky ReLU are
        near to two lines that meet there; every activation up to the last features of the lead heads counts.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

    def add(name: str, before: Tensor) -> None:
        for codes in (before > 0).flatten(1).split(PART, dim=1):
            active, passive = codes.float(), (~codes).float()
            kernel.add_(active @ active.T).add_(passive @ passive.T)

    with watching(model, (nn.SiLU, nn.LeakyReLU), add):
        model(images)
    return float(torch.linalg.slogdet(kernel).logabsdet)
