"""What one architecture has otherwise than another, node by node. Nodes are matched by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .facts import Fact, Part, Value

Status = Literal["same", "changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One fact before and after; None where there was none. `follows`: from other changes (see `facts.Fact`)."""

    label: str
    before: Value
    after: Value
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one part. Of one that was added or removed, no changes are listed."""

    name: str
    status: Status
    changes: tuple[Change, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data; changes that follow from others stand apart."""
        return {"name": self.name, "status": self.status, **changes_to_json(self.changes)}


def changes_to_json(changes: Sequence[Change]) -> dict[str, Any]:
    """Plain data: before and after by label, and apart from them those that follow from others."""
    written, following = (
        {change.label: [change.before, change.after] for change in changes if change.follows is follows}
        for follows in (False, True)
    )
    return {"changes": written, "follows": following}


def differences(before: Sequence[Part], after: Sequence[Part]) -> dict[str, Difference]:
    """Every part of either, by name: those of `after` in order, each removed one behind what it stood behind."""
    old, new = ({part.name: part for part in parts} for parts in (before, after))
    found = {name: _difference(old.get(name), part) for name, part in new.items()}
    return {name: found.get(name) or Difference(name, "removed") for name in merged_order(list(old), list(new))}


def merged_order(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """`after`, with what only `before` has put in behind what it stood behind there."""
    order = list(after)
    for index, name in enumerate(before):
        if name not in order:
            order.insert(order.index(before[index - 1]) + 1 if index else 0, name)
    return order


def changes(before: Sequence[Fact], after: Sequence[Fact]) -> tuple[Change, ...]:
    """The facts that differ."""
    old, new = ({fact.label: fact for fact in facts} for facts in (before, after))
    found: list[Change] = []
    for label in merged_order(list(old), list(new)):
        values = (facts[label].value if label in facts else None for facts in (old, new))
        found.append(Change(label, *values, follows=(new.get(label) or old[label]).follows))
    return tuple(change for change in found if change.before != change.after)


def _difference(before: Part | None, after: Part) -> Difference:
    if before is None:
        return Difference(after.name, "added")
    found = changes(_all_facts(before), _all_facts(after))
    return Difference(after.name, "changed" if found else "same", found)


def _all_facts(part: Part) -> tuple[Fact, ...]:
    """With what a drawing says in other ways: by the output's shape, by the place, and by arrows."""
    own = (part.word, *part.facts)
    written = any(fact.label == "out" for fact in own)
    channels = () if written else (Fact("out", part.shape.channels, follows=True),)
    place = Fact("at stride", part.group, follows=True)
    return (*own, *channels, place, Fact("from", ", ".join(part.reads)))
