"""MeCo: how little the channels of an untrained network's feature maps depend on each other."""

import torch
from torch import Tensor, fx, nn

from .initialised import watching

CHANNELS = 8  # of a layer that are looked at


@torch.no_grad()
def meco(model: fx.GraphModule, noise: Tensor) -> float:
    """The sum over layers of channels / 8 x the least eigenvalue of the correlation of 8, on noise (N, 3, H, W).

    Channels that are combinations of each other have an eigenvalue of zero, independent ones of one each. Weights are
    independent draws, so that the first channels of a layer are as random a choice as any.

    Source: Jiang et al., "MeCo: zero-shot NAS with one data and single forward pass via minimum eigenvalue of
        correlation", NeurIPS 2023, the variant that looks at some channels. Adapted: the correlation is over the cells
        of several images, as the coarsest level of a small image has fewer cells than channels; of each convolution
        the normalised output before its activation.
    """
    total = 0.0

    def add(name: str, maps: Tensor) -> None:
        nonlocal total
        channels = maps.shape[1]
        rows = maps[:, :CHANNELS].transpose(0, 1).flatten(1).double()
        correlation = torch.corrcoef(rows).nan_to_num(0.0).reshape(len(rows), len(rows))
        total += channels / len(rows) * float(torch.linalg.eigvalsh(correlation)[0].clamp(min=0.0))

    with watching(model, (nn.SiLU, nn.LeakyReLU), add):
        model(noise)
    return total
