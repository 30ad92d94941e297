"""Boxes as tensors: the one non-maximum suppression of evaluation, prediction and latency."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

# Boxes that enter the suppression of one image, best first. Source: YOLOv7's evaluation, as released.
NMS_TOP_K = 30_000


def xyxy_from_cxcywh(boxes: Tensor) -> Tensor:
    """Corners (..., 4) of boxes (..., 4) given by centre and size."""
    centre, half = boxes[..., :2], boxes[..., 2:4] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


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
