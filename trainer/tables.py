"""Objects and candidates of a batch side by side, and who gets whom: each object takes what it wants most.

A candidate that several take goes to the object that it costs least. All shapes follow from the targets; the device is
never waited for.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

# Numbers in a matrix at a time: on a CPU what its caches hold, on a GPU what keeps it busy. Memory is a few times this.
CHUNK = {"cpu": 3 * 2**17, "cuda": 2**23}

MINOR = 2**29 - 1  # the bits of a float64 that a float32 leaves empty

DEAR = 1e25  # the cost of padding: above every other, and finite, so that its key is a number too


class Table(NamedTuple):
    """Some images of similar size side by side, padded to the largest of them."""

    objects: Tensor  # (b, G) rows of the targets, an image's last one repeated
    real: Tensor  # (b, G) whether an object is none of the repetitions
    candidates: Tensor  # (b, J) rows of the candidates, padded with the row after the last


class Bids(NamedTuple):
    """What some objects of a table want of its candidates."""

    order: Tensor  # (b, g, J) float32 from 0: an object takes those with the least
    takes: Tensor  # (b, g) how many it takes
    most: int  # none takes more
    cost: Tensor  # (b, g, J) float32 from 0: which object gets what several take; may be `order` itself


Bidding = Callable[[Table], Callable[[slice], Bids]]  # of a table on the device, what its objects of a slice want


def owners(
    object_image: Tensor,
    candidate_image: Tensor,
    bidding: Bidding,
    *,
    images: int,
    fields: int,
    device: torch.device,
    chunk: int | None = None,
) -> Tensor:
    """Row of the objects that each candidate answers for, -1 for none: (P,) int64 on the device.

    Args:
        object_image: (n,) image of each object, on the host.
        candidate_image: (P,) image of each candidate, on the host.
        bidding: what objects want of candidates; the row after the last candidate is padding.
        images: in the batch.
        fields: numbers that are held of each candidate.
        device: where predictions are.
        chunk: numbers in a matrix at a time; by the device where None. Objects wait for their turn, all candidates are
            before each.
    """
    chunk = chunk or CHUNK.get(device.type, CHUNK["cuda"])
    owners = torch.full((len(candidate_image) + 1,), -1, device=device)  # the last is written by padding
    for table in _tables(object_image, candidate_image, images, fields, chunk):
        table = Table(*(field.to(device, non_blocking=True) for field in table))
        taken_by = _settled(bidding(table), table, chunk)
        # In two steps, since -1 is no place in the table.
        owner = table.objects.gather(1, taken_by.clamp(min=0)).where(taken_by >= 0, -1)
        owners.index_copy_(0, table.candidates.flatten(), owner.flatten())
    return owners[:-1]


def _tables(object_image: Tensor, candidate_image: Tensor, images: int, fields: int, chunk: int) -> Iterator[Table]:
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
        yield Table(
            objects=object_order[object_start[group, None] + torch.minimum(rows, last)],
            real=rows <= last,
            candidates=candidate_order[place],
        )


def _settled(bids_of: Callable[[slice], Bids], table: Table, chunk: int) -> Tensor:
    """For each candidate of a table the place in the table of the object that it answers for, or -1: (b, J) int64.

    Of equal wishes the first candidate is taken, of equal costs the first object wins.
    """
    images, width = table.candidates.shape
    takers = torch.zeros_like(table.candidates)
    taker = torch.full_like(takers, -1)
    best, lowest = torch.zeros_like(takers), torch.full_like(takers, torch.iinfo(torch.int64).max)
    step = max(1, chunk // (images * width))
    for start in range(0, table.objects.shape[1], step):
        bids = bids_of(slice(start, start + step))
        key = _keys(bids.order)
        # Another device is not waited for.
        most = int(bids.takes.max().clamp(min=1)) if key.device.type == "cpu" else bids.most
        index = key.topk(most, dim=2, largest=False).indices
        takes = torch.arange(most, device=key.device) < bids.takes[..., None]
        number = torch.arange(start, start + key.shape[1], device=key.device)[:, None]
        takers.scatter_add_(1, index.flatten(1), takes.flatten(1).long())
        taker.scatter_reduce_(1, index.flatten(1), number.where(takes, -1).flatten(1), "amax")

        if bids.cost is not bids.order:
            key = _keys(bids.cost)
        least = key.view(torch.float64).amin(dim=1).view(torch.int64)  # as floats five times as fast as whole numbers
        winner = (least & MINOR).div(width, rounding_mode="floor")
        winner = winner.clamp_(max=key.shape[1] - 1) + start  # NaN has no place
        least = least & ~MINOR
        best, lowest = winner.where(least < lowest, best), torch.minimum(least, lowest)
    return best.where(takers > 1, taker)


def _keys(numbers: Tensor) -> Tensor:
    """One key (b, g, J) int64 orders a row by number and then by candidate, and a column by number and then by object.

    The bits of a positive float sort as it does, and those that float32 leaves empty hold the place in the matrix.
    """
    key = numbers.double().view(torch.int64)
    key += torch.arange(key[0].numel(), device=key.device).view(key[0].shape)
    return key


def overlaps(corners: Tensor, boxes: Tensor) -> Tensor:
    """IoU (b, G, J) of objects' corners (b, G, 4) and candidates' (4, b, 1, J); 0 where both are without extent."""
    x1, y1, x2, y2 = corners[..., None].unbind(2)
    left, top, right, bottom = boxes
    inner = torch.minimum(x2, right).sub_(torch.maximum(x1, left)).clamp_(min=0)
    inner.mul_(torch.minimum(y2, bottom).sub_(torch.maximum(y1, top)).clamp_(min=0))
    area = ((right - left) * (bottom - top)).clamp(min=1e-12)  # square pixels
    return inner.div_(((x2 - x1) * (y2 - y1) + area).sub_(inner))


def rows_of(numbers: Tensor, labels: Tensor) -> Tensor:
    """(b, G, J): of numbers (b, classes, J) the rows of the classes (b, G)."""
    images, classes, width = numbers.shape
    first = torch.arange(0, images * classes, classes, device=labels.device)[:, None]
    return numbers.flatten(0, 1).index_select(0, (labels + first).flatten()).view(images, -1, width)
