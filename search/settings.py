"""The smaller parts of a study file: sampler, budget, start, how latency comes about, and bounds as text."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..blocks.errors import nearest
from ..blocks.heads import HEADS
from ..trainer.run_folder import How
from .parameters import RECIPE, canonical, refusal
from .quantities import QUANTITIES

SamplerKind = Literal["tpe", "nsga2", "nsga3", "gp", "qmc", "random", "grid", "brute", "ehvi"]
ProxyKind = Literal["naswot", "synflow", "zen", "meco", "activations"]
LISTING: tuple[SamplerKind, ...] = ("grid", "brute")  # that go through a finite space
THEIR_BASE = "base"  # in place of a run: each candidate's own
BRUTE = 10_000  # candidates, the most that brute force is for

_BOUND = re.compile(r"^\s*([\w]+)\s*(<=|>=|<|>|==?)\s*([^\s]+)\s*$")


class Sampler(BaseModel):
    """Who proposes candidates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SamplerKind = "tpe"
    seed: int = Field(default=0, ge=0)
    startup: int = Field(default=10, ge=1)  # candidates drawn at random before it learns; of nsga2 and 3 a generation


class Budget(BaseModel):
    """What a study may spend; it ends with what is reached first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int | None = Field(default=None, ge=1)  # trained in total, over all runs of the study
    hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # each time that it is run; or as --hours says
    gpu_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # of all trainings; then they are cut


class LatencySettings(BaseModel):
    """Where a candidate's latency comes from: a measurement before its training, or a table of predictions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predict: str | None = None  # a table, as `search calibrate` makes it, by which no candidate is measured
    runs: int = Field(default=30, ge=1)  # of a measurement
    batch: int = Field(default=1, ge=1)  # images

    @property
    def measuring(self) -> dict[str, int]:
        """How it is measured."""
        return {"runs": self.runs, "batch": self.batch}


class Proxies(BaseModel):
    """Scores of untrained networks, by which proposals are ranked as long as that is known to be worth it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[ProxyKind, ...] = Field(default=get_args(ProxyKind), min_length=1)
    pool: int = Field(default=8, ge=2, le=64)  # proposals of which the best becomes a trial
    after: int = Field(default=8, ge=5)  # finished trials before the first audit
    images: int = Field(default=16, ge=2, le=128)  # of the training set, that naswot looks at

    @field_validator("kinds", mode="before")
    @classmethod
    def _known(cls, kinds: Any) -> Any:
        if isinstance(kinds, list | tuple):
            for kind in kinds:
                if kind not in get_args(ProxyKind):
                    raise ValueError(f"no proxy is called {kind!r}; {nearest(str(kind), get_args(ProxyKind))}")
                if kinds.count(kind) > 1:
                    raise ValueError(f"{kind} stands twice")
        return kinds


class Start(BaseModel):
    """What every candidate begins with in place of random weights: `{grow: base}`, or `overlap` and a run's folder.

    With `base`, each begins with the reference of its own base, which is trained first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grow: str | None = None  # laid out so that a candidate computes what the run's detector does
    overlap: str | None = None  # by the names of layers, as far as shapes overlap

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.grow is None) == (self.overlap is None):
            raise ValueError("say either grow or overlap, each with a run's folder or base, such as {grow: base}")
        return self

    @property
    def how(self) -> How:
        return "overlap" if self.grow is None else "grow"

    @property
    def source(self) -> str:
        """A run's folder, or `THEIR_BASE`."""
        return self.grow or self.overlap or ""


def bounds(given: Any) -> Any:
    """Bounds as a mapping, from `{params: 2e6}`, `latency_ms <= 8` or a list of such texts.

    Raises:
        ValueError: a text is no bound, or a quantity is bounded twice.
    """
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, Sequence):
        return given
    found: dict[str, float] = {}
    for text in given:
        name, bound = _bound(text)
        if found.setdefault(name, bound) != bound:
            raise ValueError(f"{name} is bounded twice, by {found[name]:g} and by {bound:g}; keep one")
    return found


def check_bounds(constraints: Mapping[str, float]) -> None:
    """Hold bounds against what can be known before a training.

    Raises:
        ValueError: a quantity is unknown or known too late, or a bound is not above zero.
    """
    check_known("constraint", constraints)
    for name, bound in constraints.items():
        if QUANTITIES[name].trained:
            raise ValueError(f"{name} is known only after training; bounds are for {_untrained()}")
        if not bound > 0:
            raise ValueError(f"{name}: an upper bound must be above zero, not {bound:g}")


def check_by_head(overrides: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold settings of the recipe by kind of head against what a space's could be.

    Raises:
        ValueError: no head is called so, a recipe has no such setting, it is for all alike, or cannot have the value.
    """
    for word, settings in overrides.items():
        if word not in HEADS:
            raise ValueError(f"no head is called {word!r}; {nearest(word, HEADS)}")
        for name, value in flat(settings, RECIPE).items():
            if why := refusal(canonical(name), value):
                raise ValueError(f"{word}: {why}")


def flat(document: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """A nested mapping as one whose keys are places, joined by dots, all beginning with `place`."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        found |= flat(value, f"{place}{key}.") if isinstance(value, Mapping) and value else {f"{place}{key}": value}
    return found


def check_known(kind: str, names: Mapping[str, Any]) -> None:
    """Raise a ValueError for a name that is no quantity, with the nearest that is."""
    for name in names:
        if name not in QUANTITIES:
            raise ValueError(f"no {kind} is called {name!r}; {nearest(str(name), QUANTITIES)}")


def _bound(text: Any) -> tuple[str, float]:
    match = _BOUND.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no bound; write one as latency_ms <= 8")
    name, relation, number = match.groups()
    check_known("constraint", {name: None})
    try:
        bound = float(number)
    except ValueError:
        raise ValueError(f"{text!r}: {number!r} is no number") from None
    if QUANTITIES[name].trained:
        raise ValueError(
            f"{text!r}: {name} is known only after training, when nothing is saved any more; make it an objective, and "
            f"choose by search train --select; bounds are for {_untrained()}"
        )
    if relation != "<=":
        raise ValueError(f"{text!r}: bounds are upper ones; write {name} <= {number}")
    return name, bound


def _untrained() -> str:
    return ", ".join(name for name, quantity in QUANTITIES.items() if not quantity.trained)
