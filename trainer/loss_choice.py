"""Which loss a detector is trained with: the kind of its head says which terms, the recipe who assigns."""

from ..scaler.architecture import Architecture
from .anchor_loss import AnchorLoss
from .assigners import Head
from .atss import AtssAssigner
from .loss import Loss
from .pairings import check_pairing
from .point_loss import PointLoss, Stages
from .points import PointHead
from .recipe import Recipe
from .simota import SimotaAssigner
from .task_aligned import TaskAlignedAssigner


def loss_of(arch: Architecture, recipe: Recipe, *, size_px: int) -> Loss:
    """The loss of a detector for inputs of a size.

    Raises:
        InputError: the recipe's assigner is none for the detector's head (`pairings.py`).
    """
    check_pairing(arch, recipe.assigner)
    if arch.head.anchored:
        return AnchorLoss(Head.of(arch), classes=arch.classes, size_px=size_px, recipe=recipe)
    return PointLoss(PointHead.of(arch), stages_of(recipe))


def stages_of(recipe: Recipe) -> Stages:
    """Who assigns the points of a head without anchors, in which epochs."""
    if recipe.assigner == "simota":
        return Stages(SimotaAssigner(recipe.ota_top_k), raw=recipe.closing)
    return Stages(TaskAlignedAssigner(), AtssAssigner(), recipe.atss_epochs, recipe.closing)
