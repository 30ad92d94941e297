"""What the losses of all detectors have in common; which of them a detector has, `loss_choice.py` says."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor


class LossParts(NamedTuple):
    """The loss of a batch: what is minimised, and its parts per image for the log."""

    total: Tensor  # scalar, times the batch size, with gradient
    box: Tensor  # scalars with their gains, detached
    obj: Tensor
    cls: Tensor


class Loss(Protocol):
    """The loss of a detector's raw maps."""

    # What means over objects' places divide by; processes that share a batch put in their share of the batch's sum.
    divisor: Callable[[Tensor], Tensor]

    def begin(self, epoch: int) -> None:
        """Hear which epoch begins, counted from 0."""
        ...

    def __call__(self, outputs: Mapping[str, Sequence[Tensor]], targets: Tensor) -> LossParts:
        """The loss of a batch.

        Args:
            outputs: "lead" and, where the model has them, "aux": one map (B, A, ny, nx, fields) for each level.
            targets: (n, 6): image index, class, cx, cy, w, h as fractions of the input; n may be 0. Where they are on
                the CPU, the device of the maps is never waited for.

        Computed in float32 whatever the maps are.
        """
        ...


def at_least_one(total: Tensor) -> Tensor:
    """What a process alone divides by."""
    return total.clamp(min=1)
