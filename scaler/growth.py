"""A trained detector grown into a scaled variant of it that computes the same function, to train on from there."""

from dataclasses import dataclass

import torch
from torch import fx

from .growth_plan import plan_growth
from .inheritance import copy_conv, copy_prediction, silence


@dataclass(frozen=True)
class Growth:
    """What a grown model has of its base."""

    parameters: int  # of the grown model
    inherited: int  # elements that came over
    silenced: int  # channels that begin as zero

    def __str__(self) -> str:
        share = self.inherited / self.parameters
        return (
            f"grown without a change of its outputs: {share:.1%} of {self.parameters:,} parameters inherited, "
            f"{self.silenced} channels begin at zero"
        )


def grow(model: fx.GraphModule, from_model: fx.GraphModule) -> Growth:
    """Put the weights of a train model into a larger one so that it computes the same, in place.

    The maps of every lead head of `from_model` are those of `model`, in training and evaluation, to rounding of the
    sums. What can grow into what, `plan_growth` says. Whatever of `model` the base has not, stays as it was.

    Raises:
        GrowthError: `model` lacks something that the base computes; with the layer. Nothing has been changed then.
    """
    plan = plan_growth(model.meta["architecture"], from_model.meta["architecture"])
    inherited = 0
    with torch.no_grad():
        for name, columns in plan.heads.items():
            inherited += copy_prediction(model.get_submodule(name), from_model.get_submodule(name), columns)
        for name, places in plan.convs.items():
            inherited += copy_conv(model.get_submodule(name), from_model.get_submodule(name), places)
        for name, channels in plan.silent.items():
            silence(model.get_submodule(name), channels)
    parameters = sum(value.numel() for value in model.parameters())
    return Growth(parameters, inherited, sum(map(len, plan.silent.values())))
