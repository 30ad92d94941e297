"""Which cells and anchors answer for which object: the part of the loss that can be exchanged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..scaler.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Head:
    """The geometry that the maps of a detector are read with, P3 first."""

    anchors: tuple[Tensor, ...]  # each level: (A, 2) width and height in cells, float32
    strides: tuple[int, ...]  # pixels of the input to a cell

    @classmethod
    def of(cls, arch: Architecture, device: torch.device | str = "cpu") -> "Head":
        """The head of an architecture, its anchors on `device`."""
        return cls.from_pixels(arch.anchors, arch.strides, device)

    @classmethod
    def from_pixels(
        cls,
        anchors: Sequence[Sequence[tuple[float, float]]],
        strides: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> "Head":
        """A head from anchors in pixels of the input."""
        cells = (
            torch.tensor(level, dtype=torch.float32, device=device) / stride
            for level, stride in zip(anchors, strides, strict=True)
        )
        return cls(tuple(cells), tuple(strides))


@dataclass(frozen=True, slots=True)
class Positives:
    """The places of one level that answer for an object, in the order of their emission; each field is (P,) int64.

    A place may occur more than once, with different targets.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    target: Tensor  # row of the targets


class Assigner(Protocol):
    """Chooses the positives of each level.

    `maps` are the raw logits of the lead head, each (B, A, ny, nx, 5 + classes); `targets` are (n, 6): image, class,
    cx, cy, w, h, the box as fractions of the network's input. An assigner that looks at predictions reads `maps`.
    """

    def __call__(self, maps: Sequence[Tensor], targets: Tensor, head: Head) -> list[Positives]:
        """One `Positives` for each level."""
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


@dataclass(frozen=True, slots=True)
class SimpleAssigner:
    """Every candidate is positive: YOLOv7's plain loss, which it also reports as validation loss."""

    anchor_t: float = 4.0
    reach: float = 0.5

    def __call__(self, maps: Sequence[Tensor], targets: Tensor, head: Head) -> list[Positives]:
        """See `Assigner`; the predictions are not looked at."""
        targets = targets.float()
        grids = ((level.shape[3], level.shape[2]) for level in maps)
        return [
            candidates(targets, anchors, grid, anchor_t=self.anchor_t, reach=self.reach)
            for anchors, grid in zip(head.anchors, grids, strict=True)
        ]
