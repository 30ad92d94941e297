"""Boxes as tensors: decoding, and measures of how two overlap."""

import math

import torch
from torch import Tensor

from ..blocks.modules import relative_boxes


def decode(logits: Tensor, anchors: Tensor, *, span: float = 2.0) -> Tensor:
    """Boxes (P, 4) cx, cy, w, h of raw logits (P, 4 or more), in cells, the centre relative to its cell's corner.

    Args:
        logits: fields x, y, w, h, and whatever follows.
        anchors: (P, 2) width and height in cells.
        span: cells that a centre can move over, in the middle of which lies the cell: 2 is YOLOv7's, from -0.5 to 1.5.
    """
    box = relative_boxes(logits)
    centre = box[:, :2] if span == 2 else (box[:, :2] - 0.5) * (span / 2) + 0.5
    return torch.cat((centre, box[:, 2:] * anchors), dim=1)


def complete_iou(boxes: Tensor, others: Tensor, eps: float = 1e-7) -> Tensor:
    """Complete IoU (N,) of boxes (N, 4) and others (N, 4), both cx, cy, w, h in one unit; at most 1, may be negative.

    IoU less the squared distance of the centres over the squared diagonal of the enclosing box, less a term of the
    aspect ratios whose weight passes no gradient. Source: arXiv:1911.08287, as YOLOv7 evaluates it.
    """
    centre, other_centre = boxes[:, :2], others[:, :2]
    size, other_size = boxes[:, 2:], others[:, 2:]
    low, high = centre - size / 2, centre + size / 2
    other_low, other_high = other_centre - other_size / 2, other_centre + other_size / 2

    inner = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0).prod(dim=1)
    (width, height), (other_width, other_height) = size.unbind(1), other_size.unbind(1)
    height, other_height = height + eps, other_height + eps
    union = width * height + other_width * other_height - inner + eps
    iou = inner / union

    diagonal = (torch.maximum(high, other_high) - torch.minimum(low, other_low)).square().sum(dim=1) + eps
    distance = (centre - other_centre).square().sum(dim=1)
    angle = torch.atan(other_width / (other_height + eps)) - torch.atan(width / (height + eps))
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        weight = aspect / (aspect - iou + 1 + eps)
    return iou - distance / diagonal - weight * aspect


def paired_iou(boxes: Tensor, others: Tensor, eps: float = 1e-10) -> Tensor:
    """IoU (...) of boxes and others, corners (..., 4) in one unit that broadcast; 0 of two without extent."""
    inner, union, _ = _areas(boxes, others)
    return inner / (union + eps)


def generalised_iou(boxes: Tensor, others: Tensor, eps: float = 1e-10) -> Tensor:
    """IoU less the share of the enclosing box that neither fills, as `paired_iou`. Source: arXiv:1902.09630."""
    inner, union, enclosing = _areas(boxes, others)
    return inner / (union + eps) - (enclosing - union) / (enclosing + eps)


def _areas(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the intersection, the union and the smallest box around both: (...) each."""
    (low, high), (other_low, other_high) = boxes.split(2, dim=-1), others.split(2, dim=-1)
    inner = _area((torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0))
    union = _area(high - low) + _area(other_high - other_low) - inner
    return inner, union, _area(torch.maximum(high, other_high) - torch.minimum(low, other_low))


def _area(sides: Tensor) -> Tensor:
    return sides[..., 0] * sides[..., 1]
