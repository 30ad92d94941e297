"""Optimal-transport assignment, simplified: each object takes the candidates that cost it least, as many as overlap it.

What follows from the targets alone (candidates, sizes, tables) is found on the host, what looks at predictions on
their device, which is never waited for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..scaler.suppression import xyxy_from_cxcywh
from .assigners import Head, Positives, level_candidates
from .boxes import decode
from .dynamic_k import DynamicK
from .tables import owners


@dataclass(frozen=True, slots=True)
class OtaAssigner:
    """SimOTA (`dynamic_k.py`) over `assigners.candidates`, of any level and emitted for any object of the image.

    A place emitted twice is two candidates and may be taken twice. Of equal costs the candidate emitted first is taken,
    and the first object wins; the source leaves both to the device. Boxes are compared in pixels of the input, x by its
    width and y by its height; the source takes the height for both, which is the same for square inputs.

    Source: YOLOX, arXiv:2107.08430, section 2.1; YOLOv7 as released.
    """

    top_k: int
    anchor_t: float = 4.0
    reach: float = 0.5  # see `candidates`
    span: float = 2.0  # of the decoder of the maps, see `boxes.decode`
    compact: bool | None = None  # drop what answers for nothing, which waits for a device; only on the CPU where None
    chunk: int | None = None  # numbers in a matrix at a time; by the device where None

    def __call__(self, maps: Sequence[Tensor], targets: Tensor, head: Head) -> list[Positives]:
        """See `Assigner`."""
        device = maps[0].device
        places = level_candidates(maps, targets, head, anchor_t=self.anchor_t, reach=self.reach)
        split = self._owners(maps, targets, head, places).split([len(level.target) for level in places])
        compact = device.type == "cpu" if self.compact is None else self.compact
        found: list[Positives] = []
        for level, owner in zip(places, split, strict=True):
            level = level.to(device)
            fields = (level.image, level.anchor, level.row, level.column, owner.clamp(min=0))
            if compact:
                taken = (owner >= 0).nonzero().flatten()
                found.append(Positives(*(field[taken] for field in fields)))
            else:
                found.append(Positives(*fields, weight=(owner >= 0).float()))
        return found

    def _owners(self, maps: Sequence[Tensor], targets: Tensor, head: Head, places: Sequence[Positives]) -> Tensor:
        """Row of the targets that each candidate answers for, -1 for none: (P,), level after level."""
        device = maps[0].device
        scores, boxes = _read(maps, head, places, self.span)
        height, width = (side * head.strides[0] for side in maps[0].shape[2:4])
        corners = xyxy_from_cxcywh(targets[:, 2:6] * targets.new_tensor([width, height, width, height]))
        corners, labels = (field.to(device, non_blocking=True) for field in (corners, targets[:, 1].long()))
        return owners(
            targets[:, 0].long(),
            torch.cat([level.image for level in places]),
            DynamicK(self.top_k, boxes, scores[:, 1:], scores[:, :1], corners, labels).bidding,
            images=maps[0].shape[0],
            fields=maps[0].shape[4],
            device=device,
            chunk=self.chunk,
        )


def _read(maps: Sequence[Tensor], head: Head, places: Sequence[Positives], span: float) -> tuple[Tensor, Tensor]:
    """Objectness and class logits (P + 1, 1 + classes), and corners (4, P + 1) in pixels, level after level.

    The row at the end is padding: a box without extent.
    """
    chosen: list[Tensor] = []
    geometry: list[Tensor] = []  # anchor's width and height, column, row, stride
    for logits, level, anchors, stride in zip(maps, places, head.anchors, head.strides, strict=True):
        _, kinds, rows, columns, fields = logits.shape
        cell = ((level.image * kinds + level.anchor) * rows + level.row) * columns + level.column
        chosen.append(logits.reshape(-1, fields).index_select(0, cell.to(logits.device, non_blocking=True)))
        corner = torch.stack((level.column, level.row, torch.full_like(level.row, stride)), dim=1)
        geometry.append(torch.cat((anchors[level.anchor], corner), dim=1))
    read = pad(torch.cat(chosen), (0, 0, 0, 1))
    placed = pad(torch.cat(geometry), (0, 0, 0, 1))
    anchor, cell, stride = placed.to(read.device, non_blocking=True).split((2, 2, 1), dim=1)
    box = decode(read, anchor, span=span)
    box = torch.cat((box[:, :2] + cell, box[:, 2:]), dim=1) * stride
    return read[:, 4:], xyxy_from_cxcywh(box).T.contiguous()
