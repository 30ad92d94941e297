"""Boxes decoded from the raw maps of heads without anchors, one for each cell; and how such heads start."""

from collections.abc import Iterable
from math import log

import torch
from torch import Tensor, nn

from .levels import AnchorFree, Detect, Distribution
from .modules import ConvLayer

PRIOR = log(1 / 0.01 - 1)  # a logit of -PRIOR is a probability of one in a hundred (arXiv:1708.02002, section 3.3)


class PointDetectLayer(nn.Module):
    """Raw maps (B, 1, H, W, fields) of all levels to boxes (B, N, 5 + classes), as `DetectLayer`, in float32.

    Rows run over levels, finest first, rows, columns.
    """

    def __init__(self, op: Detect) -> None:
        super().__init__()
        self.levels = op.levels

    def forward(self, *maps: Tensor) -> Tensor:
        strides = [level.stride for level in self.levels]
        match self.levels[0]:
            case AnchorFree():
                return decode_anchor_free(maps, strides)
            case Distribution(bins=bins):
                return decode_distributions(maps, strides, bins)
            case level:
                raise TypeError(f"{level} has anchors")


def decode_anchor_free(maps: Iterable[Tensor], strides: Iterable[int]) -> Tensor:
    """Boxes (B, N, 5 + classes) of the raw maps (B, 1, H, W, 5 + classes) of each level, in float32."""
    boxes = [  # half precision would quantise a coordinate above 1024 to whole pixels
        anchor_free_boxes(raw.float().flatten(0, 1), stride).flatten(1, 2)
        for raw, stride in zip(maps, strides, strict=True)
    ]
    return torch.cat(boxes, 1)


def decode_distributions(maps: Iterable[Tensor], strides: Iterable[int], bins: int) -> Tensor:
    """Boxes (B, N, 5 + classes) of the raw maps (B, 1, H, W, 4 bins + classes) of each level, in float32."""
    boxes = [  # half precision would quantise a coordinate above 1024 to whole pixels
        distribution_boxes(raw.float().flatten(0, 1), stride, bins).flatten(1, 2)
        for raw, stride in zip(maps, strides, strict=True)
    ]
    return torch.cat(boxes, 1)


def anchor_free_boxes(logits: Tensor, stride: int) -> Tensor:
    """Boxes (B, H, W, 5 + classes) in pixels from (B, H, W, 5 + classes).

    The centre is (t + g) x stride, g the cell's corner in cells, the size exp(t) x stride. Source: YOLOX, as released.
    """
    centre = (logits[..., :2] + corners(logits)) * stride
    return torch.cat((centre, logits[..., 2:4].exp() * stride, logits[..., 4:].sigmoid()), -1)


def distribution_boxes(logits: Tensor, stride: int, bins: int) -> Tensor:
    """Boxes (B, H, W, 5 + classes) in pixels from (B, H, W, 4 bins + classes).

    From the cell's middle a side, in the order left, top, right, bottom, is as many cells away as the expectation over
    its bins. Source: PP-YOLOE, arXiv:2203.16250, section 2.2.
    """
    sides, classes = logits[..., : 4 * bins].unflatten(-1, (4, bins)), logits[..., 4 * bins :]
    cells = torch.arange(bins, device=logits.device, dtype=logits.dtype)
    distance = (sides.softmax(-1) * cells).sum(-1)
    before, after = distance[..., :2], distance[..., 2:]
    middle = corners(logits) + 0.5
    box = torch.cat((middle + (after - before) / 2, before + after), -1) * stride
    return torch.cat((box, torch.ones_like(box[..., :1]), classes.sigmoid()), -1)


def corners(logits: Tensor) -> Tensor:
    """(H, W, 2) of x, y: each cell's corner, in cells."""
    height, width = logits.shape[1:3]
    rows = torch.arange(height, device=logits.device, dtype=logits.dtype)
    columns = torch.arange(width, device=logits.device, dtype=logits.dtype)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)


@torch.no_grad()
def start_anchor_free(predictions: list[ConvLayer]) -> None:
    """Start from few objects: of box, objectness and class, one in a hundred for the latter two (as released)."""
    for layer in predictions[1:]:
        assert layer.conv.bias is not None
        layer.conv.bias.fill_(-PRIOR)


@torch.no_grad()
def start_distribution(predictions: list[ConvLayer], attention: list[ConvLayer]) -> None:
    """Start from few objects, alike in every bin of a box, and from gates half open (the models as released)."""
    for layer, bias in zip(predictions, (1.0, -PRIOR), strict=True):
        assert layer.conv.bias is not None
        layer.conv.weight.zero_()
        layer.conv.bias.fill_(bias)
    for layer in attention:
        assert layer.conv.bias is not None
        layer.conv.weight.normal_(0, 0.001)
        layer.conv.bias.zero_()
