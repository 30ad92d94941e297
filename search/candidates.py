"""From a combination of values to a detector that is worth training, or to the reason why it is not. No torch."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..blocks.errors import InputError
from ..blocks.heads import HEAD_WORDS
from ..scaler.architecture import Architecture, check_size
from ..scaler.growth_plan import GrowthError, plan_growth
from ..scaler.memory import memory
from ..scaler.scaling import apply
from ..scaler.zoo import load
from ..trainer.recipe import Recipe
from ..trainer.warm_start import with_anchors_of
from .parameters import RECIPE, recipe_changes
from .quantities import shown
from .settings import THEIR_BASE, flat
from .space import BASE, Value
from .starting import grows_from
from .study import Study

Predict = Callable[[Architecture], float]  # latency, ms


@dataclass(frozen=True)
class Candidate:
    """A detector of the space, with what is known of it before training."""

    architecture: Architecture
    figures: Mapping[str, float] = field(default_factory=dict)  # params, gflops, macs, activations …
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the study's recipe
    base: str = ""  # whose trained weights it begins with, where that is its own base

    @property
    def key(self) -> str:
        """Equal for candidates that would train alike: by the hash of the built graph, size, recipe and start."""
        changes = f" {json.dumps(self.changes, sort_keys=True)}" if self.changes else ""
        begins = f" from {self.base}" if self.base else ""
        return f"{self.architecture.fingerprint}@{self.architecture.size}{changes}{begins}"

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
        self._refusals: dict[tuple[str, str], str] = {}
        self.architectures = {name: _base(study, it, classes) for name, it in study.bases.items()}
        size = next(iter(self.architectures.values())).size
        others = {name: it for name, it in study.compared.items() if name not in self.architectures}
        self.others = {name: _base(study, it, classes, size) for name, it in others.items()}
        if change is not None:
            self.architectures = {name: change(base) for name, base in self.architectures.items()}
            self.others = {name: change(other) for name, other in self.others.items()}
        self.source = grows_from(study)
        if (source := self.source) is not None:  # anchors are a part of what is to stay the same
            self.architectures = {name: with_anchors_of(source, base) for name, base in self.architectures.items()}
            self.others = {name: with_anchors_of(source, other) for name, other in self.others.items()}
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
        base = self._base_name(values)
        architecture = apply(self.architectures[base], space.scalings(values))
        return self._counted(architecture, values, base if self._from_base else "")

    def base_of(self, values: Mapping[str, Value]) -> Architecture:
        """The base that a combination of values begins with."""
        return self.architectures[self._base_name(values)]

    def _base_name(self, values: Mapping[str, Value]) -> str:
        return str(values.get(BASE, next(iter(self.architectures))))

    def reference(self, name: str) -> Candidate:
        """A base, or a model that the study names to compare with, as it is."""
        return self._counted({**self.architectures, **self.others}[name], {})

    @property
    def beyond_counts(self) -> bool:
        """Whether a candidate fits shows before a measurement, but not from the counts alone."""
        predicted = {"latency_ms"} if self.predict else set()
        return self.growing or bool(self.study.constraints.keys() & {"memory", *predicted})

    @property
    def growing(self) -> bool:
        """Whether every candidate is to grow out of a trained detector."""
        return self.study.start is not None and self.study.start.how == "grow"

    @property
    def _from_base(self) -> bool:
        return self.study.start is not None and self.study.start.source == THEIR_BASE

    def cannot_grow(self, candidate: Candidate) -> str:
        """Why a candidate cannot begin as the study says, in words; empty where it can."""
        source = self.architectures[candidate.base] if candidate.base else self.source
        if not self.growing or source is None:
            return ""
        key = candidate.architecture.fingerprint, source.fingerprint
        if key not in self._refusals:
            try:
                plan_growth(candidate.architecture, source.replace(classes=candidate.architecture.classes))
                self._refusals[key] = ""
            except GrowthError as error:
                self._refusals[key] = f"cannot grow: {error}"
        return self._refusals[key]

    def _counted(self, architecture: Architecture, values: Mapping[str, Value], base: str = "") -> Candidate:
        cost = architecture.cost()
        known = figures(cost.params, cost.flops("paper"), cost.macs, cost.activations)
        if "memory" in (*self.study.objectives, *self.study.constraints):
            known["memory"] = memory(cost).total.bytes
        if self.predict is not None:
            known["latency_ms"] = self.predict(architecture)
        of_head = flat(self.study.overrides_by_head.get(HEAD_WORDS[type(architecture.head)], {}), RECIPE)
        return Candidate(architecture, known, recipe_changes({**of_head, **values}), base)


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
