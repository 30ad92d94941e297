"""What a number in a block means to a scaling. A field's type says it, so that a scaling needs no list of blocks."""

from dataclasses import fields
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Protocol, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field

from .graph import Feature, Lowering


class Role(Enum):
    """How a scaling may change a field."""

    INSIDE = "width inside a computational block: kept by compound scaling"
    OUTSIDE = "width outside computational blocks: scaled with the concatenation that feeds it"
    DEPTH = "how many stages a computational block has, each of them joined by its concatenation: scaled exactly"
    REPEATS = "how many blocks stand in a chain, of which the end alone is joined: scaled and rounded"


Count = Annotated[int, Field(ge=1, strict=True)]
InsideWidth = Annotated[Count, Role.INSIDE]
OutsideWidth = Annotated[Count, Role.OUTSIDE]
Depth = Annotated[Count, Role.DEPTH]
Repeats = Annotated[Count, Role.REPEATS]

CLOSED = ConfigDict(extra="forbid")  # how a block is read from YAML: an unknown key is a mistake


class Block(Protocol):
    """A composite block: frozen data, and one method that lowers it to primitive layers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    arity: ClassVar[int | None]  # inputs; None: two or more

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        """Write the block's layers; give the feature that it passes on."""
        ...


@cache
def fields_with(kind: type[Any], *roles: Role) -> tuple[str, ...]:
    """Names of the fields of a block, or of a head, that have one of the roles."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(f.name for f in fields(kind) if any(role in _roles(hints[f.name]) for role in roles))


def _roles(hint: Any) -> set[Any]:
    if get_origin(hint) in (Union, UnionType):
        return {role for option in get_args(hint) for role in _roles(option)}
    return {role for role in getattr(hint, "__metadata__", ()) if isinstance(role, Role)}
