"""A training step in its parts: forward, loss, backward, and the update of weights and average."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..blocks.errors import CatscaleError
from ..scaler.architecture import Architecture
from ..scaler.build import build
from .data.loader import Batch
from .distributed import World, sync_norms
from .ema import Ema
from .loss import LossParts, at_least_one
from .loss_choice import loss_of
from .optimiser import Settings, make_optimiser, parameter_groups
from .precision import halve_backward, precision
from .recipe import Recipe
from .warm_start import WarmStart


class NotCompiled(CatscaleError):
    """The compiler of torch failed, or found no C++ compiler."""


class Stepper:
    """A model in training with all that a step changes: weights, their average, the optimiser, the scale of the loss.

    Args:
        arch: the detector.
        recipe: gains, optimiser, precision.
        device: where it computes.
        size_px: side of the square input.
        world: the processes that share each batch.
        start: what the fresh model begins with in place of random weights.
    """

    def __init__(
        self,
        arch: Architecture,
        recipe: Recipe,
        *,
        device: torch.device,
        size_px: int,
        world: World | None = None,
        start: WarmStart | None = None,
    ) -> None:
        self.recipe, self.device, self.world = recipe, device, world or World()
        # Channels last is faster on CPUs too (`make bench`).
        self.model = build(arch).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.carried = start and start.put(self.model)
        self.groups = tuple(name for name, parameters in parameter_groups(self.model).items() if parameters)
        self.optimiser = make_optimiser(self.model, recipe)
        self.loss = loss_of(arch, recipe, size_px=size_px)
        self.ema = Ema(self.model, decay=recipe.ema_decay, tau=recipe.ema_tau)
        self.precision = precision(recipe.amp, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision.scaled)
        # After the average was copied, whose layers stay as they are.
        if self.precision.backward:
            halve_backward(self.model)
        if self.world.size > 1:
            sync_norms(self.model)
        # Not by calling the model: torch.fx then prints a page of source for every error, also one that is dealt with.
        self.forward_model = torch.compile(self.model) if recipe.compile else self.model.forward

    def images(self, batch: Batch, size_px: int | None = None) -> Tensor:
        """A batch's images on the device: (B, 3, S, S) float32 from 0 to 1, of another size where it is given."""
        return batch.pixels(self.device, size_px)

    def forward(self, images: Tensor) -> Mapping[str, Sequence[Tensor]]:
        """Raw maps of the lead and auxiliary heads."""
        dtype = self.precision.autocast
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            try:
                return self.forward_model(images)
            except RuntimeError as error:
                if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    why = str(error).splitlines()[0]
                    raise NotCompiled(f"torch.compile failed: {why}; train without --compile") from error
                raise

    def measure(self, outputs: Mapping[str, Sequence[Tensor]], batch: Batch, whole: int) -> LossParts:
        """The loss of this process's share of a batch of `whole` images; the shares add up to that of the batch."""
        if self.world.size > 1:
            share = len(batch.ids) / whole

            def divisor(own: Tensor) -> Tensor:
                total = own.float().reshape(1)
                self.world.sum_([total])
                return at_least_one(total[0]) * share

            self.loss.divisor = divisor
        return self.loss(outputs, batch.targets)  # they stay on the host

    def backward(self, total: Tensor) -> None:
        """Add a loss's gradient to what is gathered for the next update."""
        self.scaler.scale(total).backward()

    def update(self) -> bool:
        """Step the optimiser and the average with what was gathered, unless that is not finite; forget it then."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        self.world.sum_(gradients)
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = bool(norm.isfinite())
        if finite:
            if self.recipe.clip_norm:
                torch.nn.utils.clip_grads_with_norm_(parameters, self.recipe.clip_norm, norm)
            self.scaler.step(self.optimiser)
            self.ema.update(self.model)
        self.scaler.update()
        self.optimiser.zero_grad()
        return finite

    def put(self, settings: Settings) -> None:
        """Set the optimiser's rates for a batch."""
        settings.put(self.optimiser, self.groups)

    def take_back(self, weights: Mapping[str, Tensor]) -> None:
        """Begin anew from averaged weights that were good: no momentum, and the average is what it was then."""
        self.model.load_state_dict(dict(weights))
        self.ema.model.load_state_dict(dict(weights))
        self.optimiser.state.clear()
        self.optimiser.zero_grad()
        if self.scaler.is_enabled():
            self.scaler = torch.amp.GradScaler(self.device.type)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, beside the batch: plain data and tensors."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave; the weights are in place already (`checkpoint.put_weights`)."""
        self.ema.updates = state["ema_updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"])
        if self.device.type == "cuda" and state["rng_cuda"]:
            torch.cuda.set_rng_state_all(state["rng_cuda"])
