"""Convolutions of a deployed detector as single calls of oneDNN, the library that computes torch's on x86 processors.

Torch's own convolution lays its weights out anew at every call and leaves the activation to another pass through
memory. The operators used here are those that `torch.compile` emits; they are no part of torch's documented interface,
so they are tried out first, and where they are missing or differ, the plain layers stay.
"""

import platform
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from ..blocks.modules import ConvLayer, PredictLayer
from .architecture import Architecture

BATCH = 1  # that layouts are chosen for; others run too
TRIED = 1e-4  # most that the trial's values, of size 1, may differ by


class FusedConv(nn.Module):
    """Convolution, bias, activation: (B, C_in, H, W) to (B, C_out, H / s, W / s). The weight is in oneDNN's layout.

    Args:
        conv: a convolution with a bias; its number format is kept.
        act: one that `in_onednn` knows.
        height: of the input that the layout is chosen for, in px of its level; other inputs run too.
        width: likewise.
    """

    def __init__(self, conv: nn.Conv2d, act: nn.Module, height: int, width: int) -> None:
        super().__init__()
        assert conv.bias is not None
        assert isinstance(conv.padding, tuple)
        self.window = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[attr-defined]
            conv.weight.detach().to_mkldnn(), *self.window, [BATCH, conv.in_channels, height, width]
        )
        self.bias = conv.bias.detach()
        fused = in_onednn(act)
        assert fused is not None
        self.act = fused

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.window, *self.act, "")


def in_onednn(act: nn.Module) -> tuple[str, list[float]] | None:
    """How oneDNN calls an activation, and its numbers; None for one that it does not have."""
    match act:
        case nn.Identity():
            return "none", []
        case nn.SiLU():
            return "swish", []
        case nn.LeakyReLU():
            return "leaky_relu", [act.negative_slope]
        case nn.Sigmoid():
            return "sigmoid", []
        case nn.Hardsigmoid():
            return "hardsigmoid", []
        case _:
            return None


@cache
def works(dtype: torch.dtype) -> bool:
    """Whether the operators are there on this machine and compute what the plain layers do."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    values = torch.linspace(-1, 1, 2 * 8 * 5 * 5)
    conv = nn.Conv2d(8, 8, 3, padding=1, device="meta").to_empty(device="cpu").requires_grad_(False)
    conv.weight.copy_(values.repeat(2)[: conv.weight.numel()].reshape(conv.weight.shape) / 8)
    assert conv.bias is not None
    conv.bias.copy_(values[:8])
    conv = conv.to(dtype)
    x = values.reshape(2, 8, 5, 5).to(dtype).contiguous(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            found, wanted = FusedConv(conv, nn.SiLU(), 5, 5)(x), F.silu(conv(x))
    except (AttributeError, RuntimeError, TypeError):  # another version of torch, or another build
        return False
    return bool((found - wanted).abs().max() <= max(TRIED, 8 * torch.finfo(dtype).eps))


def fuse(model: fx.GraphModule) -> None:
    """Put fused convolutions in the place of a deploy model's own. The model can then only be run, on the processor."""
    architecture: Architecture = model.meta["architecture"]
    graph = architecture.graph("deploy")
    shapes = graph.shapes()
    for layer in graph.layers:
        module = model.get_submodule(layer.name) if layer.name in dict(model.named_modules()) else None
        if isinstance(module, ConvLayer | PredictLayer):
            x = shapes[layer.inputs[0]]
            if isinstance(module, ConvLayer) and in_onednn(module.act):
                model.set_submodule(layer.name, FusedConv(module.conv, module.act, x.height, x.width))
            else:
                module.conv = FusedConv(module.conv, nn.Identity(), x.height, x.width)  # type: ignore[assignment]
