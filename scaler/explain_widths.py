"""What a width factor made of every width, and another kind of head of the head's: before, factor, after. No torch."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..blocks.heads import HEAD_WORDS
from ..blocks.roles import Role, fields_with
from ..blocks.vocabulary import WORDS
from .architecture import DETECT, Architecture
from .block_scaling import DIVISOR
from .factors import factors_of_nodes
from .scaling import Step

WIDENING = ("width", "head")  # the scalings that are explained so


@dataclass(frozen=True, slots=True)
class Width:
    """One width of a node, or of the head, whose place is `detect`."""

    place: str
    kind: str  # the block's, or the head's, word in an architecture file
    field: str
    before: int | None  # None: the head before had no such width
    exact: float | None  # before rounding; None where no factor was applied
    after: int


@dataclass(frozen=True, slots=True)
class Widths:
    """One width or head scaling, explained."""

    scaling: str
    value: Any
    divisor: int
    head: str  # the kind of head that came of it
    head_is_wide: bool  # whether that kind has a width of its own, or is as wide as what it reads
    widths: tuple[Width, ...]  # that it applied to

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "scaling": self.scaling,
            "value": self.value,
            "head": self.head,
            "widths": [asdict(width) for width in self.widths],
        }


def explain_widths(step: Step) -> Widths:
    """Explain a step of `scaling.steps` that is one of `WIDENING`."""
    widths = tuple(_scaled(step) if step.scaling == "width" else _of_head(step))
    head = type(step.after.head)
    return Widths(
        step.scaling,
        step.value,
        step.settings.get("divisor", DIVISOR),
        HEAD_WORDS[head],
        bool(fields_with(head, Role.INSIDE, Role.OUTSIDE)),
        widths,
    )


def _scaled(step: Step) -> Iterator[Width]:
    factors = factors_of_nodes("width", step.before, step.value)
    old, new = _things(step.before), _things(step.after)
    for place, (word, thing) in old.items():
        factor = factors.get(place, 1)
        for field in fields_with(type(thing), Role.INSIDE, Role.OUTSIDE):
            before = getattr(thing, field)
            if before is not None and factor != 1:
                yield Width(place, word, field, before, float(before * factor), getattr(new[place][1], field))


def _of_head(step: Step) -> Iterator[Width]:
    head, old = step.after.head, step.before.head
    for field in fields_with(type(head), Role.INSIDE, Role.OUTSIDE):
        before = getattr(old, field) if type(old) is type(head) else None
        yield Width(DETECT, HEAD_WORDS[type(head)], field, before, None, getattr(head, field))


def _things(architecture: Architecture) -> dict[str, tuple[str, Any]]:
    """Blocks by node, and the head, each with its word."""
    found: dict[str, tuple[str, Any]] = {
        node.name: (WORDS[type(node.block)], node.block) for node in architecture.nodes
    }
    return {**found, DETECT: (HEAD_WORDS[type(architecture.head)], architecture.head)}
