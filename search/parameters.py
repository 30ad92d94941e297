"""What a parameter of a space may be called, and which values each may take. No torch."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import ValidationError

from ..blocks.elan import Form
from ..blocks.errors import nearest
from ..blocks.heads import HEADS
from ..blocks.vocabulary import TRANSITIONS
from ..scaler.aux_heads import AUX
from ..scaler.dark_blocks import DARK_ORDERS
from ..scaler.plans import is_plan
from ..scaler.reparam import FORMS
from ..trainer.data.settings import Augment
from ..trainer.recipe import Recipe, load_recipe

ORDER = (  # in which scalings apply
    "stages", "depth", "compound", "transition", "extend", "aux", "head", "dark", "rep", "activation", "implicit",
    "width", "resolution",
)  # fmt: skip
SETTING_OF = {"exponent": "compound", "form": "extend"}  # settings, each of a scaling that the space then has too
PARTED = ("depth", "compound", "dark", "width")  # scalings that may be of parts: compound.backbone, depth.neck.p3
RECIPE = "recipe."  # how parameters of the training begin: recipe.lr0, recipe.augment.mixup
ALIASES = {
    "size_px": "resolution", "size": "resolution", "compound_depth": "compound", "transition_exponent": "exponent",
}  # fmt: skip
BASE = "base"  # the parameter that chooses among several bases

FACTORS = ("width", "depth", "compound")
WHOLE = ("extend", "resolution", "stages")
STEPPED = ("depth", "compound", "resolution", "stages")  # in between, almost every value cannot be built
WORDS: dict[str, tuple[Any, ...]] = {
    "transition": tuple(TRANSITIONS),
    "dark": DARK_ORDERS,
    "rep": tuple(FORMS),  # or one of them at positions: planned@backbone
    "activation": ("silu", "leaky_relu"),
    "aux": AUX,
    "head": tuple(HEADS),
    "form": get_args(Form),
    "implicit": (True, False),
}
EXAMPLES = {"depth": 0.5, "compound": 0.5, "resolution": 32, "stages": 1}  # of a step

FIXED = {  # recipe's fields that no space may have, and why
    "epochs": "say epochs or fidelity instead",
    "conf": "all candidates are evaluated alike", "iou": "all candidates are evaluated alike",
    "max_det": "all candidates are evaluated alike",
    "anchors": "all candidates of a base share its anchors",
}  # fmt: skip


def canonical(given: str) -> str:
    """A parameter's name, where it may have another: `compound_depth.neck` is `compound.neck`.

    Raises:
        ValueError: no parameter is called so; the nearest that is, is named.
    """
    if given.startswith(RECIPE):
        return _of_recipe(given)
    head, dot, part = given.partition(".")
    name = ALIASES.get(head, head)
    if name not in (*ORDER, *SETTING_OF):
        known = nearest(head, (*ORDER, *SETTING_OF, *ALIASES, "recipe.lr0"))
        raise ValueError(f"{given}: no scaling is called {head!r}; {known}")
    if dot and name not in PARTED:
        raise ValueError(f"{given}: {name} is of the whole; of parts may be {', '.join(PARTED)}")
    if dot and not part:
        raise ValueError(f"{given}: names no part after the dot, such as {name}.backbone")
    return f"{name}{dot}{part}"


def place(name: str) -> tuple[int, int, str]:
    """Sorts parameters as their scalings apply: settings behind their scaling, the recipe's fields at the end."""
    head, _, part = name.partition(".")
    if name.startswith(RECIPE):
        return len(ORDER), 0, ""
    return ORDER.index(SETTING_OF.get(head, head)), int(head in SETTING_OF), part


def is_whole(name: str) -> bool:
    """Whether its values are whole numbers."""
    if name.startswith(RECIPE):
        return _field_type(name) is int
    return name in WHOLE


def refusal(name: str, value: Any) -> str:
    """Why a parameter cannot have a value; empty where it can."""
    if name.startswith(RECIPE):
        return _refused_by_recipe(name.removeprefix(RECIPE), value)
    head = name.partition(".")[0]
    allowed = _RULES.get(head, lambda value: any(value is word or value == word for word in WORDS[head]))
    return "" if allowed(value) else f"{value!r} is not {_MEANING[head]}"


def takes_words(name: str) -> bool:
    """Whether its values are words, which have no order."""
    head = name.partition(".")[0]
    return head in WORDS or (name.startswith(RECIPE) and _field_type(name) not in (int, float))


def words(name: str) -> tuple[Any, ...]:
    """The words that it may have."""
    head = name.partition(".")[0]
    return WORDS.get(head) or get_args(_field_type(name)) or (True, False)


def recipe_changes(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a combination of values that is of the training, as changes of a recipe."""
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name.startswith(RECIPE):
            field, _, inner = name.removeprefix(RECIPE).partition(".")
            if inner:
                changes.setdefault(field, {})[inner] = value
            else:
                changes[field] = value
    return changes


def recipe_names() -> tuple[str, ...]:
    """The parameters that are of the training."""
    single = [field for field in Recipe.model_fields if field not in (*FIXED, "augment")]
    return tuple(f"{RECIPE}{name}" for name in (*single, *(f"augment.{name}" for name in Augment.model_fields)))


def _of_recipe(given: str) -> str:
    field = given.removeprefix(RECIPE)
    if field in FIXED:
        raise ValueError(f"{given}: {field} is no parameter; {FIXED[field]}")
    if given not in recipe_names():
        hint = nearest(field, [name.removeprefix(RECIPE) for name in recipe_names()])
        raise ValueError(f"{given}: a recipe has no field {field!r}; {hint}")
    return given


def _field_type(name: str) -> Any:
    field, _, inner = name.removeprefix(RECIPE).partition(".")
    return Augment.model_fields[inner].annotation if inner else Recipe.model_fields[field].annotation


def _refused_by_recipe(field: str, value: Any) -> str:
    name, _, inner = field.partition(".")
    document = _some_recipe()
    document = {**document, name: {**document[name], inner: value} if inner else value}
    if isinstance(value, bool) and _field_type(field) is not bool:
        return f"{value!r} is not a value of a recipe's {field}"
    try:
        Recipe.model_validate(document)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        return f"{value!r} is not a value of a recipe's {field}: {message[0].lower()}{message[1:]}"
    return ""


@cache
def _some_recipe() -> dict[str, Any]:
    return load_recipe("quick").model_dump()


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _levels(value: Any) -> bool:
    return isinstance(value, str) or (_number(value) and value >= 1 and value == int(value))


_RULES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(FACTORS, lambda value: _number(value) and 0 < value < 1000),
    **dict.fromkeys(WHOLE, lambda value: _number(value) and value >= 1 and value == int(value)),
    "stages": _levels,
    "exponent": lambda value: _number(value) and 0 <= value <= 4,
    "rep": is_plan,
    "implicit": lambda value: isinstance(value, bool),
}
_MEANING = {
    **dict.fromkeys(FACTORS, "a factor above 0"),
    "extend": "a whole number of groups from 1",
    "resolution": "a whole number of pixels",
    "stages": "a number of levels, or a span of them, as in p4-p6",
    "exponent": "a number from 0 to 4",
    **{name: f"one of {', '.join(map(str, words))}" for name, words in WORDS.items()},
    "rep": f"one of {', '.join(FORMS)}, or one of them at positions, as in planned@backbone",
}
