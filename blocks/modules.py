"""The torch module of each primitive op that has weights, and how it folds; beside them the decoding of boxes."""

from collections.abc import Callable, Iterable
from math import log
from typing import Self

import torch
from torch import Tensor, nn

from .levels import Anchors, Detect, Predict
from .ops import Activation, Conv, Gating, RepConv

BN_EPS, BN_MOMENTUM = 1e-3, 0.03  # the models as released, everywhere
IMPLICIT_STD = 0.02  # spread of the implicit vectors at the start


def activation(act: Activation | Gating | None) -> nn.Module:
    """The activation's module, in place where it may be."""
    match act:
        case None:
            return nn.Identity()
        case "silu":
            return nn.SiLU(inplace=True)
        case "leaky_relu":
            return nn.LeakyReLU(0.1, inplace=True)
        case "mish":
            return nn.Mish(inplace=True)
        case "sigmoid":
            return nn.Sigmoid()
        case "hard_sigmoid":
            return nn.Hardsigmoid()


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with the released models' constants."""
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


def fold_norm(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight (C_out, C_in / groups, k, k) and bias (C_out) of a convolution followed by `norm`, in float64.

    Source: YOLOv7, arXiv:2207.02696, section 4.3 (1).
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.double() - norm.running_mean.double() * gain
    return weight.double() * gain.reshape(-1, 1, 1, 1), bias


class ConvLayer(nn.Module):
    """Convolution, batch norm (or a bias, when folded), activation: (B, C_in, H, W) to (B, C_out, H / s, W / s)."""

    def __init__(self, op: Conv, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, op.out, op.kernel, op.stride, (op.kernel - 1) // 2, groups=op.groups, bias=not op.norm
        )
        self.norm = batch_norm(op.out) if op.norm else nn.Identity()
        self.act = activation(op.act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    def folded_weights(self) -> tuple[Tensor, Tensor]:
        """Weight and bias that do without the batch norm; its own where it has none."""
        if isinstance(self.norm, nn.Identity):
            assert self.conv.bias is not None
            return self.conv.weight.double(), self.conv.bias.double()
        assert isinstance(self.norm, nn.BatchNorm2d)
        return fold_norm(self.conv.weight, self.norm)


class RepConvLayer(nn.Module):
    """3x3 and 1x1 convs, and a batch norm of the input where allowed, summed: (B, C_in, H, W) to (B, C_out, H/s, W/s).

    Source: YOLOv7, arXiv:2207.02696, section 4.1 and Fig. 4; folding as in RepVGG.
    """

    def __init__(self, op: RepConv, channels: int) -> None:
        super().__init__()
        self.dense = nn.Conv2d(channels, op.out, 3, op.stride, 1, groups=op.groups, bias=False)
        self.dense_norm = batch_norm(op.out)
        self.point = nn.Conv2d(channels, op.out, 1, op.stride, 0, groups=op.groups, bias=False)
        self.point_norm = batch_norm(op.out)
        self.identity_norm = batch_norm(op.out) if op.identity and channels == op.out and op.stride == 1 else None
        self.act = activation(op.act)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dense_norm(self.dense(x)) + self.point_norm(self.point(x))
        if self.identity_norm is not None:
            y = y + self.identity_norm(x)
        return self.act(y)

    def folded_weights(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one 3x3 convolution that computes the same."""
        weight, bias = fold_norm(self.dense.weight, self.dense_norm)
        point, point_bias = fold_norm(self.point.weight, self.point_norm)
        weight[:, :, 1:2, 1:2] += point
        bias = bias + point_bias
        if self.identity_norm is not None:
            out, inner = weight.shape[:2]
            delta = torch.zeros(out, inner, 1, 1, dtype=torch.float64, device=weight.device)
            delta[torch.arange(out), torch.arange(out) % inner] = 1  # channel i reads channel i of its own group
            identity, identity_bias = fold_norm(delta, self.identity_norm)
            weight[:, :, 1:2, 1:2] += identity
            bias = bias + identity_bias
        return weight, bias


class PredictLayer(nn.Module):
    """Raw logits of a level: (B, C, H, W) to (B, anchors, H, W, 5 + classes) of x, y, w, h, objectness, classes."""

    def __init__(self, op: Predict, channels: int) -> None:
        super().__init__()
        self.anchors, self.fields = len(op.anchors), 5 + op.classes
        self.conv = nn.Conv2d(channels, op.out, 1)
        self.added = nn.Parameter(torch.empty(1, channels, 1, 1).normal_(0, IMPLICIT_STD)) if op.implicit else None
        self.factor = nn.Parameter(torch.empty(1, op.out, 1, 1).normal_(1, IMPLICIT_STD)) if op.implicit else None
        self._expect_few_objects(op)

    def _expect_few_objects(self, op: Predict) -> None:
        """Start from priors: 8 objects in a 640-pixel image, classes alike (the models as released)."""
        bias = self.conv.bias
        assert bias is not None
        with torch.no_grad():
            fields = bias.view(self.anchors, self.fields)
            fields[:, 4] += log(8 / (640 / op.stride) ** 2)
            fields[:, 5:] += log(0.6 / (op.classes - 0.99))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x if self.added is None else x + self.added)
        y = y if self.factor is None else y * self.factor
        batch, _, height, width = y.shape
        return y.view(batch, self.anchors, self.fields, height, width).permute(0, 1, 3, 4, 2)

    def folded_weights(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the 1x1 convolution with the implicit vectors merged (section 4.3 (2) of the paper)."""
        assert self.conv.bias is not None
        weight, bias = self.conv.weight.double(), self.conv.bias.double()
        if self.added is not None:
            bias = bias + (weight * self.added.double()).sum((1, 2, 3))
        if self.factor is not None:
            factor = self.factor.double().flatten()
            weight, bias = weight * factor.reshape(-1, 1, 1, 1), bias * factor
        return weight, bias


class DetectLayer(nn.Module):
    """Raw maps of all levels to boxes: (B, N, 5 + classes) of cx, cy, w, h in pixels, objectness and class scores."""

    def __init__(self, op: Detect) -> None:
        super().__init__()
        self.levels = [(level.anchors, level.stride) for level in op.levels if isinstance(level, Predict)]
        self._place_anchors(None)

    def _place_anchors(self, device: torch.device | None) -> None:
        for index, (anchors, _) in enumerate(self.levels):
            placed = torch.tensor(anchors, dtype=torch.float32, device=device)
            self.register_buffer(f"anchors{index}", placed, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to another device, but not to another number format: bfloat16 has no 401 px."""
        super()._apply(fn, recurse)
        self._place_anchors(self.get_buffer("anchors0").device)
        return self

    def forward(self, *maps: Tensor) -> Tensor:
        anchors = [self.get_buffer(f"anchors{index}") for index in range(len(self.levels))]
        return decode(maps, anchors, [stride for _, stride in self.levels])


def decode(maps: Iterable[Tensor], anchors: Iterable[Anchors | Tensor], strides: Iterable[int]) -> Tensor:
    """Boxes from the raw maps (B, anchors, H, W, 5 + classes) of each level, finest first, in float32.

    Rows run over levels, anchors, rows, columns. Gives (B, N, 5 + classes). Anchors that are tensors lie where the
    maps do: a CUDA graph cannot record their coming from the host.
    """
    boxes: list[Tensor] = []
    for raw, pairs, stride in zip(maps, anchors, strides, strict=True):
        batch, _, height, width, fields = raw.shape
        fraction = raw.float().sigmoid()  # half precision would quantise a coordinate above 1024 to whole pixels
        box = boxes_from_sigmoids(fraction)
        rows = torch.arange(height, device=raw.device, dtype=box.dtype)
        columns = torch.arange(width, device=raw.device, dtype=box.dtype)
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
        sides = torch.as_tensor(pairs, device=raw.device).to(box.dtype).view(1, -1, 1, 1, 2)
        parts = ((box[..., :2] + grid) * stride, box[..., 2:] * sides, fraction[..., 4:])
        boxes.append(torch.cat(parts, -1).view(batch, -1, fields))
    return torch.cat(boxes, 1)


def relative_boxes(logits: Tensor) -> Tensor:
    """Boxes (..., 4) of raw logits (..., 4 or more): centre in cells from its cell's corner, size in anchors.

    With s the sigmoid, the centre is 2 s - 0.5, from -0.5 to 1.5, and the size (2 s)^2, from 0 to 4. Source: YOLOv7 as
    released.
    """
    return boxes_from_sigmoids(logits[..., :4].sigmoid())


def boxes_from_sigmoids(fraction: Tensor) -> Tensor:
    """Boxes (..., 4) as `relative_boxes` gives them, of the sigmoids (..., 4 or more) of raw logits."""
    reach = 2 * fraction[..., :4]
    return torch.cat((reach[..., :2] - 0.5, reach[..., 2:] ** 2), -1)
