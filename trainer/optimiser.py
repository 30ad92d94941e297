"""SGD or AdamW with YOLOv7's three parameter groups, and the schedule of their settings."""

import math
from dataclasses import dataclass

from torch import nn
from torch.nn import Parameter
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, AdamW, Optimizer

from ..blocks.errors import InputError
from .recipe import Recipe


def parameter_groups(model: nn.Module) -> dict[str, list[Parameter]]:
    """The parameters in three groups: "scale" (batch norm weights, implicit vectors), "weight" (all else) and "bias".

    Only "weight" decays. Source: YOLOv7 as released.
    """
    groups: dict[str, list[Parameter]] = {"scale": [], "weight": [], "bias": []}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name == "bias":
                groups["bias"].append(parameter)
            elif name == "weight" and not isinstance(module, _BatchNorm):
                groups["weight"].append(parameter)
            else:
                groups["scale"].append(parameter)
    return groups


def accumulation(recipe: Recipe) -> int:
    """Batches that make one optimiser step once warm-up is over."""
    return max(round(recipe.nominal_batch / recipe.batch), 1)


def with_batch(recipe: Recipe, batch: int) -> Recipe:
    """The same recipe with fewer images in a forward pass and as many in an optimiser step, decayed as much.

    Raises:
        ValueError: `batch` does not divide the images of a step.
    """
    images = recipe.batch * accumulation(recipe)
    if images % batch:
        raise ValueError(f"steps of {images} images cannot be made of batches of {batch}")
    decay = recipe.weight_decay * images / recipe.nominal_batch
    return recipe.model_copy(update={"batch": batch, "nominal_batch": images, "weight_decay": decay})


def checked_batch(batch: int, recipe: Recipe) -> int:
    """A batch, where optimiser steps can be made of it.

    Raises:
        InputError: they cannot.
    """
    images = recipe.batch * accumulation(recipe)
    if images % batch:
        raise InputError(f"--batch {batch}: steps of {images} images cannot be made of it; use a divisor of {images}")
    return batch


def halved(batch: int) -> int:
    """The largest divisor of a batch below it: its half, where it has one."""
    return next(part for part in range(batch // 2, 0, -1) if batch % part == 0)


def make_optimiser(model: nn.Module, recipe: Recipe) -> Optimizer:
    """SGD with Nesterov momentum or AdamW; the decay is scaled to the images of a step, as in YOLOv7 as released.

    Fused: one pass over all parameters. AdamW multiplies its decay with the learning rate, as SGD does.
    """
    groups = parameter_groups(model)
    decay = recipe.weight_decay * recipe.batch * accumulation(recipe) / recipe.nominal_batch
    settings = [
        {"params": parameters, "weight_decay": decay if name == "weight" else 0.0}
        for name, parameters in groups.items()
        if parameters
    ]
    if recipe.optimiser == "adamw":
        return AdamW(settings, lr=recipe.lr0, betas=(recipe.momentum, 0.999), fused=True)
    return SGD(settings, lr=recipe.lr0, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True)


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one batch."""

    lr: float  # of the groups "scale" and "weight"
    bias_lr: float
    momentum: float
    accumulate: int  # batches that make an optimiser step

    def put(self, optimiser: Optimizer, model_groups: tuple[str, ...]) -> None:
        """Set an optimiser whose groups bear these names."""
        for name, group in zip(model_groups, optimiser.param_groups, strict=True):
            group["lr"] = self.bias_lr if name == "bias" else self.lr
            if "momentum" in group:  # AdamW's first beta does not warm up, as in the source
                group["momentum"] = self.momentum


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cosine or a line per epoch after a warm-up per batch; a function of the place alone: a resume is exact.

    Epochs that extend a run follow the schedule of the new number of epochs; those done stay as they were.
    """

    recipe: Recipe
    batches: int  # of an epoch
    gain: float = 1.0  # of every rate; below 1 after a divergence

    @property
    def warmup(self) -> int:
        """Batches of warm-up."""
        return max(round(self.recipe.warmup_epochs * self.batches), self.recipe.warmup_iterations_min)

    def factor(self, epoch: int) -> float:
        """Factor of the learning rate in an epoch, counted from 0: from 1 towards `lrf`, and `lrf` from the horizon on.

        The cosine does not quite reach it before, the line does in the last epoch. Source: YOLOv7 as released.
        """
        last, epochs = self.recipe.lrf, self.recipe.horizon * self.recipe.epochs
        if self.recipe.schedule == "linear":
            return last + (1 - last) * (1 - min(epoch / max(epochs - 1, 1), 1))
        return last + (1 - last) * (1 + math.cos(math.pi * min(epoch, epochs) / epochs)) / 2

    def at(self, epoch: int, batch: int) -> Settings:
        """The settings of a batch of an epoch, both counted from 0. Source: YOLOv7 as released."""
        recipe = self.recipe
        lr, full = self.gain * recipe.lr0 * self.factor(epoch), accumulation(recipe)
        iteration = epoch * self.batches + batch
        if iteration > self.warmup or not self.warmup:
            return Settings(lr, lr, recipe.momentum, full)

        def risen(low: float, high: float) -> float:
            return low + (high - low) * iteration / self.warmup

        def rate(low: float) -> float:
            share = iteration / self.warmup if recipe.warmup == "quadratic" else 1.0
            return low + (risen(low, lr) - low) * share

        return Settings(
            lr=rate(0),
            bias_lr=rate(self.gain * recipe.warmup_bias_lr),
            momentum=risen(recipe.warmup_momentum, recipe.momentum),
            accumulate=max(1, round(risen(1, recipe.nominal_batch / recipe.batch))),
        )
