"""What heads without anchors are trained with: points, the middles of cells, of which some answer for an object.

A batch's points are one table: its rows run over images, levels (finest first), rows, columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..blocks.heads import EtHead
from ..blocks.point_boxes import offset_boxes, side_boxes, side_lengths
from ..scaler.architecture import Architecture
from ..scaler.suppression import xyxy_from_cxcywh
from .tables import Bidding, owners

Grid = tuple[int, int]  # columns and rows of a level


@dataclass(frozen=True, slots=True)
class PointHead:
    """How the maps of a head without anchors are read."""

    strides: tuple[int, ...]  # pixels of the input to a cell, finest first
    bins: int | None = None  # of the distribution of each side, without objectness; None: offset and size, with it

    @classmethod
    def of(cls, arch: Architecture) -> Self:
        """The head of an architecture."""
        return cls(arch.strides, arch.head.bins if isinstance(arch.head, EtHead) else None)

    def box(self, logits: Tensor) -> Tensor:
        """Of logits (P, fields) those of the box: (P, 4), or (P, 4 bins)."""
        return logits[:, : 4 * (self.bins or 1)]

    def objectness(self, logits: Tensor) -> Tensor | None:
        """Of logits (P, fields) that of the objectness (P, 1)."""
        return None if self.bins else logits[:, 4:5]

    def classes(self, logits: Tensor) -> Tensor:
        """Of logits (P, fields) those of the classes: (P, classes)."""
        return logits[:, 4 * self.bins if self.bins else 5 :]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is predicted at some points."""

    head: PointHead
    logits: Tensor  # (P, fields) float32
    corner: Tensor  # (P, 2) x, y of the cell's corner, in cells
    stride: Tensor  # (P, 1) pixels to a cell

    @property
    def middle(self) -> Tensor:
        """(P, 2) the points, in pixels."""
        return (self.corner + 0.5) * self.stride

    @property
    def objectness(self) -> Tensor | None:
        """(P, 1) logits."""
        return self.head.objectness(self.logits)

    @property
    def classes(self) -> Tensor:
        """(P, classes) logits."""
        return self.head.classes(self.logits)

    @property
    def box_logits(self) -> Tensor:
        """(P, 4) or (P, 4 bins) logits."""
        return self.head.box(self.logits)

    def padded(self) -> "Chosen":
        """The same with a row at the end: a point without a stride, so a box without extent."""
        logits, corner, stride = (pad(part, (0, 0, 0, 1)) for part in (self.logits, self.corner, self.stride))
        return Chosen(self.head, logits, corner, stride)

    def boxes(self) -> Tensor:
        """Corners (P, 4) in pixels."""
        if self.head.bins:
            box = side_boxes(side_lengths(self.box_logits, self.head.bins), self.corner)
        else:
            box = offset_boxes(self.box_logits, self.corner)
        return xyxy_from_cxcywh(box * self.stride)


@dataclass(frozen=True, slots=True)
class Predictions:
    """A batch's raw maps as one table."""

    head: PointHead
    logits: Tensor  # (images x points, fields) float32
    corner: Tensor  # (points, 2) x, y of each cell's corner, in cells
    stride: Tensor  # (points, 1)
    grids: tuple[Grid, ...]
    images: int

    @classmethod
    def of(cls, maps: Sequence[Tensor], head: PointHead) -> Self:
        """The table of maps (B, 1, ny, nx, fields), one for each level."""
        grids = tuple((level.shape[3], level.shape[2]) for level in maps)
        device = maps[0].device
        corners = [_corners(grid, device) for grid in grids]
        strides = [torch.full_like(xy[:, :1], stride) for xy, stride in zip(corners, head.strides, strict=True)]
        logits = torch.cat([level.float().flatten(1, 3) for level in maps], dim=1).flatten(0, 1)
        return cls(head, logits, torch.cat(corners), torch.cat(strides), grids, len(maps[0]))

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the input."""
        columns, rows = self.grids[0]
        return columns * self.head.strides[0], rows * self.head.strides[0]

    def at(self, place: Tensor, weight: Tensor | None = None) -> Chosen:
        """What is predicted at rows (P,) of the table; of those with a weight of 0, zeros.

        A product with 0 would not make up for what is not finite.
        """
        point = place % len(self.corner)
        logits = self.logits.index_select(0, place)
        if weight is not None:
            logits = logits.where(weight[:, None] > 0, 0.0)
        return Chosen(self.head, logits, self.corner[point], self.stride[point])


def _corners(grid: Grid, device: torch.device) -> Tensor:
    columns, rows = (torch.arange(count, device=device, dtype=torch.float32) for count in grid)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).flatten(0, 1)


@dataclass(frozen=True, slots=True)
class Objects:
    """What a batch's images show; boxes are corners in pixels of the input."""

    image: Tensor  # (n,) int64, on the host
    boxes: Tensor  # (n, 4) float64, on the host
    corners: Tensor  # (n, 4) float32, where the predictions are
    labels: Tensor  # (n,) int64, there

    @classmethod
    def of(cls, targets: Tensor, predictions: Predictions) -> Self:
        """The objects of targets (n, 6) on the host: image, class, cx, cy, w, h as fractions of the input."""
        width, height = predictions.size_px
        boxes = xyxy_from_cxcywh(targets[:, 2:6].double() * torch.tensor([width, height, width, height]))
        device = predictions.logits.device
        corners, labels = (part.to(device, non_blocking=True) for part in (boxes.float(), targets[:, 1].long()))
        return cls(targets[:, 0].long(), boxes, corners, labels)


@dataclass(frozen=True, slots=True)
class Answers:
    """The points that answer for an object, each at most once; each field is (P,).

    Rows of weight 0 answer for nothing: they stay where dropping them would make the host wait for the device.
    """

    place: Tensor  # row of the predictions
    target: Tensor  # row of the objects
    quality: Tensor  # float32: what the score of the object's class is to be
    weight: Tensor  # float32, 0 or 1


class PointAssigner(Protocol):
    """Chooses the points that answer. Which are candidates follows from the objects alone, found on the host."""

    def __call__(self, predictions: Predictions, objects: Objects) -> Answers:
        """The answers of a batch, where the predictions are."""
        ...


def settled(
    predictions: Predictions,
    objects: Objects,
    candidates: Tensor,
    bidding: Bidding,
    *,
    compact: bool | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Place, target and weight of `Answers`, of those candidates (P,) on the host that objects take.

    Args:
        predictions: of the batch.
        objects: of the batch.
        candidates: rows of the predictions, in their order.
        bidding: what objects want of the candidates, see `tables.py`.
        compact: drop what answers for nothing, which waits for a device; only on the CPU where None.
        chunk: see `tables.owners`.
    """
    device = predictions.logits.device
    owner = owners(
        objects.image,
        candidates.div(len(predictions.corner), rounding_mode="floor"),
        bidding,
        images=predictions.images,
        fields=predictions.logits.shape[1],
        device=device,
        chunk=chunk,
    )
    place = candidates.to(device, non_blocking=True)
    if device.type == "cpu" if compact is None else compact:
        taken = (owner >= 0).nonzero().flatten()
        place, owner = place[taken], owner[taken]
    return place, owner.clamp(min=0), (owner >= 0).float()


def near_objects(objects: Objects, predictions: Predictions, reach: float = 0.0) -> Tensor:
    """Rows (P,) of the table, on the host, of the points inside an object or near to its middle, in their order.

    Args:
        objects: of the batch.
        predictions: of which only the shapes are read.
        reach: a point is near where the object's middle is nearer than this along both axes, in cells.

    Counted by differences: each object adds one between its first and last column and row.
    """
    middle = objects.boxes.view(-1, 2, 2).mean(1)
    masks: list[Tensor] = []
    for grid, stride in zip(predictions.grids, predictions.head.strides, strict=True):
        areas = [objects.boxes]
        if reach:
            areas.append(torch.cat((middle - reach * stride, middle + reach * stride), 1))
        masks.append(_covered(torch.cat(areas) / stride, objects.image.repeat(len(areas)), grid, predictions.images))
    return torch.cat([mask.flatten(1) for mask in masks], 1).flatten().nonzero().flatten()


def _covered(areas: Tensor, image: Tensor, grid: Grid, images: int) -> Tensor:
    """Which cells' middles lie inside areas (n, 4), corners in cells, of images (n,): (images, rows, columns)."""
    columns, rows = grid
    most = torch.tensor([columns, rows])
    first = ((areas[:, :2] - 0.5).floor() + 1).clamp(min=0).long().minimum(most)
    last = (areas[:, 2:] - 0.5).ceil().clamp(min=0).long().minimum(most).maximum(first)  # the first one beyond
    change = torch.zeros((rows + 1) * (columns + 1) * images, dtype=torch.int32)
    for (x, y), step in (((first, first), 1), ((last, last), 1), ((first, last), -1), ((last, first), -1)):
        cell = (image * (rows + 1) + y[:, 1]) * (columns + 1) + x[:, 0]
        change.index_add_(0, cell, torch.full_like(cell, step, dtype=torch.int32))
    count = change.view(images, rows + 1, columns + 1).cumsum(1).cumsum(2)
    return count[:, :rows, :columns] > 0
