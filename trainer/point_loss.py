"""The losses of heads without anchors; which points answer is the assigner's part.

Both follow their sources, of which each divides by what answers, and takes its learning rate in proportion to the
images of a step: 0.01 for 64. Times images / 64 they may be trained with the same rate whatever these are, as the loss
of anchor heads is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .boxes import generalised_iou, paired_iou
from .loss import LossParts, at_least_one
from .points import Answers, Objects, PointAssigner, PointHead, Predictions

IMAGES = 64  # of an optimiser step, for which the published learning rates are 0.01

Terms = tuple[Tensor, Tensor, Tensor]  # of box, objectness and classes: sums with their gains


@dataclass(frozen=True, slots=True)
class Stages:
    """What changes from epoch to epoch, counted from 0."""

    assigner: PointAssigner
    first: PointAssigner | None = None  # of the first epochs
    first_epochs: int = 0
    raw: Callable[[int], bool] = lambda epoch: False  # whether a decoupled head learns its raw boxes, too

    def of(self, epoch: int) -> PointAssigner:
        """The assigner of an epoch, counted from 0."""
        return self.first if self.first is not None and epoch < self.first_epochs else self.assigner


class PointLoss:
    """The loss of a head without anchors.

    Args:
        head: how its maps are read.
        stages: who assigns when.

    With a decoupled head, summed over the points that answer: 5 (1 - IoU^2), binary cross-entropy of the classes with
    the quality of the answer at the object's class, and in the last epochs the distance of the raw box; and over all
    points that of the objectness, 1 where a point answers; all over how many answer. Source: YOLOX, arXiv:2107.08430,
    as released.

    With distributions of sides, over all points the varifocal loss of the classes; over those that answer, times their
    quality, 2.5 (1 - GIoU) and 0.5 times the distribution focal loss; all over the sum of the qualities. Source:
    PP-YOLOE, arXiv:2203.16250, section 2.2, as released; varifocal loss, arXiv:2008.13367; distribution focal loss,
    arXiv:2006.04388. There is no objectness, whose part is 0; the distributions' part is the box's.
    """

    def __init__(self, head: PointHead, stages: Stages) -> None:
        self.head, self.stages, self.epoch = head, stages, 0
        self.divisor: Callable[[Tensor], Tensor] = at_least_one

    def begin(self, epoch: int) -> None:
        """See `Loss`."""
        self.epoch = epoch

    def __call__(self, outputs: Mapping[str, Sequence[Tensor]], targets: Tensor) -> LossParts:
        """See `Loss`; A is 1, and fields are as the head says."""
        predictions = Predictions.of(outputs["lead"], self.head)
        objects = Objects.of(targets.float().cpu(), predictions)
        with torch.no_grad():
            answers = self.stages.of(self.epoch)(predictions, objects)
        if self.head.bins is None:
            terms = decoupled_terms(predictions, objects, answers, raw=self.stages.raw(self.epoch))
            total = answers.weight.sum()
        else:
            terms = distribution_terms(predictions, objects, answers)
            total = (answers.quality * answers.weight).sum()
        divisor = self.divisor(total)
        box, obj, cls = (term / divisor for term in terms)
        loss = (box + obj + cls) * (predictions.images / IMAGES)
        return LossParts(loss, box.detach(), obj.detach(), cls.detach())


def decoupled_terms(predictions: Predictions, objects: Objects, answers: Answers, *, raw: bool) -> Terms:
    """The sums of a decoupled head; with `raw` the box's has the raw box's distance, too."""
    chosen, wanted = predictions.at(answers.place, answers.weight), objects.corners[answers.target]
    assert chosen.objectness is not None
    box = 5 * ((1 - paired_iou(chosen.boxes(), wanted).square()) * answers.weight).sum()
    if raw:
        size = (wanted[:, 2:] - wanted[:, :2]) / chosen.stride
        middle = (wanted[:, 2:] + wanted[:, :2]) / 2 / chosen.stride
        aim = torch.cat((middle - chosen.corner, (size + 1e-8).log()), 1)
        box = box + ((chosen.box_logits - aim).abs() * answers.weight[:, None]).sum()
    objectness = predictions.logits[:, 4]
    answered = torch.zeros_like(objectness).index_copy_(0, answers.place, answers.weight)
    obj = binary_cross_entropy_with_logits(objectness, answered, reduction="sum")
    labels = objects.labels[answers.target, None]
    aim = torch.zeros_like(chosen.classes).scatter_(1, labels, answers.quality[:, None])
    cls = binary_cross_entropy_with_logits(chosen.classes, aim, answers.weight[:, None], reduction="sum")
    return box, obj, cls


def distribution_terms(predictions: Predictions, objects: Objects, answers: Answers) -> Terms:
    """The sums of a head whose sides are distributions."""
    bins = predictions.head.bins
    assert bins is not None
    chosen, wanted = predictions.at(answers.place, answers.weight), objects.corners[answers.target]
    quality = answers.quality * answers.weight
    box = 2.5 * ((1 - generalised_iou(chosen.boxes(), wanted)) * quality).sum()
    sides = torch.cat((chosen.middle - wanted[:, :2], wanted[:, 2:] - chosen.middle), 1) / chosen.stride
    focal = distribution_focal_loss(chosen.box_logits.unflatten(1, (4, bins)), sides)
    box = box + 0.5 * (focal * quality[:, None]).sum() / 4

    classes = varifocal_loss(
        predictions.head.classes(predictions.logits),
        (answers.place, objects.labels[answers.target]),
        quality,
        answers.weight,
    )
    return box, box.new_zeros(()), classes


def varifocal_loss(logits: Tensor, place: tuple[Tensor, Tensor], quality: Tensor, weight: Tensor) -> Tensor:
    """The sum over logits (N, classes) of BCE(p, q) w: at each place w is q, elsewhere q is 0 and w 0.75 p^2.

    Args:
        logits: of probabilities p.
        place: rows and columns (P,), each pair at most once.
        quality: q there (P,).
        weight: whether it is such a place (P,), 0 or 1.

    Source: arXiv:2008.13367, as PP-YOLOE has it.
    """
    aim = torch.zeros_like(logits).index_put_(place, quality)
    focus = 0.75 * logits.sigmoid().square()
    focus = focus.index_put(place, quality.where(weight > 0, focus[place]))
    return (binary_cross_entropy_with_logits(logits, aim, reduction="none") * focus).sum()


def distribution_focal_loss(logits: Tensor, sides: Tensor) -> Tensor:
    """Cross-entropy (P, 4) with the two bins of (P, 4, bins) next to sides (P, 4) in cells, in proportion.

    Sides are held within the bins, short of the last by a hundredth. Source: arXiv:2006.04388, as PP-YOLOE has it.
    """
    sides = sides.clamp(0, logits.shape[2] - 1 - 0.01)
    below = sides.floor()
    share = sides - below
    index = torch.stack((below, below + 1), -1).long()
    return -(logits.log_softmax(2).gather(2, index) * torch.stack((1 - share, share), -1)).sum(2)
