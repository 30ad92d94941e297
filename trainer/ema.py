"""The exponential moving average of a model's weights, which is what gets evaluated and saved."""

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


class Ema(Generic[Model]):
    """An average over optimiser steps of every floating tensor of a model, batch norm statistics included.

    The decay of step u is `decay * (1 - exp(-u / tau))`: the average follows closely at first. Source: YOLOv7, whose
    decay is 0.9999 and tau 2000 as released.
    """

    def __init__(self, model: Model, *, decay: float, tau: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.tau = tau
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in a model after an optimiser step."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.tau))
        averages, values = _floating(self.model), _floating(model)
        torch._foreach_lerp_(averages, values, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def mend_statistics(self, model: nn.Module) -> None:
        """Give a model back the averaged batch norm statistics where a bad batch has made its own non-finite."""
        averages = dict(self.model.named_buffers())
        for name, value in model.named_buffers():
            if value.is_floating_point() and not value.isfinite().all():
                value.copy_(averages[name])


def _floating(model: nn.Module) -> list[Tensor]:
    return [value for value in model.state_dict().values() if value.is_floating_point()]
