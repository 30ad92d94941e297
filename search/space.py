"""The space of a study: each parameter names the scaling that it drives, and says which values it may take."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice, product
from math import floor, prod
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, RootModel, field_validator, model_validator

from ..blocks.errors import nearest
from ..blocks.vocabulary import TRANSITIONS
from ..scaler.dark_blocks import DARK_ORDERS
from ..scaler.plans import is_plan
from ..scaler.reparam import FORMS

Value = int | float | str

ORDER = (  # in which scalings apply
    "depth", "compound", "transition", "extend", "dark", "rep", "activation", "width", "resolution",
)  # fmt: skip
ALIASES = {"size_px": "resolution"}
BASE = "base"  # the parameter that chooses among several bases

FACTORS = ("width", "depth", "compound")
WHOLE = ("extend", "resolution")
WORDS = {
    "transition": tuple(TRANSITIONS),
    "dark": DARK_ORDERS,
    "rep": tuple(FORMS),  # or one of them at positions: planned@backbone
    "activation": ("silu", "leaky_relu"),
}
STEPPED = ("depth", "compound", "resolution")  # in between, almost every value is one that no detector can take


class Parameter(BaseModel):
    """Either `choices: [...]` or `low`, `high` and, where values between are not wanted, `step`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choices: tuple[Any, ...] | None = None
    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        ends = (self.low, self.high)
        if self.choices is not None:
            if (*ends, self.step) != (None, None, None):
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
            name = ALIASES.get(given, given)
            if name not in ORDER:
                raise ValueError(f"{given}: no scaling is called {given!r}; {nearest(given, (*ORDER, *ALIASES))}")
            if name in found:
                raise ValueError(f"{given}: the same scaling stands twice; keep one of size_px and resolution")
            found[name] = _checked(given, name, parameter)
        return {name: found[name] for name in ORDER if name in found}

    @property
    def size(self) -> int | None:
        """How many combinations of values there are; None where there is a continuum."""
        values = [parameter.values for parameter in self.parameters.values()]
        return None if None in values else prod(len(some) for some in values if some)

    def combinations(self, at_most: int | None = None) -> Iterator[dict[str, Value]]:
        """Every combination of a finite space, the last parameter changing fastest."""
        values = [parameter.values or () for parameter in self.parameters.values()]
        for combination in islice(product(*values), at_most):
            yield dict(zip(self.parameters, combination, strict=True))

    def distributions(self) -> dict[str, Any]:
        """The same as Optuna's distributions."""
        return {name: _distribution(name, parameter) for name, parameter in self.parameters.items()}

    def scalings(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The scalings that a combination of values means, in the order in which they are applied."""
        return {name: values[name] for name in ORDER if name in values}


def _distribution(name: str, parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.choices is not None:
        return CategoricalDistribution(parameter.choices)
    assert parameter.low is not None
    assert parameter.high is not None
    last = (parameter.values or (parameter.high,))[-1]  # Optuna wants the top to be a whole number of steps away
    if name in WHOLE:
        return IntDistribution(int(parameter.low), int(last), step=int(parameter.step or 1))
    step = None if parameter.step is None else float(parameter.step)
    return FloatDistribution(float(parameter.low), float(last), step=step)


def _checked(given: str, name: str, parameter: Parameter) -> Parameter:
    """Refuse values that no detector can take, and give whole numbers as such."""
    allowed: Callable[[Any], bool] = _RULES.get(name, lambda value: value in WORDS[name])
    ends = [value for value in (parameter.low, parameter.high) if value is not None]
    values = parameter.choices if parameter.choices is not None else parameter.values or ends
    if name in WORDS and parameter.choices is None:
        raise ValueError(f"{given}: is a word: give choices, of {', '.join(WORDS[name])}")
    for value in values:
        if not allowed(value):
            raise ValueError(f"{given}: {value!r} is not {_MEANING[name]}")
    if name in STEPPED and parameter.values is None:
        example = 32 if name == "resolution" else 0.5
        raise ValueError(f"{given}: most values between low and high cannot be built; say step:, such as {example}")
    if name == "extend" and parameter.choices is None and parameter.step is None:
        return parameter.model_copy(update={"step": 1})
    return parameter


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_RULES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(FACTORS, lambda value: _number(value) and 0 < value < 1000),
    **dict.fromkeys(WHOLE, lambda value: _number(value) and value >= 1 and value == int(value)),
    "rep": is_plan,
}
_MEANING = {
    **dict.fromkeys(FACTORS, "a factor above 0"),
    "extend": "a whole number of groups from 1",
    "resolution": "a whole number of pixels",
    **{name: f"one of {', '.join(words)}" for name, words in WORDS.items()},
    "rep": f"one of {', '.join(FORMS)}, or one of them at positions, as in planned@backbone",
}
