"""The loss of anchor heads: boxes by complete IoU, soft objectness, classes; the assigner says which cells answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ..blocks.errors import InputError
from .assigners import Assigner, Head, Positives, SimpleAssigner
from .boxes import complete_iou, decode
from .loss import LossParts, at_least_one
from .ota import OtaAssigner
from .recipe import Recipe


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


class Assignment(NamedTuple):
    """Who chooses the positives of the lead and of the auxiliary heads, and from whose maps. Source: arXiv:2207.02696.

    An auxiliary head learns from (section 4.2, Table 6):

    - "independent": an assignment from its own maps, as the lead head has one from its own;
    - "lead": the lead head's positives;
    - "coarse-to-fine": an assignment from the lead head's maps over the five nearest cells of an object, where the lead
      head has three; as released for models with auxiliary heads.

    The upper-bound constraint (Table 7) limits an auxiliary head's objectness by the distance from the object's centre.
    As released it is the ordinary decoder: a centre between -0.5 and 1.5 of its cell cannot reach the object from
    the cells that only the coarse assignment has, so that the overlap, which is what objectness learns, stays below 1
    the more, the farther they are. Without the constraint auxiliary centres reach from -1 to 2, over all of them.
    """

    lead: Assigner
    aux: Assigner | None = None  # the lead head's positives where None
    aux_reads: Literal["lead", "aux"] = "lead"
    aux_span: float = 2.0  # cells that an auxiliary centre reaches over

    @classmethod
    def of(cls, recipe: Recipe) -> "Assignment":
        """The assignment that a recipe asks for."""

        def assigner(reach: float = 0.5, span: float = 2.0) -> Assigner:
            if recipe.assigner == "simple":
                return SimpleAssigner(anchor_t=recipe.anchor_t, reach=reach)
            return OtaAssigner(top_k=recipe.ota_top_k, anchor_t=recipe.anchor_t, reach=reach, span=span)

        span = 2.0 if recipe.aux_constraint else 3.0
        match recipe.aux_assignment:
            case "independent":
                return cls(assigner(), assigner(span=span), "aux", span)
            case "lead":
                return cls(assigner(), None, "lead", span)
            case "coarse-to-fine":
                return cls(assigner(), assigner(reach=1.0), "lead", span)


class AnchorLoss:
    """YOLOv7's loss for maps of raw logits, lead and auxiliary.

    Args:
        head: anchors and strides.
        classes: number of classes.
        size_px: side of the square input; objectness counts more the larger the input.
        recipe: gains and label smoothing.
        assignment: chooses the positives; as the recipe says where None.

    Auxiliary heads add the same terms on their own maps, times `recipe.aux`.

    Source: YOLOv7 as released.
    """

    def __init__(
        self, head: Head, *, classes: int, size_px: int, recipe: Recipe, assignment: Assignment | None = None
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
        self.assignment = assignment or Assignment.of(recipe)
        self.divisor: Callable[[Tensor], Tensor] = at_least_one

    def begin(self, epoch: int) -> None:
        """Every epoch is alike."""

    def __call__(self, outputs: Mapping[str, Sequence[Tensor]], targets: Tensor) -> LossParts:
        """See `Loss`; fields are 5 + classes."""
        lead = [level.float() for level in outputs["lead"]]
        aux = [level.float() for level in outputs.get("aux", ())]
        targets = targets.float().cpu()
        choice = self.assignment
        with torch.no_grad():
            positives = choice.lead(lead, targets, self.head)
        box, obj, cls = self._terms(lead, positives, targets)
        if aux:
            if choice.aux:
                with torch.no_grad():
                    positives = choice.aux(aux if choice.aux_reads == "aux" else lead, targets, self.head)
            aux_terms = self._terms(aux, positives, targets, span=choice.aux_span)
            box, obj, cls = (term + self.aux_gain * more for term, more in zip((box, obj, cls), aux_terms, strict=True))
        box, obj, cls = self.box_gain * box, self.obj_gain * obj, self.cls_gain * cls
        return LossParts((box + obj + cls) * lead[0].shape[0], box.detach(), obj.detach(), cls.detach())

    def _terms(
        self, maps: Sequence[Tensor], positives: Sequence[Positives], targets: Tensor, *, span: float = 2.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Box, objectness and class terms, summed over levels (whose shapes differ), objectness with level weights."""
        device = maps[0].device
        box = obj = cls = maps[0].new_zeros(())
        labels = targets[:, 1].long().to(device, non_blocking=True)
        for logits, places, anchors, weight in zip(maps, positives, self.head.anchors, self.weights, strict=True):
            _, kinds, rows, columns, fields = logits.shape
            counts = logits.new_ones(len(places.target)) if places.weight is None else places.weight
            count = self.divisor(counts.sum())
            cell = ((places.image * kinds + places.anchor) * rows + places.row) * columns + places.column
            flat = logits.reshape(-1, fields)
            # Not flat[cell]: the gradient of an index sums repeated cells in any order when threads share the work.
            chosen = flat.index_select(0, cell)

            in_cells = targets[:, 2:6] * targets.new_tensor([columns, rows, columns, rows])
            wanted = in_cells.to(device, non_blocking=True)[places.target]
            corner = torch.stack((places.column, places.row), dim=1)
            wanted = torch.cat((wanted[:, :2] - corner, wanted[:, 2:]), dim=1)
            sizes = anchors.to(device, non_blocking=True)[places.anchor]
            overlap = complete_iou(decode(chosen, sizes, span=span), wanted)

            box = box + ((1 - overlap) * counts).sum() / count
            objectness = last_written(flat.shape[0], cell, overlap.detach().clamp(min=0), places.weight)
            obj = obj + weight * binary_cross_entropy_with_logits(flat[:, 4], objectness)
            if self.classes > 1:
                kind = torch.full_like(chosen[:, 5:], self.smoothing / 2)
                kind.scatter_(1, labels[places.target, None], 1 - self.smoothing / 2)
                entropy = binary_cross_entropy_with_logits(chosen[:, 5:], kind, counts[:, None], reduction="sum")
                cls = cls + entropy / (count * self.classes)
        return box, obj, cls


def last_written(cells: int, cell: Tensor, values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Zeros (cells,) with `values` (P,) written at `cell` (P,); of equal cells the last one counts, on any device.

    Values whose `weight` (P,) is 0 are not written.

    Source: the loss of YOLOv7 as released, where a plain write leaves the order of equal cells to the device.
    """
    order = torch.arange(len(cell), device=cell.device)
    if weight is not None:
        order = order.where(weight > 0, -1)
    last = cell.new_full((cells,), -1).scatter_reduce(0, cell, order, "amax")
    return torch.cat((values, values.new_zeros(1)))[last]
