"""Which cells and anchors answer for which object: the part of the loss that can be exchanged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..scaler.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Head:
    """The geometry that the maps of a detector are read with, P3 first; on the host, as targets are."""

    anchors: tuple[Tensor, ...]  # each level: (A, 2) width and height in cells, float32
    strides: tuple[int, ...]  # pixels of the input to a cell

    @classmethod
    def of(cls, arch: Architecture) -> "Head":
        """The head of an architecture."""
        return cls.from_pixels(arch.anchors, arch.strides)

    @classmethod
    def from_pixels(cls, anchors: Sequence[Sequence[tuple[float, float]]], strides: Sequence[int]) -> "Head":
        """A head from anchors in pixels of the input."""
        cells = (
            torch.tensor(level, dtype=torch.float32) / stride for level, stride in zip(anchors, strides, strict=True)
        )
        return cls(tuple(cells), tuple(strides))


@dataclass(frozen=True, slots=True)
class Positives:
    """The places of one level that answer for an object, in the order of their emission; each field is (P,) int64.

    A place may occur more than once, with different targets. Rows of weight 0 answer for nothing: they stay where
    dropping them would make the host wait for the device to say how many are left.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    target: Tensor  # row of the targets
    weight: Tensor | None = None  # (P,) float32, 0 or 1; all 1 where None

    def to(self, device: torch.device) -> "Positives":
        """The same places on a device, in one copy that the host does not wait for. Weights are not carried along."""
        fields = torch.stack((self.image, self.anchor, self.row, self.column, self.target))
        return Positives(*fields.to(device, non_blocking=True).unbind())


class Assigner(Protocol):
    """Chooses the positives of each level.

    `maps` are raw logits, each (B, A, ny, nx, 5 + classes), read by an assigner that looks at predictions; `targets`
    are (n, 6) on the host: image, class, cx, cy, w, h, the box as fractions of the network's input. Which places are
    candidates follows from the targets alone, so it is found on the host, where it costs no waiting for the device.
    """

    def __call__(self, maps: Sequence[Tensor], targets: Tensor, head: Head) -> list[Positives]:
        """One `Positives` for each level, on the device of the maps."""
        ...


def candidates(targets: Tensor, anchors: Tensor, grid: tuple[int, int], *, anchor_t: float, reach: float) -> Positives:
    """The cells of one level that may answer for the targets: their own cell and near neighbours.

    Args:
        targets: (n, 6) float32: image, class, cx, cy, w, h as fractions of the network's input.
        anchors: (A, 2) width and height in cells.
        grid: columns and rows of the level.
        anchor_t: an anchor fits where neither side differs from the object's by this factor or more.
        reach: a neighbour counts where the centre is nearer to it than this, in cells: 0.5 gives up to three cells
            ("find 3"), 1 up to five ("find 5").

    The emission order is cell (own, left, up, right, down), then anchor, then target.
    Source: YOLOv7 as released.
    """
    columns, rows = grid
    extent = targets.new_tensor([columns, rows])
    centre, size = targets[:, 2:4] * extent, targets[:, 4:6] * extent
    ratio = size / anchors[:, None]  # (A, n, 2)
    fits = torch.maximum(ratio, 1 / ratio).amax(dim=2) < anchor_t

    far = extent - centre
    left_up = (centre.frac() < reach) & (centre > 1)
    right_down = (far.frac() < reach) & (far > 1)
    own = torch.ones_like(left_up[:, 0])
    near = torch.stack((own, *left_up.unbind(1), *right_down.unbind(1)))  # (5, n)

    shift, anchor, target = (near[:, None] & fits).nonzero(as_tuple=True)
    shifts = reach * targets.new_tensor([[0, 0], [-1, 0], [0, -1], [1, 0], [0, 1]])
    column, row = (centre[target] + shifts[shift]).long().unbind(1)
    return Positives(
        image=targets[target, 0].long(),
        anchor=anchor,
        row=row.clamp(0, rows - 1),
        column=column.clamp(0, columns - 1),
        target=target,
    )


def level_candidates(
    maps: Sequence[Tensor], targets: Tensor, head: Head, *, anchor_t: float, reach: float
) -> list[Positives]:
    """The `candidates` of every level, on the host; of the maps only the shapes are read."""
    grids = ((level.shape[3], level.shape[2]) for level in maps)
    return [
        candidates(targets, anchors, grid, anchor_t=anchor_t, reach=reach)
        for anchors, grid in zip(head.anchors, grids, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class SimpleAssigner:
    """Every candidate is positive: YOLOv7's plain loss, which it also reports as validation loss."""

    anchor_t: float = 4.0
    reach: float = 0.5

    def __call__(self, maps: Sequence[Tensor], targets: Tensor, head: Head) -> list[Positives]:
        """See `Assigner`; the predictions are not looked at."""
        places = level_candidates(maps, targets, head, anchor_t=self.anchor_t, reach=self.reach)
        return [level.to(maps[0].device) for level in places]
