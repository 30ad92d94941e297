"""Boxes as tensors: forms, decoding, complete IoU, and the one non-maximum suppression of evaluation and prediction."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from ..blocks.modules import relative_boxes

# Boxes that enter the suppression of one image, best first. Source: YOLOv7's evaluation, as released.
NMS_TOP_K = 30_000


def xyxy_from_cxcywh(boxes: Tensor) -> Tensor:
    """Corners (..., 4) of boxes (..., 4) given by centre and size."""
    centre, half = boxes[..., :2], boxes[..., 2:4] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


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


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one image, best first."""

    boxes: Tensor  # (n, 4) x1, y1, x2, y2 in pixels of the network's input
    scores: Tensor  # (n,) 0 to 1
    labels: Tensor  # (n,) class indices


def suppress(
    decoded: Tensor, *, conf: float, iou: float, max_det: int, multi_label: bool, top_k: int = NMS_TOP_K
) -> list[Detections]:
    """Non-maximum suppression per class, image by image.

    Args:
        decoded: (B, N, 5 + classes) cx, cy, w, h in pixels, objectness and classes as probabilities.
        conf: a box counts where its objectness, and objectness times class, lie above.
        iou: of two boxes of a class that overlap more than this, the weaker goes.
        max_det: detections kept for each image.
        multi_label: let a box count for every class above `conf`, not for its best one alone.
        top_k: boxes that enter the suppression of an image, best first.

    With a single class the score is the objectness alone, because the class logit of such a model is never trained.
    Works in float32. Source: YOLOv7's evaluation, as released.
    """
    # Images are taken one by one: the number of boxes differs, and so does what `top_k` and `max_det` leave of them.
    return [_suppress_one(image, conf, iou, max_det, multi_label, top_k) for image in decoded.float()]


def _suppress_one(decoded: Tensor, conf: float, iou: float, max_det: int, multi_label: bool, top_k: int) -> Detections:
    decoded = decoded[decoded[:, 4] > conf]
    scores = decoded[:, 4:5] if decoded.shape[1] == 6 else decoded[:, 4:5] * decoded[:, 5:]
    if multi_label:
        row, label = (scores > conf).nonzero(as_tuple=True)
        score = scores[row, label]
    else:
        score, label = scores.max(dim=1)
        row = (score > conf).nonzero().flatten()
        score, label = score[row], label[row]
    best = score.argsort(descending=True, stable=True)[:top_k]
    boxes, score, label = xyxy_from_cxcywh(decoded[row[best], :4]), score[best], label[best]
    keep = batched_nms(boxes, score, label, iou)[:max_det]
    return Detections(boxes[keep], score[keep], label[keep])
