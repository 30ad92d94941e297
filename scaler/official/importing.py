"""An official model file as an architecture: first a node for each row, then blocks found among them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...blocks.convs import ConvNode
from ...blocks.errors import InputError
from ...blocks.graph import Graph
from ...blocks.measures import Shape
from ...blocks.ops import Activation, Op, RepConv
from ...blocks.plain import Join, Sum
from ...blocks.roles import Block
from ..architecture import IMAGE, Architecture, Node
from ..places import named_by_place
from ..raising import raised
from .modules import COMPOSITES, HEADS, REPEATS_INSIDE, read_block
from .rows import IMAGE_ROW, Config, Row, read_config

SIZES = {3: 640, 4: 1280}  # pixels; a file does not say it. Source: the released models, by pyramid levels


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the weights of a layer are in an official checkpoint."""

    prefix: str  # "model.51.cv1"
    layer: str  # "neck.p5.spp.conv1"


@dataclass(frozen=True, slots=True)
class Imported:
    """An official model file as an architecture, and where its checkpoints hold the weights of each layer."""

    architecture: Architecture
    slots: tuple[Slot, ...]


def import_document(document: Mapping[str, Any], where: str, name: str) -> Imported:
    """An official model file's content as an architecture, for images as large as those of the released models.

    Raises:
        InputError: it is none, or holds what has no block here; the row is named.
    """
    by_row = _by_row(read_config(document, where), name)
    architecture = named_by_place(raised(by_row.architecture))
    counterpart = matched(by_row.architecture.graph(), architecture.graph())
    return Imported(architecture, tuple(replace(slot, layer=counterpart[slot.layer]) for slot in by_row.slots))


def matched(graph: Graph, other: Graph) -> dict[str, str]:
    """The layers of `other` that compute the same as those of `graph`, by walking both from their outputs."""
    found: dict[str, str] = {}
    shapes = graph.shapes()
    layers, others = ({layer.name: layer for layer in each.layers} for each in (graph, other))
    pairs = list(zip(graph.outputs, other.outputs, strict=True))
    while pairs:
        name, counterpart = pairs.pop()
        if name in found:
            assert found[name] == counterpart, f"{name} is both {found[name]} and {counterpart}"
            continue
        found[name] = counterpart
        layer, twin = layers[name], others[counterpart]
        op, other_op = (_plainly(each.op, [shapes[source] for source in layer.inputs]) for each in (layer, twin))
        assert op == other_op, f"{name} is {op}, but {counterpart} is {other_op}"
        pairs.extend(zip(layer.inputs, twin.inputs, strict=True))
    return found


def _plainly(op: Op, inputs: list[Shape]) -> Op:
    """The op, without asking for an identity that the shapes do not allow."""
    return replace(op, identity=op.branches(*inputs) > 2) if isinstance(op, RepConv) else op


@dataclass(frozen=True, slots=True)
class _Body:
    """The rows before the head as nodes: `row12`, or `row12_1`, `row12_2` … where a row is repeated."""

    nodes: dict[str, Node] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    outputs: dict[int, str] = field(default_factory=lambda: {IMAGE_ROW: IMAGE})  # the node with a row's output

    def add(self, config: Config, row: Row, block: Block, inputs: tuple[str, ...]) -> None:
        """Append a row."""
        repeats = 1 if row.module in REPEATS_INSIDE else config.repeats(row)
        for repeat in range(1, repeats + 1):
            place = f"row{row.index}" if repeats == 1 else f"row{row.index}_{repeat}"
            prefix = f"model.{row.index}" if repeats == 1 else f"model.{row.index}.{repeat - 1}"
            self.nodes[place] = Node(place, block, inputs)
            self.slots.extend(_slots(row, block, prefix, place))
            inputs = (place,)
        self.outputs[row.index] = inputs[0]

    def summed(self, row: Row, reads: Counter[int]) -> tuple[str, ...]:
        """What a sum of two rows adds, oldest first; a sum of a sum that nothing else reads is one sum of more."""
        newer, older = (self.outputs[source] for source in row.sources)
        before = self.nodes.get(older)
        if before is not None and isinstance(before.block, Sum) and reads[row.sources[1]] == 1:
            return (*self.nodes.pop(older).inputs, newer)
        return (older, newer)


def _by_row(config: Config, name: str) -> Imported:
    """A node for each row."""
    *rows, head = _checked(config)
    activation = _activation(config, rows)
    reads = Counter(source for row in config.rows for source in row.sources)
    body = _Body()
    for row in rows:
        block = read_block(config, row)
        inputs = tuple(body.outputs[source] for source in row.sources)
        if isinstance(block, Join) and len(inputs) == 1:  # a concatenation of one is nothing
            body.outputs[row.index] = inputs[0]
            continue
        if isinstance(block, ConvNode):
            block = replace(block, act=None if block.act == activation else block.act)
        if isinstance(block, Sum):
            inputs = body.summed(row, reads)
        body.add(config, row, block, inputs)
    levels = len(config.anchors)
    read = [body.outputs[source] for source in head.sources]
    architecture = _made(
        config,
        name=name,
        size=SIZES.get(levels, 640 if levels < 3 else 1280),
        nodes=tuple(body.nodes.values()),
        heads=tuple(read[:levels]),
        anchors=config.anchors,
        aux=tuple(read[levels:]),
        classes=config.classes,
        activation=activation,
        implicit=HEADS[head.module].implicit,
    )
    graph = architecture.graph()
    known = {layer.name for layer in graph.layers}  # a row that nothing reads has no layer
    heads = [Slot(f"model.{head.index}.m.{level}", layer) for level, layer in enumerate(graph.lead)]
    heads += [Slot(f"model.{head.index}.m2.{level}", layer) for level, layer in enumerate(graph.aux)]
    return Imported(architecture, tuple(slot for slot in (*body.slots, *heads) if slot.layer in known))


def _made(config: Config, **facts: Any) -> Architecture:
    try:
        return Architecture(**facts)
    except InputError as error:
        raise InputError(f"{config.where}: {str(error).removeprefix(facts['name'] + ': ')}") from error


def _checked(config: Config) -> tuple[Row, ...]:
    """The rows, of which the last and no other is a head that fits the anchors."""
    if not config.rows:
        raise InputError(f"{config.where}: it has no rows")
    *body, head = config.rows
    for row in body:
        if row.module in HEADS:
            raise config.fault(row, "stands before other rows; the detection module is the last row")
        joins = row.module in ("Concat", "Chuncat", "Shortcut")
        if row.number > 1 and joins:
            raise config.fault(row, f"number: {row.number}; it cannot be repeated")
        if len(row.sources) > 1 and not joins:
            raise config.fault(row, f"from: reads {len(row.sources)} rows; it takes one")
        if row.module == "Shortcut" and len(row.sources) != 2:
            raise config.fault(row, f"from: reads {len(row.sources)} rows; it takes two")
    if head.module not in HEADS:
        raise config.fault(head, f"the last row must be one of {', '.join(HEADS)}")
    if head.args != ("nc", "anchors") and head.args != (config.classes, "anchors"):
        raise config.fault(head, f"args: expected [nc, anchors], not {list(head.args)}")
    levels = len(config.anchors)
    wanted = levels * (2 if HEADS[head.module].aux else 1)
    if len(head.sources) != wanted:
        raise config.fault(head, f"from: reads {len(head.sources)} rows; with {levels} levels of anchors, {wanted}")
    return config.rows


def _activation(config: Config, body: list[Row]) -> Activation:
    """The activation of the whole: SiLU, unless every convolution has leaky ReLU."""
    if any(row.module in (*COMPOSITES, "RepConv") for row in body):
        return "silu"  # these have it built in
    blocks = (read_block(config, row) for row in body)
    acts = {block.act for block in blocks if isinstance(block, ConvNode)}
    return "leaky_relu" if acts == {"leaky_relu"} else "silu"


def _slots(row: Row, block: Block, prefix: str, place: str) -> list[Slot]:
    if row.module in COMPOSITES:
        parts = COMPOSITES[row.module].slots(block)
        return [Slot(f"{prefix}.{official}", f"{place}.{ours}") for official, ours in parts.items()]
    return [Slot(prefix, place)] if row.module in ("Conv", "RepConv") else []
