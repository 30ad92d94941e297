"""What is worth saying of each node of an architecture, and of each layer inside one: for drawings and differences.

Which kind of node it is follows from the roles of its block's fields and from its layers, not from a list of blocks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from fractions import Fraction
from typing import Any

from ..blocks.graph import Feature, Graph, Layer
from ..blocks.heads import HEAD_WORDS, Head
from ..blocks.levels import Level, Predict
from ..blocks.measures import Cost, Shape, total
from ..blocks.ops import Add, Concat, MaxPool, Op, RepConv, Upsample
from ..blocks.roles import Block, Role, fields_with
from ..blocks.stems import StemBlock
from ..blocks.vocabulary import WORDS, Transition
from .architecture import IMAGE, Architecture, Node, lower_nodes

Value = int | str | bool | None


class Kind(Enum):
    """Of a node, or of a layer inside one; the value is what a legend says."""

    STEM = "stem"
    BLOCK = "computational block"
    TRANSITION = "transition"
    TOP_DOWN = "top-down step"
    PYRAMID = "pyramid pooling"
    JOIN = "join"
    CONV = "single layer"
    LEAD = "lead head"
    AUX = "auxiliary head, training only"
    INPUT = "input"
    WEIGHTS = "layer with weights"
    SELECTS = "pools, resizes or moves"


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and its value. `follows`: from other facts, as a concatenation's width does, rather than written down.

    `usual` is a default that goes without saying. No two facts of a part have the same label.
    """

    label: str
    value: Value
    follows: bool = False
    usual: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A node, a head or a layer, with its facts in the order in which they are read."""

    name: str
    group: str  # what it is drawn together with: a node's stride in pixels, a layer's node
    kind: Kind
    word: Fact  # the block's word in an architecture file, or the op's
    facts: tuple[Fact, ...]
    reads: tuple[str, ...]  # names of parts, or of layers inside them
    shape: Shape  # of its output, at the architecture's size
    cost: Cost = field(default_factory=Cost)  # in the deploy graph, for a node; in the train graph, for a layer
    training_only: bool = False


def overview(architecture: Architecture) -> tuple[Fact, ...]:
    """What holds for the whole detector."""
    cost = architecture.cost()
    return (
        Fact("size", architecture.size),
        Fact("classes", architecture.classes),
        Fact("activation", architecture.activation),
        Fact("implicit", architecture.implicit),
        Fact("head", HEAD_WORDS[type(architecture.head)], usual=architecture.head.anchored),
        Fact("params", cost.params, follows=True),
        Fact("MACs", cost.macs, follows=True),
        Fact("FLOPs (paper)", cost.flops("paper"), follows=True),
    )


def node_parts(architecture: Architecture) -> tuple[Part, ...]:
    """Every node in order, each with the heads that read it after it."""
    layers, features = lower_nodes(architecture, [node.built for node in architecture.nodes])
    shapes = Graph(tuple(layers), ()).shapes(architecture.size)
    owners = owners_of(layers, features)
    inside: dict[str, list[Layer]] = {}
    for layer in layers:
        inside.setdefault(layer.node, []).append(layer)
    kinds = _kinds(architecture, inside, features, owners)
    needed = _needed(architecture, owners)
    costs = _costs(architecture)
    heads = tuple(_heads(architecture, costs))
    parts: list[Part] = []
    for node in architecture.nodes:
        joined = [shapes[layer.name] for layer in inside[node.name] if isinstance(layer.op, Concat)]
        block, kind = node.built, kinds[node.name]
        shape = shapes[features[node.name].layer]
        sources = tuple(shapes[features[name].layer if name in features else name].channels for name in node.inputs)
        parts.append(
            Part(
                name=node.name,
                group=str(architecture.size // shape.height),
                kind=kind,
                word=Fact("block", WORDS[type(block)]),
                facts=(*_written(block), *_act(node), *_followed(kind, sources, shape, joined)),
                reads=node.inputs,
                shape=shape,
                cost=costs.get(node.name, Cost()),
                training_only=node.name not in needed,
            )
        )
        parts += [head for head in heads if head.reads == (node.name,)]
    return tuple(parts)


def layer_parts(architecture: Architecture, nodes: Sequence[str]) -> tuple[Part, ...]:
    """Every layer inside some nodes, in the train graph as the blocks write it, after what they read from outside."""
    layers, features = lower_nodes(architecture, [node.built for node in architecture.nodes])
    shapes = Graph(tuple(layers), ()).shapes(architecture.size)
    passed_on = {feature.layer: name for name, feature in features.items()}
    drawn = {layer.name for layer in layers if layer.node in nodes}
    outside: dict[str, Part] = {}
    parts: list[Part] = []
    for layer in layers:
        if layer.name not in drawn:
            continue
        inputs = tuple(shapes[name] for name in layer.inputs)
        for name in layer.inputs:
            if name not in drawn:
                word = Fact("op", "image" if name == IMAGE else "input")
                source = passed_on.get(name, name)
                outside[name] = Part(source, "", Kind.INPUT, word, (), (), shapes[name])
        reads = tuple(name if name in drawn else outside[name].name for name in layer.inputs)
        kind = Kind.JOIN if joins(layer.op) else Kind.SELECTS
        cost = layer.op.cost(*inputs)
        parts.append(
            Part(
                name=layer.name,
                group=layer.node,
                kind=Kind.WEIGHTS if cost.params else kind,
                word=Fact("op", words(type(layer.op))),
                facts=tuple(_op_facts(layer.op, inputs)),
                reads=reads,
                shape=shapes[layer.name],
                cost=cost,
            )
        )
    return (*outside.values(), *parts)


def owners_of(layers: Sequence[Layer], features: Mapping[str, Feature]) -> dict[str, str]:
    """The node that a reference is to, or to a layer inside of."""
    return {**{layer.name: layer.node for layer in layers}, **{name: name for name in features}}


def joins(op: Op) -> bool:
    """Whether an op brings several features together."""
    return isinstance(op, Concat | Add)


def words(kind: type[Any]) -> str:
    """A type's name as words: `SpaceToDepth` as "space to depth"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


def _kinds(
    architecture: Architecture,
    inside: Mapping[str, Sequence[Layer]],
    features: Mapping[str, Feature],
    owners: Mapping[str, str],
) -> dict[str, Kind]:
    """The kind of every node."""
    kinds: dict[str, Kind] = {}
    after_block = {IMAGE: False}  # whether a computational block stands before the node, or is it
    for node in architecture.nodes:
        sources = [owners[name] for name in node.inputs]
        ops = [layer.op for layer in inside[node.name]]
        began = any(after_block[source] for source in sources)
        height = features[node.name].shape.height
        halves = all(height < features[source].shape.height for source in sources)
        kinds[node.name] = _kind(node.built, ops, began=began, halves=halves)
        after_block[node.name] = began or kinds[node.name] is Kind.BLOCK
    return kinds


def _kind(block: Block, ops: Sequence[Op], *, began: bool, halves: bool) -> Kind:
    if isinstance(block, Transition):
        return Kind.TRANSITION
    if isinstance(block, StemBlock):
        return Kind.STEM
    if fields_with(type(block), Role.DEPTH, Role.REPEATS):
        return Kind.BLOCK
    if any(isinstance(op, Upsample) for op in ops):
        return Kind.TOP_DOWN
    if halves and began:
        return Kind.TRANSITION
    if any(isinstance(op, MaxPool) and op.stride == 1 for op in ops):
        return Kind.PYRAMID
    if all(map(joins, ops)):
        return Kind.JOIN
    if any(map(joins, ops)):
        return Kind.BLOCK
    return Kind.CONV if began else Kind.STEM


def _act(node: Node) -> Iterator[Fact]:
    """The activation that a node has of its own."""
    if node.act:
        yield Fact("act", node.act)


def _written(block: Block | Head) -> Iterator[Fact]:
    """The block's own fields: depths after the widths inside, as they are read, then the others as they stand."""
    kind = type(block)
    inside, deep = fields_with(kind, Role.INSIDE), fields_with(kind, Role.DEPTH, Role.REPEATS)
    defaults = {entry.name: entry.default for entry in fields(kind)}
    last = [entry for entry in defaults if entry in fields_with(kind, Role.OUTSIDE)]
    middle = [entry for entry in defaults if entry not in (*inside, *deep, *last)]
    for name in (*inside, *deep, *middle, *last):
        value = getattr(block, name)
        usual = defaults[name] is not MISSING and value == defaults[name]
        yield Fact(name.replace("_", " "), value, usual=usual)


def _followed(kind: Kind, sources: tuple[int, ...], shape: Shape, joined: list[Shape]) -> Iterator[Fact]:
    """What follows from the fields and from what the node reads: widths of concatenations, the ratio of channels."""
    if kind is Kind.BLOCK:
        if joined:
            widest = max(x.channels for x in joined)
            copies = sum(x.channels == widest for x in joined)
            yield Fact("concat", f"{copies} × {widest}" if copies > 1 else widest, follows=True)
        return
    yield Fact("in", " + ".join(map(str, sources)), follows=True)
    if len(sources) == 1:
        ratio = Fraction(sum(sources), shape.channels)
        yield Fact("ratio", f"{ratio.numerator}:{ratio.denominator}", follows=True)


def _needed(architecture: Architecture, owners: Mapping[str, str]) -> set[str]:
    """The nodes that the lead head depends on; the others are for training only."""
    needed = set(architecture.heads)
    for node in reversed(architecture.nodes):
        if node.name in needed:
            needed.update(owners[name] for name in node.inputs)
    return needed


def _heads(architecture: Architecture, costs: Mapping[str, Cost]) -> Iterator[Part]:
    """The predictions of every level, lead and auxiliary."""
    graph = architecture.graph()
    shapes = graph.shapes(architecture.size)
    levels = graph.levels
    for names, sources, kind in (
        (graph.lead, architecture.heads, Kind.LEAD),
        (graph.aux, architecture.aux, Kind.AUX),
    ):
        for name, source in zip(names, sources, strict=True):
            op = levels[name]
            yield Part(
                name=name,
                group=str(op.stride),
                kind=kind,
                word=Fact("block", "lead head" if kind is Kind.LEAD else "auxiliary head"),
                facts=tuple(_head_facts(op, architecture.head)),
                reads=(source,),
                shape=shapes[name],
                cost=costs.get(name, Cost()),
                training_only=kind is Kind.AUX,
            )


def _head_facts(op: Level, head: Head) -> Iterator[Fact]:
    """What is said of one level's head: its anchors, or what a head without any has for every level."""
    if isinstance(op, Predict):
        yield Fact("anchors", " ".join(f"{width:g}×{height:g}" for width, height in op.anchors))
        yield Fact("implicit", op.implicit, usual=not op.implicit)
        return
    yield Fact("kind", HEAD_WORDS[type(head)])
    yield from _written(head)


def _costs(architecture: Architecture) -> dict[str, Cost]:
    """Cost in the deploy graph of every node and of every level's head."""
    lead = architecture.graph().lead
    costs: dict[str, list[Cost]] = {}
    for layer in architecture.cost().deploy:
        head = next((name for name in lead if f"{layer.name}.".startswith(f"{name}.")), layer.node)
        costs.setdefault(head, []).append(layer.cost)
    return {name: total(parts) for name, parts in costs.items()}


def _op_facts(op: Op, inputs: tuple[Shape, ...]) -> Iterator[Fact]:
    """An op's own fields but its output's width, which its shape says; of RepConv, the branches."""
    for entry in fields(op):  # type: ignore[arg-type]  # every op is a dataclass
        value = getattr(op, entry.name)
        if entry.name in ("out", "act", "norm", "identity"):
            continue
        usual = entry.default is not MISSING and value == entry.default and entry.name != "kernel"
        yield Fact(entry.name, f"{value}×{value}" if entry.name == "kernel" else value, usual=usual)
    if isinstance(op, RepConv):
        identity = " + identity" if op.branches(*inputs) > 2 else ""
        yield Fact("branches", f"3×3 + 1×1{identity}")
