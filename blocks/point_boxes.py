"""Boxes decoded from the raw maps of heads without anchors, one for each cell; and how such heads start."""

from collections.abc import Iterable
from math import log

import torch
from torch import Tensor, nn

from .levels import Detect, Distribution
from .modules import ConvLayer

PRIOR = log(1 / 0.01 - 1)  # a logit of -PRIOR is a probability of one in a hundred (arXiv:1708.02002, section 3.3)


class PointDetectLayer(nn.Module):
    """Raw maps (B, 1, H, W, fields) of all levels to boxes (B, N, 5 + classes), as `DetectLayer`, in float32."""

    def __init__(self, op: Detect) -> None:
        super().__init__()
        self.strides = [level.stride for level in op.levels]
        (self.bins,) = {level.bins if isinstance(level, Distribution) else None for level in op.levels}

    def forward(self, *maps: Tensor) -> Tensor:
        return decode_points(maps, self.strides, self.bins)


def decode_points(maps: Iterable[Tensor], strides: Iterable[int], bins: int | None) -> Tensor:
    """Boxes (B, N, 5 + classes) from the raw maps (B, 1, H, W, fields) of each level, finest first, in float32.

    Rows run over levels, rows, columns. Sides are distributions over `bins`; where that is None, a box is an offset and
    a size, and has objectness.
    """
    boxes: list[Tensor] = []
    for raw, stride in zip(maps, strides, strict=True):
        logits = raw.float().flatten(0, 1)  # half precision would quantise a coordinate above 1024 to whole pixels
        decoded = anchor_free_boxes(logits, stride) if bins is None else distribution_boxes(logits, stride, bins)
        boxes.append(decoded.flatten(1, 2))
    return torch.cat(boxes, 1)


def anchor_free_boxes(logits: Tensor, stride: int) -> Tensor:
    """Boxes (B, H, W, 5 + classes) in pixels from (B, H, W, 5 + classes)."""
    box = offset_boxes(logits, _corners(logits)) * stride
    return _rows(box, logits[..., 4:5].sigmoid(), logits[..., 5:].sigmoid())


def distribution_boxes(logits: Tensor, stride: int, bins: int) -> Tensor:
    """Boxes (B, H, W, 5 + classes) in pixels from (B, H, W, 4 bins + classes)."""
    box = side_boxes(side_lengths(logits[..., : 4 * bins], bins), _corners(logits)) * stride
    return _rows(box, torch.ones_like(box[..., :1]), logits[..., 4 * bins :].sigmoid())


def _rows(box: Tensor, objectness: Tensor, classes: Tensor) -> Tensor:
    """(..., 5 + classes), as every head's rows are read.

    Of a single class the objectness alone is taken for the score (`scaler/suppression.py`), as anchor heads learn
    nothing else then; these heads do, so that there it is the product.
    """
    return torch.cat((box, objectness * classes if classes.shape[-1] == 1 else objectness, classes), -1)


def offset_boxes(logits: Tensor, corner: Tensor) -> Tensor:
    """Boxes (..., 4) cx, cy, w, h in cells from logits (..., 4 or more) and their cells' corners (..., 2) in cells.

    The centre is t + the corner, the size exp(t). Source: YOLOX, as released.
    """
    return torch.cat((logits[..., :2] + corner, logits[..., 2:4].exp()), -1)


def side_lengths(logits: Tensor, bins: int) -> Tensor:
    """How many cells the sides are away from the cell's middle, (..., 4), of logits (..., 4 bins).

    Left, top, right, bottom, each the expectation over its bins. Source: PP-YOLOE, arXiv:2203.16250, section 2.2.
    """
    cells = torch.arange(bins, device=logits.device, dtype=logits.dtype)
    return (logits.unflatten(-1, (4, bins)).softmax(-1) * cells).sum(-1)


def side_boxes(sides: Tensor, corner: Tensor) -> Tensor:
    """Boxes (..., 4) cx, cy, w, h in cells from sides (..., 4) around the middle of the cell of a corner (..., 2)."""
    before, after = sides[..., :2], sides[..., 2:]
    return torch.cat((corner + 0.5 + (after - before) / 2, before + after), -1)


def _corners(logits: Tensor) -> Tensor:
    """(H, W, 2) of x, y: each cell's corner, in cells."""
    height, width = logits.shape[1:3]
    rows = torch.arange(height, device=logits.device, dtype=logits.dtype)
    columns = torch.arange(width, device=logits.device, dtype=logits.dtype)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)


# All that `decode_points` takes, beside torch.
DECODING = [
    _corners,
    _rows,
    offset_boxes,
    side_lengths,
    side_boxes,
    anchor_free_boxes,
    distribution_boxes,
    decode_points,
]


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
