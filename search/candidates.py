"""From a combination of values to a detector that is worth training, or to the reason why it is not. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture, check_size
from ..scaler.scaling import apply
from ..scaler.zoo import load
from .quantities import shown
from .space import BASE, Value
from .study import Study


@dataclass(frozen=True)
class Candidate:
    """A detector of the space, with what is known of it before training."""

    architecture: Architecture
    figures: Mapping[str, float] = field(default_factory=dict)  # params, gflops, macs, activations

    @property
    def key(self) -> str:
        """Equal for candidates that would train alike."""
        return f"{self.architecture.fingerprint}@{self.architecture.size}"


class Bases:
    """The bases of a study, at its size, with the classes of its data, and changed as `change` says (their anchors).

    Raises:
        InputError: when made, if there is no such base, or it cannot have a size of the study.
    """

    def __init__(
        self, study: Study, classes: int | None = None, change: Callable[[Architecture], Architecture] | None = None
    ) -> None:
        self.study = study
        self.architectures = {name: _base(study, name, classes) for name in study.base}
        if change is not None:
            self.architectures = {name: change(base) for name, base in self.architectures.items()}
        resolution = study.space.parameters.get("resolution")
        for size in resolution.values or () if resolution else ():
            for name, base in self.architectures.items():
                check_size(int(size), base.strides[-1], f"{study.name}: space: resolution: {name}")

    def candidate(self, values: Mapping[str, Value]) -> Candidate:
        """The detector that a combination of values means.

        Raises:
            InputError: it cannot be built.
        """
        base = self.architectures[str(values.get(BASE, self.study.base[0]))]
        return counted(apply(base, self.study.space.scalings(values)))

    def reference(self, name: str) -> Candidate:
        """A base as it is."""
        return counted(self.architectures[name])


def counted(architecture: Architecture) -> Candidate:
    """A detector with its counts."""
    cost = architecture.cost()
    return Candidate(architecture, figures(cost.params, cost.flops("paper"), cost.macs, cost.activations))


def figures(params: Any, flops: Any, macs: Any, activations: Any) -> dict[str, Any]:
    """Counts, of one detector or arrays of many, as the quantities that studies speak of."""
    return {"params": params, "gflops": flops / 1e9, "macs": macs, "activations": activations}


def over_budget(study: Study, figures: Mapping[str, float]) -> str:
    """Which bounds the figures break, in words; empty where none. Figures that are not known yet break none."""
    broken = [
        f"{name} {shown(name, figures[name])} above {shown(name, bound)}"
        for name, bound in study.constraints.items()
        if name in figures and figures[name] > bound
    ]
    return f"over budget: {'; '.join(broken)}" if broken else ""


def _base(study: Study, name: str, classes: int | None) -> Architecture:
    try:
        base = load(name)
        changes: dict[str, Any] = {"size": study.size_px} if study.size_px else {}
        return base.replace(**changes, **({"classes": classes} if classes else {}))
    except InputError as error:
        raise InputError(f"{study.name}: base: {error}") from error
