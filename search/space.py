"""The space of a study: each parameter names the scaling that it drives, and says which values it may take."""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from math import exp, floor, log, prod
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, RootModel, field_validator, model_validator

from .parameters import (
    BASE,
    EXAMPLES,
    RECIPE,
    SETTING_OF,
    STEPPED,
    canonical,
    is_whole,
    place,
    refusal,
    takes_words,
    words,
)  # fmt: skip

__all__ = ["BASE", "Parameter", "Space", "Value", "combinations", "drawn"]

Value = int | float | str


class Parameter(BaseModel):
    """Either `choices: [...]`, or `low` and `high` with a `step` where values between are not wanted, or `log`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choices: tuple[Any, ...] | None = None
    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    log: bool = False  # drawn evenly on a logarithmic scale

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.choices is not None:
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ValueError("give either choices, or low and high")
            if not self.choices:
                raise ValueError("choices is empty; name at least one value")
            twice = next((value for value in self.choices if self.choices.count(value) > 1), None)
            if twice is not None:
                raise ValueError(f"choices names {twice!r} twice")
        elif self.low is None or self.high is None:
            raise ValueError("give choices: [...], or low: and high:")
        elif self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}; exchange them")
        elif self.step is not None and self.step <= 0:
            raise ValueError(f"step {self.step} is not above zero")
        elif self.log and (self.step is not None or self.low <= 0):
            raise ValueError("log: goes with a low above zero, and without step")
        return self

    @property
    def values(self) -> tuple[Value, ...] | None:
        """Every value it may take; None where there is a continuum."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None
        assert self.high is not None
        if self.low == self.high:
            return (self.low,)
        if self.step is None:
            return None
        steps = floor((self.high - self.low) / self.step + 1e-9)
        return tuple(round(self.low + i * self.step, 9) for i in range(steps + 1))

    @property
    def ranked(self) -> tuple[Value, ...] | None:
        """Choices that are numbers, in ascending order; None of words, and of ranges, whose order is known anyway."""
        numbers = all(isinstance(it, int | float) and not isinstance(it, bool) for it in self.choices or ())
        return tuple(sorted(self.choices)) if self.choices and numbers else None


class Space(RootModel[dict[str, Parameter]]):
    """Parameters by the name of their scaling, in the order in which the scalings are applied."""

    model_config = ConfigDict(frozen=True)

    @property
    def parameters(self) -> dict[str, Parameter]:
        return self.root

    @field_validator("root")
    @classmethod
    def _ordered(cls, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {}
        for given, parameter in parameters.items():
            name = canonical(given)
            if name in found:
                raise ValueError(f"{given}: the same scaling stands twice, as {name} too; keep one")
            found[name] = _checked(given, name, parameter)
        for name in found:
            head, dot, _ = name.partition(".")
            if dot and head in found:
                raise ValueError(f"{name}: the space has {head} of the whole too; give the whole, or its parts")
            owner = SETTING_OF.get(head)
            if owner and owner not in {other.partition(".")[0] for other in found}:
                raise ValueError(f"{name}: is a setting of {owner}; the space must have {owner} too")
        return {name: found[name] for name in sorted(found, key=place)}

    @property
    def of_detector(self) -> dict[str, Parameter]:
        """The parameters that scale the detector."""
        return {name: parameter for name, parameter in self.root.items() if not name.startswith(RECIPE)}

    @property
    def of_recipe(self) -> dict[str, Parameter]:
        """The parameters of the training: `recipe.lr0` and so on."""
        return {name: parameter for name, parameter in self.root.items() if name.startswith(RECIPE)}

    @property
    def size(self) -> int | None:
        """How many combinations of values there are; None where there is a continuum."""
        return _size(self.root)

    @property
    def detectors(self) -> int | None:
        """How many combinations of scalings there are; None where there is a continuum."""
        return _size(self.of_detector)

    def combinations(self, at_most: int | None = None) -> Iterator[dict[str, Value]]:
        """Every combination of a finite space, the last parameter changing fastest."""
        return islice(combinations(self.root), at_most)

    def distributions(self) -> dict[str, Any]:
        """The same as Optuna's distributions."""
        return {name: _distribution(name, parameter) for name, parameter in self.parameters.items()}

    def scalings(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """The scalings that a combination of values means, in the order in which they are applied.

        Where the number of levels varies, the size comes first: it must fit the stride of the levels that are added.
        """
        found: dict[str, Any] = {}
        names = [name for name in self.of_detector if name in values]
        if "stages" in names and "resolution" in names:
            names = ["resolution", *(name for name in names if name != "resolution")]
        for name in names:
            head, dot, part = name.partition(".")
            if dot:
                found.setdefault(head, {})[part] = values[name]
            else:
                found[head] = values[name]
        return found


def combinations(parameters: Mapping[str, Parameter]) -> Iterator[dict[str, Value]]:
    """Every combination of the values of finite parameters, the last one changing fastest."""
    for combination in product(*(parameter.values or () for parameter in parameters.values())):
        yield dict(zip(parameters, combination, strict=True))


def drawn(parameter: Parameter, rng: np.random.Generator) -> Value:
    """A value at random, all equally likely; of a continuum evenly, also on a logarithmic scale."""
    if parameter.values is not None:
        return parameter.values[int(rng.integers(len(parameter.values)))]
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.log:
        value = float(exp(rng.uniform(log(parameter.low), log(parameter.high))))
        return min(max(value, parameter.low), parameter.high)
    return float(rng.uniform(parameter.low, parameter.high))


def _size(parameters: Mapping[str, Parameter]) -> int | None:
    values = [parameter.values for parameter in parameters.values()]
    return None if None in values else prod(len(some) for some in values if some)


def _distribution(name: str, parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.choices is not None:
        return CategoricalDistribution(parameter.choices)
    assert parameter.low is not None
    assert parameter.high is not None
    last = (parameter.values or (parameter.high,))[-1]  # Optuna wants the top to be a whole number of steps away
    if is_whole(name):
        return IntDistribution(int(parameter.low), int(last), step=int(parameter.step or 1), log=parameter.log)
    step = None if parameter.step is None else float(parameter.step)
    return FloatDistribution(float(parameter.low), float(last), step=step, log=parameter.log)


def _checked(given: str, name: str, parameter: Parameter) -> Parameter:
    """Refuse values that no detector or recipe can take, and give whole numbers as such."""
    ends = [value for value in (parameter.low, parameter.high) if value is not None]
    values = parameter.choices if parameter.choices is not None else parameter.values or ends
    if takes_words(name) and parameter.choices is None:
        raise ValueError(f"{given}: is a word: give choices, of {', '.join(map(str, words(name)))}")
    for value in values:
        if why := refusal(name, value):
            raise ValueError(f"{given}: {why}")
    head = name.partition(".")[0]
    if head in STEPPED and parameter.values is None:
        raise ValueError(f"{given}: most values between low and high cannot be built; say step:, such as "
                         f"{EXAMPLES[head]}")  # fmt: skip
    if is_whole(name) and parameter.choices is None and parameter.step is None and not parameter.log:
        return parameter.model_copy(update={"step": 1})
    return parameter
