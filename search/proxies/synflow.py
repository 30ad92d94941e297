"""SynFlow: the sum over all weights of what passes through them when every weight is positive."""

import math

import torch
from torch import fx, nn

TINY = 1e-150  # of the image, and of what is derived: both ways through a deep network stay within float64


def synflow(model: fx.GraphModule, size_px: int) -> float:
    """The logarithm of the sum over weights of weight x dR / dweight, on an image (1, 3, size_px, size_px) of ones.

    R is the sum of the lead maps of the network whose weights are replaced by their absolute values, without batch norm
    and with identities for activations, so that R is the sum over all paths of the product of their weights; of a
    chain of L layers the score is log(L R). `model` is used up: its modules are replaced.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS
        2020, arXiv:2006.05467; as a score of networks, Abdelfattah et al., "Zero-cost proxies
        for lightweight NAS", ICLR 2021, arXiv:2101.08134. Adapted: ReLU passes positive values as they are, and SiLU
        does not, so that both are left out; in float64, image and derivative being scaled by 1e-150 each, of which the
        logarithm is taken back, as R of a hundred layers is beyond 1e300.
    """
    _linearise(model)
    model.double().requires_grad_(True)
    with torch.no_grad():
        for weight in model.parameters():
            weight.abs_()
    image = torch.full((1, 3, size_px, size_px), TINY, dtype=torch.float64)
    with torch.enable_grad():
        flow = sum(level.sum() for level in model(image)["lead"])
        assert isinstance(flow, torch.Tensor)
        weights = [weight for weight in model.parameters() if weight.dim() > 1]
        slopes = torch.autograd.grad(flow, weights, torch.full_like(flow, TINY))
    total = math.fsum(float((weight.detach() * slope).sum()) for weight, slope in zip(weights, slopes, strict=True))
    return math.log(total) - 2 * math.log(TINY)


def _linearise(model: nn.Module) -> None:
    for module in list(model.modules()):
        for name, part in module.named_children():
            if isinstance(part, nn.BatchNorm2d | nn.SiLU | nn.LeakyReLU):
                setattr(module, name, nn.Identity())
