"""Mixed precision: which number format the convolutions of a training step are computed in, on which device."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import conv2d

from ..scaler.number_formats import computes_bf16
from .recipe import Amp


@dataclass(frozen=True, slots=True)
class Precision:
    """How a step computes."""

    autocast: torch.dtype | None = None  # of the forward pass, and so of the backward pass; None: float32
    backward: bool = False  # the gradients of convolutions in bfloat16, all else in float32

    @property
    def scaled(self) -> bool:
        """Whether the loss must be scaled up, so that small gradients are not lost."""
        return self.autocast is torch.float16

    def __str__(self) -> str:
        if self.backward:
            return "float32, gradients of convolutions in bfloat16"
        return str(self.autocast or torch.float32).removeprefix("torch.")


def precision(amp: Amp, device: torch.device) -> Precision:
    """What a recipe's word means on a device.

    `auto` is autocast on CUDA: to bfloat16 where the device computes it natively, which needs no scaling of the loss,
    else to float16. On a processor that computes bfloat16 natively it is `bf16-backward`, elsewhere plain float32:
    emulated bfloat16 is slower than that.
    """
    match amp:
        case "fp32":
            return Precision()
        case "bf16":
            return Precision(torch.bfloat16)
        case "fp16":
            return Precision(torch.float16)
        case "bf16-backward":
            return Precision(backward=True)
        case "auto" if device.type == "cuda":
            return Precision(torch.bfloat16 if computes_bf16(device) else torch.float16)
        case "auto":
            return Precision(backward=device.type == "cpu" and computes_bf16(device))


class HalfBackwardConv(nn.Conv2d):
    """A convolution in float32 whose gradients are computed in bfloat16: (B, C_in, H, W) to (B, C_out, H / s, W / s).

    Rounding in the forward pass decides on which side of an activation's kink a value falls, and a detector of 60
    convolutions and batch norms is so sensitive to that, that after a bfloat16 forward pass the first gradient has a
    cosine of 0.6 to float32's (0.9 for float16). With the forward pass exact it is 0.9999, and the backward pass, the
    longer one, is still twice as fast.
    """

    def forward(self, input: Tensor) -> Tensor:
        return _HalfBackward.apply(input, self.weight, self.bias, self.stride, self.padding, self.groups)


class _HalfBackward(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        stride, padding, groups = geometry
        ctx.save_for_backward(x.bfloat16(), weight.bfloat16())
        ctx.geometry, ctx.bias = geometry, bias is not None
        return conv2d(x, weight, bias, stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, groups = ctx.geometry
        grad_x, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            gradients[0].bfloat16(),
            x,
            weight,
            [weight.shape[0]] if ctx.bias else None,
            stride,
            padding,
            (1, 1),  # dilation
            False,  # transposed
            (0, 0),
            groups,
            (ctx.needs_input_grad[0], True, ctx.bias),
        )
        grads = (grad_x, grad_weight, grad_bias)
        return *(None if grad is None else grad.float() for grad in grads), None, None, None


def halve_backward(model: nn.Module) -> None:
    """Turn every convolution of a model into one whose gradients are in bfloat16; names and weights stay."""
    for module in model.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = HalfBackwardConv
