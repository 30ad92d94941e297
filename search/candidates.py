"""From a combination of values to a detector that is worth training, or to the reason why it is not. No torch."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture, check_size
from ..scaler.memory import memory
from ..scaler.scaling import apply
from ..scaler.zoo import load
from ..trainer.recipe import Recipe
from .quantities import shown
from .space import BASE, Value
from .study import Study

Predict = Callable[[Architecture], float]  # latency, ms


@dataclass(frozen=True)
class Candidate:
    """A detector of the space, with what is known of it before training."""

    architecture: Architecture
    figures: Mapping[str, float] = field(default_factory=dict)  # params, gflops, macs, activations …
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the study's recipe

    @property
    def key(self) -> str:
        """Equal for candidates that would train alike: by the hash of the built graph, the size, and the recipe."""
        changes = f" {json.dumps(self.changes, sort_keys=True)}" if self.changes else ""
        return f"{self.architecture.fingerprint}@{self.architecture.size}{changes}"

    def trained_by(self, recipe: Recipe) -> Recipe:
        """The recipe, with what the candidate changes in it."""
        changes = dict(self.changes)
        if "augment" in changes:
            changes["augment"] = recipe.augment.model_copy(update=changes["augment"])
        return recipe.model_copy(update=changes)


class Bases:
    """The bases of a study, at its size, with the classes of its data, and changed as `change` says (their anchors).

    With `predict`, which gives an architecture's latency in ms, candidates have a predicted latency and need no other.

    Raises:
        InputError: when made, if there is no such base, or it cannot have a size of the study.
    """

    def __init__(
        self,
        study: Study,
        classes: int | None = None,
        change: Callable[[Architecture], Architecture] | None = None,
        predict: Predict | None = None,
    ) -> None:
        self.study, self.predict = study, predict
        self.architectures = {name: _base(study, it, classes) for name, it in study.bases.items()}
        size = next(iter(self.architectures.values())).size
        others = {name: it for name, it in study.compared.items() if name not in self.architectures}
        self.others = {name: _base(study, it, classes, size) for name, it in others.items()}
        if change is not None:
            self.architectures = {name: change(base) for name, base in self.architectures.items()}
            self.others = {name: change(other) for name, other in self.others.items()}
        resolution = study.space.parameters.get("resolution")
        varied = "stages" in study.space.parameters  # then the largest stride varies too
        for size in resolution.values or () if resolution and not varied else ():
            for name, base in self.architectures.items():
                check_size(int(size), base.strides[-1], f"{study.name}: space: resolution: {name}")

    def candidate(self, values: Mapping[str, Value]) -> Candidate:
        """The detector that a combination of values means.

        Raises:
            InputError: it cannot be built.
        """
        space = self.study.space
        return self._counted(apply(self.base_of(values), space.scalings(values)), space.recipe_changes(values))

    def base_of(self, values: Mapping[str, Value]) -> Architecture:
        """The base that a combination of values begins with."""
        return self.architectures[str(values.get(BASE, next(iter(self.architectures))))]

    def reference(self, name: str) -> Candidate:
        """A base, or a model that the study names to compare with, as it is."""
        return self._counted({**self.architectures, **self.others}[name], {})

    @property
    def beyond_counts(self) -> bool:
        """Whether a bound is of a figure that is known before a measurement, but not from the counts alone."""
        return bool(self.study.constraints.keys() & {"memory", *({"latency_ms"} if self.predict else ())})

    def _counted(self, architecture: Architecture, changes: Mapping[str, Any]) -> Candidate:
        cost = architecture.cost()
        known = figures(cost.params, cost.flops("paper"), cost.macs, cost.activations)
        if "memory" in (*self.study.objectives, *self.study.constraints):
            known["memory"] = memory(cost).total.bytes
        if self.predict is not None:
            known["latency_ms"] = self.predict(architecture)
        return Candidate(architecture, known, changes)


def figures(params: Any, flops: Any, macs: Any, activations: Any) -> dict[str, Any]:
    """Counts, of one detector or arrays of many, as the quantities that studies speak of."""
    return {"params": params, "gflops": flops / 1e9, "macs": macs, "activations": activations}


def violations(study: Study, figures: Mapping[str, float]) -> dict[str, float]:
    """By which share each bounded figure that is known is above its bound; at most zero where it is within."""
    return {name: figures[name] / bound - 1 for name, bound in study.constraints.items() if name in figures}


def over_budget(study: Study, figures: Mapping[str, float]) -> str:
    """Which bounds the figures break, in words; empty where none. Figures that are not known yet break none."""
    broken = [
        f"{name} {shown(name, figures[name])} above {shown(name, bound)}"
        for name, bound in study.constraints.items()
        if name in figures and figures[name] > bound
    ]
    return f"over budget: {'; '.join(broken)}" if broken else ""


def _base(study: Study, name: str, classes: int | None, size: int | None = None) -> Architecture:
    """A model at the study's size, or else at `size`, or else its own."""
    try:
        base = load(name)
        wanted = study.size_px or size
        changes: dict[str, Any] = {"size": wanted} if wanted else {}
        return base.replace(**changes, **({"classes": classes} if classes else {}))
    except InputError as error:
        raise InputError(f"{study.name}: base: {error}") from error
