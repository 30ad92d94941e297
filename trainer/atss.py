"""Adaptive training sample selection: points near an object's middle, as many as overlap it more than usual."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .boxes import paired_iou
from .points import Answers, Grid, Objects, Predictions

SIDE = 5  # cells of the square around a point that stands for an anchor; as released


@dataclass(frozen=True, slots=True)
class AtssAssigner:
    """Of the `nearest` points of every level, an object takes those inside it whose squares overlap it enough.

    Enough is more than the mean of all these IoUs and their standard deviation. A point that several take goes to the
    object of its image that its square overlaps most, whether that one took it or not. The quality of an answer is the
    IoU of the predicted box with the object. Of points equally near, the first is taken.

    All but the quality follows from the objects alone, and is found on the host, in float64.

    Source: arXiv:1912.02424, section 3.2; as PP-YOLOE's first epochs have it, arXiv:2203.16250.
    """

    nearest: int = 9

    def __call__(self, predictions: Predictions, objects: Objects) -> Answers:
        """See `points.PointAssigner`."""
        first, points, squares = 0, list[Tensor](), list[Tensor]()
        for grid, stride in zip(predictions.grids, predictions.head.strides, strict=True):
            cells = _nearest(objects.boxes / stride, grid, self.nearest)
            points.append(first + cells[..., 1] * grid[0] + cells[..., 0])
            squares.append(_squares(cells, stride))
            first += grid[0] * grid[1]
        point, square = torch.cat(points, 1), torch.cat(squares, 1)

        overlap = paired_iou(objects.boxes[:, None], square)
        mean = overlap.mean(1, keepdim=True)
        deviation = ((overlap - mean).square().sum(1, keepdim=True) / (overlap.shape[1] - 1)).sqrt()
        enough = (overlap > mean + deviation) & _inside(square, objects.boxes[:, None])
        taken, column = enough.nonzero(as_tuple=True)
        place, index, takers = (objects.image[taken] * first + point[taken, column]).unique(
            return_inverse=True, return_counts=True
        )
        target = torch.zeros_like(place).index_copy_(0, index, taken)
        disputed = (takers > 1).nonzero().flatten()
        if len(disputed):
            any_square = torch.zeros(len(place), 4, dtype=square.dtype).index_copy_(0, index, square[taken, column])
            target[disputed] = _most_overlapped(any_square[disputed], place[disputed] // first, objects)

        device = predictions.logits.device
        place, target = (part.to(device, non_blocking=True) for part in (place, target))
        quality = paired_iou(predictions.at(place).boxes(), objects.corners[target])
        return Answers(place, target, quality, torch.ones_like(quality))


def _nearest(boxes: Tensor, grid: Grid, count: int) -> Tensor:
    """Columns and rows (n, k, 2) of the points nearest to the middles of boxes (n, 4), in cells; k is `count` or all.

    They lie in a window of as many columns and rows around the middle, moved into the grid: what lies beyond it is as
    far away as all those of its own row or column are.
    """
    middle = boxes.view(-1, 2, 2).mean(1)
    lines: list[Tensor] = []
    for axis, cells in enumerate(grid):
        wide = min(count, cells)
        start = (middle[:, axis].floor().long() - wide // 2).clamp(0, cells - wide)
        lines.append(start[:, None] + torch.arange(wide))
    columns, rows = lines
    x, y = columns[:, None].expand(-1, rows.shape[1], -1), rows[:, :, None].expand(-1, -1, columns.shape[1])
    cells = torch.stack((x, y), -1).flatten(1, 2)
    distance = (((cells + 0.5) - middle[:, None]) ** 2).sum(2)
    chosen = distance.argsort(dim=1, stable=True)[:, :count]
    return cells.gather(1, chosen[..., None].expand(-1, -1, 2))


def _squares(cells: Tensor, stride: int) -> Tensor:
    """Corners (n, k, 4) in pixels of the squares around points (n, k, 2)."""
    middle = (cells.double() + 0.5) * stride
    return torch.cat((middle - SIDE * stride / 2, middle + SIDE * stride / 2), -1)


def _inside(squares: Tensor, boxes: Tensor) -> Tensor:
    """Whether the middles of squares lie strictly inside boxes."""
    middle = (squares[..., :2] + squares[..., 2:]) / 2
    return ((middle > boxes[..., :2]) & (middle < boxes[..., 2:])).all(-1)


def _most_overlapped(squares: Tensor, image: Tensor, objects: Objects) -> Tensor:
    """Row of the object that each square (m, 4) overlaps most of those of its image (m,); the first of equal ones."""
    images = int(objects.image.max()) + 1
    rows = pad_sequence([(objects.image == it).nonzero().flatten() for it in range(images)], True, -1)[image]
    overlap = paired_iou(objects.boxes[rows.clamp(min=0)], squares[:, None]).where(rows >= 0, -1.0)
    return rows.gather(1, overlap.argmax(1, keepdim=True))[:, 0]
