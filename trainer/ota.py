"""Optimal-transport assignment, simplified: each object takes the candidates that cost it least, as many as overlap it.

What follows from the targets alone (candidates, sizes, tables) is found on the host, what looks at predictions on
their device, which is never waited for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..scaler.suppression import xyxy_from_cxcywh
from .assigners import Head, Positives, level_candidates
from .boxes import decode

# Numbers in a matrix at a time: on a CPU what its caches hold, on a GPU what keeps it busy. Memory is a few times this.
CHUNK = {"cpu": 3 * 2**17, "cuda": 2**23}

# Logits are held within these, so that no power of e leaves float32; a probability below e^-40 is e^-40.
LOWEST, HIGHEST = -40.0, 80.0

MINOR = 2**29 - 1  # the bits of a float64 that a float32 leaves empty

DEAR = 1e30  # the cost of padding: above every other, and finite, so that its key is a number too


@dataclass(frozen=True, slots=True)
class OtaAssigner:
    """SimOTA over `assigners.candidates`, as YOLOv7 has it.

    For an object and each candidate of its image, of any level and emitted for any object, the cost is the binary
    cross-entropy of q = sqrt(class probability x objectness) with the object's class, summed over classes, less
    3 ln(IoU + 1e-8). An object takes its k cheapest candidates, k being the sum of its `top_k` largest IoUs, rounded
    down, and at least 1, even where nothing overlaps it. A candidate that several take goes to the object of its image
    that it costs least, whether that one took it or not. A place emitted twice is two candidates and may be taken
    twice.

    Of equal costs the candidate emitted first is taken, and the first object wins; the source leaves both to the
    device. Boxes are compared in pixels of the input, x by its width and y by its height; the source takes the height
    for both, which is the same for square inputs. All costs are float32, from log-probabilities.

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
        owners = self._owners(maps, targets, head, places).split([len(level.target) for level in places])
        compact = device.type == "cpu" if self.compact is None else self.compact
        found: list[Positives] = []
        for level, owner in zip(places, owners, strict=True):
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
        columns = _Columns.read(maps, head, places, self.span)
        owners = torch.full((columns.logits.shape[0],), -1, device=device)  # the last is written by padding
        height, width = (side * head.strides[0] for side in maps[0].shape[2:4])
        corners = xyxy_from_cxcywh(targets[:, 2:6] * targets.new_tensor([width, height, width, height]))
        corners, labels = (field.to(device, non_blocking=True) for field in (corners, targets[:, 1].long()))
        image = torch.cat([level.image for level in places])
        chunk = self.chunk or CHUNK.get(device.type, CHUNK["cuda"])
        for table in _tables(targets[:, 0].long(), image, maps[0].shape[0], columns.logits.shape[1], chunk):
            objects, real, chosen = (field.to(device, non_blocking=True) for field in table)
            taken_by = _match(columns, chosen, corners[objects], labels[objects], real, self.top_k, chunk)
            # In two steps, since -1 is no place in the table.
            owner = objects.gather(1, taken_by.clamp(min=0)).where(taken_by >= 0, -1)
            owners.index_copy_(0, chosen.flatten(), owner.flatten())
        return owners[:-1]


class _Table(NamedTuple):
    """Some images of similar size side by side, padded to the largest of them; on the host."""

    objects: Tensor  # (b, G) rows of the targets, an image's last one repeated
    real: Tensor  # (b, G) whether an object is none of the repetitions
    candidates: Tensor  # (b, J) rows of the candidates, padded with the row after the last


def _tables(object_image: Tensor, candidate_image: Tensor, images: int, fields: int, chunk: int) -> Iterator[_Table]:
    """All images that have objects and candidates, in as few tables as `chunk` numbers in a matrix allow."""
    by_image = []
    for image in (object_image, candidate_image):
        count = image.bincount(minlength=images)
        by_image.append((image.argsort(stable=True), count.cumsum(0) - count, count))
    (object_order, object_start, objects), (candidate_order, candidate_start, candidates) = by_image
    candidate_order = pad(candidate_order, (0, 1), value=len(candidate_order))

    sizes = list(zip(objects.tolist(), candidates.tolist(), strict=True))
    waiting = sorted((image for image in range(images) if min(sizes[image])), key=lambda image: sizes[image][::-1])
    while waiting:
        group = [waiting.pop()]
        high, wide = sizes[group[0]]
        while waiting and (len(group) + 1) * max(high, sizes[waiting[-1]][0], fields) * wide <= chunk:
            high = max(high, sizes[waiting[-1]][0])
            group.append(waiting.pop())
        rows, columns = torch.arange(high), torch.arange(wide)
        last = objects[group, None] - 1
        place = candidate_start[group, None] + columns
        place = place.where(columns < candidates[group, None], len(candidate_order) - 1)
        yield _Table(
            objects=object_order[object_start[group, None] + torch.minimum(rows, last)],
            real=rows <= last,
            candidates=candidate_order[place],
        )


class _Columns(NamedTuple):
    """What the maps say at the candidates, level after level, and a row of padding: a box without extent."""

    logits: Tensor  # (P + 1, 5 + classes)
    corners: Tensor  # (4, P + 1) x1, y1, x2, y2 in pixels of the input

    @classmethod
    def read(cls, maps: Sequence[Tensor], head: Head, places: Sequence[Positives], span: float) -> "_Columns":
        chosen: list[Tensor] = []
        geometry: list[Tensor] = []  # anchor's width and height, column, row, stride
        for logits, level, anchors, stride in zip(maps, places, head.anchors, head.strides, strict=True):
            _, kinds, rows, columns, fields = logits.shape
            cell = ((level.image * kinds + level.anchor) * rows + level.row) * columns + level.column
            chosen.append(logits.reshape(-1, fields).index_select(0, cell.to(logits.device, non_blocking=True)))
            corner = torch.stack((level.column, level.row, torch.full_like(level.row, stride)), dim=1)
            geometry.append(torch.cat((anchors[level.anchor], corner), dim=1))
        chosen.append(chosen[0].new_zeros(1, chosen[0].shape[1]))
        geometry.append(torch.zeros(1, 5))
        read = torch.cat(chosen)
        anchor, cell, stride = torch.cat(geometry).to(read.device, non_blocking=True).split((2, 2, 1), dim=1)
        box = decode(read, anchor, span=span)
        box = torch.cat((box[:, :2] + cell, box[:, 2:]), dim=1) * stride
        return cls(read, xyxy_from_cxcywh(box).T.contiguous())


def _match(
    columns: _Columns, chosen: Tensor, corners: Tensor, labels: Tensor, real: Tensor, top_k: int, chunk: int
) -> Tensor:
    """For each candidate of a table the place in the table of the object that it answers for, or -1: (b, J) int64.

    Args:
        columns: the predictions.
        chosen: (b, J) rows of `columns`.
        corners: (b, G, 4) of the objects.
        labels: (b, G) their classes.
        real: (b, G) objects that take candidates.
        top_k: see `OtaAssigner`.
        chunk: numbers in a matrix at a time; objects wait for their turn, all candidates are before each.
    """
    images, width = chosen.shape
    base, log_odds = _class_costs(columns.logits, chosen)
    base = base.masked_fill(chosen == columns.logits.shape[0] - 1, DEAR)[:, None]
    boxes = columns.corners.index_select(1, chosen.flatten()).view(4, images, 1, width)

    takers = torch.zeros_like(chosen)
    taker = torch.full_like(chosen, -1)
    best, lowest = torch.zeros_like(chosen), torch.full_like(chosen, torch.iinfo(torch.int64).max)
    step = max(1, chunk // (images * width))
    for start in range(0, labels.shape[1], step):
        rows = slice(start, start + step)
        overlap = _overlaps(corners[:, rows], boxes)
        bits = overlap.view(torch.int32)  # of numbers that are not negative they sort alike, and faster
        top = bits.topk(min(top_k, width), dim=2, sorted=False).values.view(torch.float32)
        k = top.sum(dim=2).long().clamp(1, top.shape[2]) * real[:, rows]
        cost = log_odds(labels[:, rows]).add_(overlap.add_(1e-8).log_(), alpha=3)
        torch.sub(base, cost, out=cost)

        # One key orders a row by cost and then by candidate, and a column by cost and then by object: the bits of a
        # positive float sort as it does, and those that float32 leaves empty hold the place in the matrix.
        key = cost.double().view(torch.int64)
        place = torch.arange(key[0].numel(), device=key.device).view(key[0].shape)
        key += place
        most = (
            int(k.max().clamp(min=1)) if key.device.type == "cpu" else top.shape[2]
        )  # another device is not waited for
        index = key.topk(most, dim=2, largest=False).indices
        takes = torch.arange(most, device=key.device) < k[..., None]
        number = torch.arange(start, start + key.shape[1], device=key.device)[:, None]
        takers.scatter_add_(1, index.flatten(1), takes.flatten(1).long())
        taker.scatter_reduce_(1, index.flatten(1), number.where(takes, -1).flatten(1), "amax")

        least = key.view(torch.float64).amin(dim=1).view(torch.int64)  # as floats five times as fast as whole numbers
        winner = (least & MINOR).div(width, rounding_mode="floor").clamp_(
            max=key.shape[1] - 1
        ) + start  # NaN has no place
        least = least & ~MINOR
        best, lowest = winner.where(least < lowest, best), torch.minimum(least, lowest)
    return best.where(takers > 1, taker)


def _overlaps(corners: Tensor, boxes: Tensor) -> Tensor:
    """IoU (b, G, J) of objects' corners (b, G, 4) and candidates' (4, b, 1, J); 0 where both are without extent."""
    x1, y1, x2, y2 = corners[..., None].unbind(2)
    left, top, right, bottom = boxes
    inner = torch.minimum(x2, right).sub_(torch.maximum(x1, left)).clamp_(min=0)
    inner.mul_(torch.minimum(y2, bottom).sub_(torch.maximum(y1, top)).clamp_(min=0))
    area = ((right - left) * (bottom - top)).clamp(min=1e-12)  # square pixels
    return inner.div_(((x2 - x1) * (y2 - y1) + area).sub_(inner))


class _LogOdds(NamedTuple):
    odds: Tensor  # (b, classes, J)

    def __call__(self, labels: Tensor) -> Tensor:
        """(b, G, J) log-odds of the classes (b, G)."""
        images, classes, width = self.odds.shape
        first = torch.arange(0, images * classes, classes, device=labels.device)[:, None]
        rows = self.odds.flatten(0, 1).index_select(0, (labels + first).flatten())
        return rows.log_().view(images, -1, width)


def _class_costs(logits: Tensor, chosen: Tensor) -> tuple[Tensor, _LogOdds]:
    """The cost of no class at all (b, J), and the log-odds of q: what naming a class takes off it.

    The sum over classes of BCE(q, one-hot) is the sum of -log(1 - q), less log(q / (1 - q)) of the object's own class,
    so no tensor has objects, candidates and classes. With D = (1 + exp(-class)) (1 + exp(-objectness)), q is D^-0.5
    and its odds are (1 + D^0.5) / (D - 1). D - 1 is computed without the 1, which keeps small probabilities of error.
    """
    images, width = chosen.shape
    rows = logits.index_select(0, chosen.flatten()).view(images, width, -1)[..., 4:]
    against = rows.transpose(1, 2).contiguous().clamp_(LOWEST, HIGHEST).neg_().exp_()
    objectness, kinds = against[:, :1], against[:, 1:]
    less_one = (objectness + 1).mul(kinds).add_(objectness)
    odds = (less_one + 1).sqrt_().add_(1).div_(less_one)
    # Not log1p, which takes ten times as long: what it saves of small odds is less than float32 holds of the sum.
    # One more than the cost, everywhere: rounding leaves no cost below zero.
    return (odds + 1).log_().sum(dim=1).add_(1), _LogOdds(odds)
