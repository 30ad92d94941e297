"""The training loss: boxes by complete IoU, soft objectness, classes; which cells answer is the assigner's part."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ..blocks.errors import InputError
from .assigners import Assigner, Head, Positives, SimpleAssigner
from .boxes import complete_iou, decode
from .recipe import Recipe


class LossParts(NamedTuple):
    """The loss of a batch: what is minimised, and its parts per image for the log."""

    total: Tensor  # scalar, times the batch size, with gradient
    box: Tensor  # scalars with their gains, detached
    obj: Tensor
    cls: Tensor


def level_weights(levels: int) -> tuple[float, ...]:
    """Weight of the objectness of each level, P3 first. Source: YOLOv7 as released.

    Raises:
        InputError: more levels than the source has weights for.
    """
    if levels == 3:
        return (4.0, 1.0, 0.4)
    weights = (4.0, 1.0, 0.25, 0.06, 0.02)
    if levels > len(weights):
        raise InputError(f"a head of {levels} levels cannot be trained: objectness has weights for {len(weights)}")
    return weights[:levels]


class Loss:
    """YOLOv7's loss for maps of raw logits, lead and auxiliary.

    Args:
        head: anchors and strides, on the device of the maps.
        classes: number of classes.
        size_px: side of the square input; objectness counts more the larger the input.
        recipe: gains, label smoothing, and the anchor threshold of the default assigner.
        assigner: chooses the positives of the lead head; the plain assignment where None.
        aux_assigner: chooses the positives of the auxiliary heads, from the lead head's maps; as `assigner` where None.

    Auxiliary heads add the same terms on their own maps, times `recipe.aux`. With the plain assignment they learn what
    the lead head learns; the lead-guided assignments of the paper are assigners to come.

    Source: YOLOv7 as released.
    """

    def __init__(
        self,
        head: Head,
        *,
        classes: int,
        size_px: int,
        recipe: Recipe,
        assigner: Assigner | None = None,
        aux_assigner: Assigner | None = None,
    ) -> None:
        levels = len(head.strides)
        self.head = head
        self.classes = classes
        self.weights = level_weights(levels)
        self.box_gain = recipe.box * 3 / levels
        self.obj_gain = recipe.obj * 3 / levels * (size_px / 640) ** 2
        self.cls_gain = recipe.cls * 3 / levels * classes / 80
        self.aux_gain = recipe.aux
        self.smoothing = recipe.label_smoothing
        # What means over positives divide by; processes that share a batch put in their share of the batch's count.
        self.positives: Callable[[Tensor], Tensor] = lambda count: count.clamp(min=1)
        self.assigner = assigner or SimpleAssigner(anchor_t=recipe.anchor_t)
        self.aux_assigner = aux_assigner or self.assigner

    def __call__(self, outputs: Mapping[str, Sequence[Tensor]], targets: Tensor) -> LossParts:
        """The loss of a batch.

        Args:
            outputs: "lead" and, where the model has them, "aux": one map (B, A, ny, nx, 5 + classes) for each level.
            targets: (n, 6): image index, class, cx, cy, w, h as fractions of the input; n may be 0.

        Computed in float32 whatever the maps are.
        """
        lead = [level.float() for level in outputs["lead"]]
        targets = targets.float()
        with torch.no_grad():
            positives = self.assigner(lead, targets, self.head)
        box, obj, cls = self._terms(lead, positives, targets)
        if aux := [level.float() for level in outputs.get("aux", ())]:
            if self.aux_assigner is not self.assigner:
                with torch.no_grad():
                    positives = self.aux_assigner(lead, targets, self.head)
            aux_terms = self._terms(aux, positives, targets)
            box, obj, cls = (term + self.aux_gain * more for term, more in zip((box, obj, cls), aux_terms, strict=True))
        box, obj, cls = self.box_gain * box, self.obj_gain * obj, self.cls_gain * cls
        return LossParts((box + obj + cls) * lead[0].shape[0], box.detach(), obj.detach(), cls.detach())

    def _terms(
        self, maps: Sequence[Tensor], positives: Sequence[Positives], targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Box, objectness and class terms, summed over levels (whose shapes differ), objectness with level weights."""
        box = obj = cls = maps[0].new_zeros(())
        for logits, places, anchors, weight in zip(maps, positives, self.head.anchors, self.weights, strict=True):
            count = self.positives(logits.new_tensor(len(places.target)))
            _, kinds, rows, columns, fields = logits.shape
            cell = ((places.image * kinds + places.anchor) * rows + places.row) * columns + places.column
            flat = logits.reshape(-1, fields)
            # Not flat[cell]: the gradient of an index sums repeated cells in any order when threads share the work.
            chosen = flat.index_select(0, cell)

            wanted = targets[places.target, 2:6] * targets.new_tensor([columns, rows, columns, rows])
            corner = torch.stack((places.column, places.row), dim=1)
            wanted = torch.cat((wanted[:, :2] - corner, wanted[:, 2:]), dim=1)
            overlap = complete_iou(decode(chosen, anchors[places.anchor]), wanted)

            box = box + (1 - overlap).sum() / count
            objectness = last_written(flat.shape[0], cell, overlap.detach().clamp(min=0))
            obj = obj + weight * binary_cross_entropy_with_logits(flat[:, 4], objectness)
            if self.classes > 1:
                label = targets[places.target, 1].long()
                kind = torch.full_like(chosen[:, 5:], self.smoothing / 2)
                kind.scatter_(1, label[:, None], 1 - self.smoothing / 2)
                entropy = binary_cross_entropy_with_logits(chosen[:, 5:], kind, reduction="sum")
                cls = cls + entropy / (count * self.classes)
        return box, obj, cls


def last_written(cells: int, cell: Tensor, values: Tensor) -> Tensor:
    """Zeros (cells,) with `values` (P,) written at `cell` (P,); of equal cells the last one counts, on any device.

    Source: the plain loss of YOLOv7 as released, where a plain write leaves the order of equal cells to the device.
    """
    order = torch.arange(len(cell), device=cell.device)
    last = cell.new_full((cells,), -1).scatter_reduce(0, cell, order, "amax")
    return torch.cat((values, values.new_zeros(1)))[last]
