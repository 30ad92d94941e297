"""SimOTA's rule: each object takes the candidates that cost it least, as many as overlap it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .tables import DEAR, Bids, Table, overlaps, rows_of

# Logits are held within these, so that no power of e leaves float32; a probability below e^-40 is e^-40.
LOWEST, HIGHEST = -40.0, 80.0

FAR = 2.0**40  # times the cost of a pair that is not near: above every near one's, exact, and below what padding costs


@dataclass(frozen=True, slots=True)
class DynamicK:
    """What objects want of candidates whose predictions are known; `bidding` is for `tables.owners`.

    For an object and each candidate of its image the cost is the binary cross-entropy of q with the object's class,
    summed over classes, less 3 ln(IoU + 1e-8); q is sqrt(class probability x objectness), or the class probability
    where there is no objectness. An object takes its k cheapest candidates, k being the sum of its `top_k` largest
    IoUs, rounded down, and at least 1, even where nothing overlaps it. A candidate that several take goes to the object
    of its image that it costs least, whether that one took it or not. All costs are float32, from log-probabilities.

    Each but `top_k` and `near` has a row of padding at its end.

    Source: YOLOX, arXiv:2107.08430, section 2.1.
    """

    top_k: int
    corners: Tensor  # (4, P + 1) boxes that the candidates predict: x1, y1, x2, y2 in pixels
    classes: Tensor  # (P + 1, classes) logits
    objectness: Tensor | None  # (P + 1, 1) logits
    objects: Tensor  # (n, 4) corners of the objects, in the same pixels
    labels: Tensor  # (n,) their classes
    near: Callable[[Tensor, Tensor], Tensor] | None = None
    """Of candidates (b, J) and objects (b, g), which pairs (b, g, J) come first: any other costs more than these."""

    def bidding(self, table: Table) -> Callable[[slice], Bids]:
        """What a table's objects want."""
        images, width = table.candidates.shape
        padding = table.candidates == len(self.classes) - 1
        base, odds = self._class_costs(table.candidates)
        base = base.masked_fill(padding, DEAR)[:, None]
        boxes = self.corners.index_select(1, table.candidates.flatten()).view(4, images, 1, width)

        def bids(rows: slice) -> Bids:
            objects = table.objects[:, rows]
            overlap = overlaps(self.objects[objects], boxes)
            bits = overlap.view(torch.int32)  # of numbers that are not negative they sort alike, and faster
            top = bits.topk(min(self.top_k, width), dim=2, sorted=False).values.view(torch.float32)
            most = top.shape[2]
            count = top.sum(dim=2).long().clamp(1, most) * table.real[:, rows]
            cost = rows_of(odds, self.labels[objects]).log_().add_(overlap.add_(1e-8).log_(), alpha=3)
            torch.sub(base, cost, out=cost)
            if self.near is not None:
                cost = cost.where(self.near(table.candidates, objects), cost * FAR)
            return Bids(cost, count, most, cost)

        return bids

    def _class_costs(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The cost of no class at all (b, J), and the odds (b, classes, J) of q, whose logarithm naming a class saves.

        The sum over classes of BCE(q, one-hot) is the sum of -log(1 - q), less log(q / (1 - q)) of the object's own
        class, so no tensor has objects, candidates and classes. With D = (1 + exp(-class)) (1 + exp(-objectness)), q is
        D^-0.5 and its odds are (1 + D^0.5) / (D - 1). D - 1 is computed without the 1, which keeps small probabilities
        of error. Without objectness the odds are exp(class).
        """
        images, width = chosen.shape

        def against(logits: Tensor) -> Tensor:
            rows = logits.index_select(0, chosen.flatten()).view(images, width, -1)
            return rows.transpose(1, 2).contiguous().clamp_(LOWEST, HIGHEST).neg_().exp_()

        kinds = against(self.classes)
        if self.objectness is None:
            odds = kinds.reciprocal_()
        else:
            objectness = against(self.objectness)
            less_one = (objectness + 1).mul(kinds).add_(objectness)
            odds = (less_one + 1).sqrt_().add_(1).div_(less_one)
        # Not log1p, which takes ten times as long: what it saves of small odds is less than float32 holds of the sum.
        # One more than the cost, everywhere: rounding leaves no cost below zero.
        return (odds + 1).log_().sum(dim=1).add_(1), odds
