"""What a drawing of an architecture shows: boxes with their lines of text, in groups, and arrows. No layout here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..blocks.errors import InputError, nearest
from ..blocks.measures import Cost
from .architecture import Architecture
from .differences import Change, Difference, Status, changes, changes_to_json, differences, merged_order
from .facts import Fact, Kind, Part, Value, layer_parts, node_parts, overview

LONG = 36  # characters of a phrase that is broken itself
LINE = 30  # characters: a longer line is broken between its phrases
BETWEEN = " · "


@dataclass(frozen=True, slots=True)
class Phrase:
    """A run of words that says one fact."""

    text: str
    changed: bool = False  # by what the drawing compares with


@dataclass(frozen=True, slots=True)
class Line:
    """Phrases side by side. `small`: what is read last."""

    phrases: tuple[Phrase, ...]
    small: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the detector: its name, and what is worth saying of it."""

    name: str
    title: str
    kind: Kind
    lines: tuple[Line, ...]
    status: Status | None = None  # None: nothing is compared
    training_only: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Boxes drawn together: those of one stride, or the layers of one node."""

    name: str
    title: str
    boxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrow:
    """What `source` passes on to `target`, both names of boxes."""

    source: str
    target: str
    training_only: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that a layout needs, and the differences that it marks, where two architectures are compared.

    `columns`: each group is a column of its own, side by side; else boxes flow downwards, through and past the groups.
    """

    title: str
    summary: Line
    groups: tuple[Group, ...]
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    columns: bool
    whole: tuple[Change, ...] = ()
    differences: tuple[Difference, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data: what is drawn, and the parts that are not the same, where two architectures are compared."""
        drawn = {"title": self.title, "boxes": [box.name for box in self.boxes]}
        if self.differences is None:
            return drawn
        parts = [difference.to_json() for difference in self.differences if difference.status != "same"]
        return {**drawn, "whole": changes_to_json(self.whole), "differences": parts}


def draw(architecture: Architecture, other: Architecture | None = None, node: str | None = None) -> Drawing:
    """The whole detector, a box for each node in the column of its stride; with `node`, the layers inside of nodes.

    Args:
        architecture: what is drawn.
        other: what it is compared with: drawn instead, with all that it has otherwise marked, and what it lacks.
        node: a node's name, or a pattern with * and ?.

    Raises:
        InputError: no node matches.
    """
    newest = other or architecture
    old, new = (_parts(each, node, (architecture, newest)) for each in (architecture, newest))
    known = {part.name: part for part in (*old, *new)}
    parts = [known[name] for name in merged_order([part.name for part in old], [part.name for part in new])]
    found = differences(old, new)
    whole = changes(overview(architecture), overview(newest))
    total = newest.cost().total

    def box(part: Part) -> Box:
        status = found[part.name].status if other else None
        lines = list(_lines(part, found[part.name], known))
        if status != "removed":  # it is no share of what is drawn
            lines += _cost_lines(part, None if node else total)
        title = part.name.removeprefix(f"{part.group}.")
        return Box(part.name, title, part.kind, tuple(lines), status, part.training_only)

    return Drawing(
        title=(f"{architecture.name} → {other.name}" if other else architecture.name)
        + (f": inside {node}" if node else ""),
        summary=_summary(overview(newest), whole, inside=node is not None),
        groups=tuple(_nodes(parts, newest, architecture) if node else _strides(parts)),
        boxes=tuple(map(box, parts)),
        arrows=tuple(_arrows(parts, known)),
        columns=node is None,
        whole=whole,
        differences=tuple(found.values()) if other else None,
    )


def _parts(architecture: Architecture, node: str | None, drawn: Sequence[Architecture]) -> tuple[Part, ...]:
    if node is None:
        return node_parts(architecture)
    names = [entry.name for entry in architecture.nodes]
    everywhere = {entry.name for each in drawn for entry in each.nodes}
    if not any(fnmatchcase(name, node) for name in everywhere):
        raise InputError(f"{drawn[0].name}: no node matches {node!r}; {nearest(node, everywhere)}")
    return layer_parts(architecture, [name for name in names if fnmatchcase(name, node)])


def _strides(parts: Sequence[Part]) -> Iterator[Group]:
    """A group for each stride, finest first."""
    for stride in sorted({int(part.group) for part in parts}):
        level = f"P{stride.bit_length() - 1}{BETWEEN}" if stride.bit_count() == 1 else ""
        names = tuple(part.name for part in parts if part.group == str(stride))
        yield Group(f"stride{stride}", f"{level}stride {stride} px", names)


def _nodes(parts: Sequence[Part], *architectures: Architecture) -> Iterator[Group]:
    """A group for each node that is seen from inside."""
    described = {part.name: part for each in reversed(architectures) for part in node_parts(each)}
    for name in dict.fromkeys(part.group for part in parts if part.group):
        title = BETWEEN.join([name, *(phrase.text for phrase in _written(described[name], {}))])
        yield Group(name, title, tuple(part.name for part in parts if part.group == name))


def _arrows(parts: Sequence[Part], known: Mapping[str, Part]) -> Iterator[Arrow]:
    """An arrow for each input that is drawn; to a layer inside a node, from the node."""
    for part in parts:
        for reference in dict.fromkeys(part.reads):
            if source := next((name for name in _outwards(reference) if name in known), None):
                yield Arrow(source, part.name, part.training_only)


def _outwards(reference: str) -> Iterator[str]:
    """A place, and those that it lies in, innermost first."""
    while reference:
        yield reference
        reference = reference.rpartition(".")[0]


def _lines(part: Part, difference: Difference, known: Mapping[str, Part]) -> Iterator[Line]:
    """What is written down of a part, then what follows from it, then its shape."""
    found = {change.label: change for change in difference.changes}
    if difference.status in ("added", "removed"):
        yield Line((Phrase(difference.status, changed=True),))
    written, following = _written(part, found), _following(part, found, known)
    for phrases in ([*written, *following],) if part.kind is Kind.BLOCK else (written, following):
        yield from _wrapped(phrases)
    yield Line((Phrase(str(part.shape).replace("x", "×")),))


def _written(part: Part, found: Mapping[str, Change]) -> list[Phrase]:
    """The block's word and its fields, but the width of its output."""
    shown = [fact for fact in part.facts if not fact.follows and fact.label != "out"]
    word = found.get(part.word.label)
    first = Phrase(f"{word.before} → {word.after}", changed=True) if word else Phrase(str(part.word.value))
    return [first, *_phrases(shown, found)]


def _following(part: Part, found: Mapping[str, Change], known: Mapping[str, Part]) -> list[Phrase]:
    """What is concatenated, or comes in and goes out and their ratio; and where inputs are not as arrows say."""
    facts = [fact for fact in part.facts if fact.follows]
    if part.kind is not Kind.BLOCK or "out" in found:  # of a block that keeps it, the shape says enough
        facts[1:1] = [fact for fact in part.facts if fact.label == "out"]
    shown = {fact.label for fact in (part.word, *part.facts)}
    others = [_changed(change) for label, change in found.items() if label not in shown]
    within = () if "from" in found else (name for name in part.reads if name not in known)
    owned = ((name, owner) for name in within for owner in _outwards(name) if owner in known)
    return [
        *_phrases(facts, found),
        *others,
        *(Phrase(f"from {name.removeprefix(f'{owner}.')}") for name, owner in owned),
    ]


def _cost_lines(part: Part, total: Cost | None) -> Iterator[Line]:
    """Parameters and MACs: shares of the total where there is one. The deploy graph has none for training only."""
    cost = part.cost
    if part.training_only:
        yield Line((Phrase("training only"),), small=True)
    elif not cost.params:
        return
    elif total is None:
        yield Line((Phrase(f"{cost.params:,} params"), Phrase(f"{cost.macs / 1e6:,.1f} M MACs")), small=True)
    else:
        shares = (f"params {cost.params / total.params:.1%}", f"MACs {cost.macs / total.macs:.1%}")
        yield Line(tuple(map(Phrase, shares)), small=True)


def _summary(facts: Sequence[Fact], found: Sequence[Change], *, inside: bool) -> Line:
    """Facts of the whole; inside of nodes those alone that bear on a layer."""
    shown = [fact for fact in facts if fact.label in ("size", "activation") or not inside]
    return Line(tuple(_phrases(shown, {change.label: change for change in found})))


def _phrases(facts: Sequence[Fact], found: Mapping[str, Change]) -> list[Phrase]:
    """One phrase for each fact that does not go without saying."""
    phrases: list[Phrase] = []
    for fact in facts:
        if fact.label in found:
            phrases.append(_changed(found[fact.label]))
        elif fact.value is True or fact.value is False:
            phrases += [] if fact.usual else [Phrase(fact.label if fact.value else f"no {fact.label}")]
        elif not fact.usual:
            phrases.append(Phrase(f"{fact.label} {worded(fact.label, fact.value)}"))
    return phrases


def _changed(change: Change) -> Phrase:
    before, after = (worded(change.label, value) for value in (change.before, change.after))
    return Phrase(f"{change.label} {before} → {after}", changed=True)


def worded(label: str, value: Value) -> str:
    """A fact's value for a person: what is not there as a dash, large counts in millions or billions."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int() if label == "params":
            return f"{value / 1e6:.2f} M"
        case int() if value >= 10**8:
            return f"{value / 1e9:.2f} G"
        case int() if value >= 10**5:
            return f"{value / 1e6:.2f} M"
        case _:
            return str(value)


def _wrapped(phrases: Sequence[Phrase]) -> Iterator[Line]:
    """Lines no longer than `LINE`, broken between phrases, and at the arrow of a phrase that is longer itself."""
    line: list[Phrase] = []
    for phrase in phrases:
        if line and len(BETWEEN.join(each.text for each in (*line, phrase))) > LINE:
            yield Line(tuple(line))
            line = []
        if len(phrase.text) > LONG and " → " in phrase.text:
            before, after = phrase.text.split(" → ")
            yield Line((Phrase(f"{before} →", phrase.changed),))
            phrase = Phrase(after, phrase.changed)
        line.append(phrase)
    if line:
        yield Line(tuple(line))
