"""A detector as a person writes it: named nodes in order, each a block with its inputs. No torch."""

import hashlib
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Self

from ..blocks.convs import ConvNode
from ..blocks.errors import InputError, nearest
from ..blocks.graph import Feature, Graph, Layer, Lowering
from ..blocks.heads import HEAD_WORDS, AnchorHead, Head, LevelFacts
from ..blocks.levels import Anchors
from ..blocks.measures import ShapeError
from ..blocks.ops import Activation, Image
from ..blocks.roles import Block
from .cost import CostReport, count
from .reparam import RepPlace, planned

IMAGE = "image"
NOMINAL = 4096  # pixels at which shapes are checked while lowering: a multiple of every stride in use
ANCHOR_HEAD = AnchorHead()
DETECT = "detect"  # begins the names of the heads' layers
RESERVED = (IMAGE, DETECT)
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Node:
    """A block in its place. An input names a node, or a layer inside one (`neck.p5.elan.group2.out`)."""

    name: str  # "backbone.p3.elan"
    block: Block
    inputs: tuple[str, ...]
    released: Block | None = None  # what the published model has here against the rule; no scaling carries it along
    act: Activation | None = None  # of all its convolutions; the architecture's where None

    @property
    def built(self) -> Block:
        return self.released or self.block


@dataclass(frozen=True)
class Architecture:
    """A concatenation-based detector.

    Raises:
        InputError: when made, if a name, an input, a head, an anchor or a shape does not fit, with the node's name.
    """

    name: str
    size: int  # pixels of a side of the square input that it is meant for
    nodes: tuple[Node, ...]
    heads: tuple[str, ...]  # nodes that the lead head reads, finest level first
    anchors: tuple[Anchors, ...]  # of each level, finest first; none where the head has no anchors
    aux: tuple[str, ...] = ()  # nodes that the auxiliary head reads while training, finest level first
    classes: int = 80
    activation: Activation = "silu"
    implicit: bool = True  # implicit knowledge in the lead head while training
    head: Head = ANCHOR_HEAD  # its kind: one at every level that `heads` names
    rep: tuple[RepPlace, ...] = ()  # planned re-parameterisation; of two places that cover a conv, the last holds

    def __post_init__(self) -> None:
        _check(self)
        check_size(self.size, self.strides[-1], self.name)  # lowers the graph, which checks every shape

    def graph(self, form: str = "train") -> Graph:
        """The primitive layers, as trained (`train`) or as deployed (`deploy`)."""
        return _graphs(self)[form]

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Pixels for each cell of each level, finest first."""
        graph = self.graph()
        levels = graph.levels
        return tuple(levels[name].stride for name in graph.lead)

    @property
    def has_aux(self) -> bool:
        return bool(self.aux)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the built graph: equal for equal detectors, whatever the names and the order of their nodes."""
        graph = self.graph()
        place: dict[str, int] = {}
        lines: list[str] = []
        for layer in graph.depth_first():
            place[layer.name] = len(place)
            lines.append(f"{layer.op if layer.inputs else 'image'} {[place[name] for name in layer.inputs]}")
        lines += [
            f"{kind} {[place[name] for name in heads]}" for kind, heads in (("lead", graph.lead), ("aux", graph.aux))
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def cost(self, size: int | None = None) -> CostReport:
        """Count the detector at a size in pixels (its own where None).

        Raises:
            InputError: the size is not a multiple of the largest stride.
        """
        size = self.size if size is None else size
        check_size(size, self.strides[-1], self.name)
        return count(self.graph("train"), self.graph("deploy"), size)

    def replace(self, **facts: Any) -> Self:
        """The same detector with other facts (`name`, `classes`, `anchors`, `size` …)."""
        return replace(self, **facts)

    def scale(self, **scalings: Any) -> "Architecture":
        """Apply scalings in the order given: `scale(compound=1.5, transition="downc")`; see `catscale.scaler.scaling`.

        Raises:
            ScaleError: a scaling cannot be done exactly, or is unknown.
        """
        from .scaling import apply  # scaling is written in terms of architectures

        return apply(self, scalings)

    def to_yaml(self) -> str:
        """The architecture file; reading it gives an equal architecture."""
        from .architecture_file import to_yaml

        return to_yaml(self)


def check_size(size: int, stride: int, where: str) -> None:
    """Hold an input size against the largest stride.

    Raises:
        InputError: it is not a positive multiple; the nearest that is, is named.
    """
    if size < 1 or size % stride:
        good = max(stride, round(size / stride) * stride)
        raise InputError(f"{where}: size {size} is not a multiple of the largest stride, {stride}; use {good}")


@lru_cache(maxsize=1024)
def _graphs(architecture: Architecture) -> dict[str, Graph]:
    train = lower(architecture, [node.built for node in architecture.nodes])
    return {"train": train, "deploy": train.deployed()}


def lower(
    architecture: Architecture, blocks: Sequence[Block], apart: Container[str] = (), head: Head | None = None
) -> Graph:
    """The train graph of an architecture whose nodes hold these blocks and whose head is this; widths may be arrays.

    Concats of the nodes in `apart` are not joined with those that read them.

    Raises:
        InputError: shapes that do not fit, with the node's name.
    """
    where = architecture.name
    layers, features = lower_nodes(architecture, blocks)
    detect = Lowering(DETECT, architecture.activation, layers)
    head = head or architecture.head

    def heads(names: tuple[str, ...], kind: str, implicit: bool) -> Iterator[str]:
        for anchors, name in zip(architecture.anchors or [()] * len(names), names, strict=False):  # aux: all or none
            stride = NOMINAL // features[name].shape.height
            if stride.bit_count() != 1:
                raise InputError(
                    f"{where}: node {name}: a head at stride {stride}; a pyramid level's is a power of two"
                )
            level = LevelFacts(architecture.classes, stride, anchors, implicit)
            net = detect.inside(f"{kind}.p{stride.bit_length() - 1}")
            try:
                yield head.lower(net, features[name], level).layer
            except ShapeError as error:
                raise InputError(f"{where}: head at node {name}: {error}") from error

    lead = tuple(heads(architecture.heads, "lead", architecture.implicit))
    aux = tuple(heads(architecture.aux, "aux", False))
    layers[0] = replace(layers[0], op=Image(architecture.size))
    return Graph(tuple(layers), lead, aux).flattened(apart)


def lower_nodes(architecture: Architecture, blocks: Sequence[Block]) -> tuple[list[Layer], dict[str, Feature]]:
    """The layers of the image and of every node, for an image of `NOMINAL` pixels; by node, what it passes on.

    Raises:
        InputError: shapes that do not fit, or a plan of RepConvs that fits no 3x3 conv or breaks the rule.
    """
    layers, features = written_out(architecture, blocks)
    return planned(layers, architecture.rep, architecture.name), features


def written_out(architecture: Architecture, blocks: Sequence[Block]) -> tuple[list[Layer], dict[str, Feature]]:
    """As `lower_nodes`, but as the blocks write the layers, before a plan makes some of them RepConvs.

    Raises:
        InputError: shapes that do not fit, with the node's name.
    """
    image = Image(NOMINAL)
    layers = [Layer(IMAGE, image, (), IMAGE)]
    features = {IMAGE: Feature(IMAGE, image.shape())}
    for node, block in zip(architecture.nodes, blocks, strict=True):
        net = Lowering(node.name, node.act or architecture.activation, layers)
        try:
            features[node.name] = block.lower(net, *(_find(features, layers, name) for name in node.inputs))
        except ShapeError as error:
            raise InputError(f"{architecture.name}: node {node.name}: {error}") from error
    return layers, features


def _find(features: dict[str, Feature], layers: list[Layer], name: str) -> Feature:
    if name in features:
        return features[name]
    shapes = Graph(tuple(layers), ()).shapes()  # a layer inside a node, e.g. one group of an E-ELAN
    if name in shapes:
        return Feature(name, shapes[name])
    raise ShapeError(f"reads {name!r}, which is no layer before it")


def _check(architecture: Architecture) -> None:
    """Check what the graph's shapes do not show: names, references, heads, anchors."""
    where = architecture.name
    if architecture.classes < 1:
        raise InputError(f"{where}: classes: {architecture.classes} classes; a detector needs at least one")
    if architecture.size < 1:
        raise InputError(f"{where}: size: {architecture.size} pixels; a detector needs a size such as 640")
    names = [node.name for node in architecture.nodes]
    _check_names(where, names)
    _check_inputs(where, architecture.nodes)
    for part, heads in (("heads", architecture.heads), ("aux", architecture.aux)):
        for name in heads:
            if name not in names:
                raise InputError(f"{where}: {part}: no node is called {name!r}; {nearest(name, names)}")
    levels = len(architecture.heads)
    if not levels:
        raise InputError(f"{where}: heads: name the nodes that the head reads, one for each level")
    _check_head(where, architecture)
    if architecture.head.anchored and len(architecture.anchors) != levels:
        raise InputError(f"{where}: anchors: {len(architecture.anchors)} levels of anchors for {levels} heads")
    if architecture.aux and len(architecture.aux) != levels:
        raise InputError(f"{where}: aux: {len(architecture.aux)} auxiliary heads for {levels} lead heads")
    if any(side <= 0 for level in architecture.anchors for anchor in level for side in anchor):
        raise InputError(f"{where}: anchors: every width and height must be above zero")
    if not all(architecture.anchors):
        raise InputError(f"{where}: anchors: a level without anchors detects nothing; give it at least one")


def _check_head(where: str, architecture: Architecture) -> None:
    """Hold what belongs to an anchor head alone against the kind of head."""
    if architecture.head.anchored:
        return
    kind = HEAD_WORDS[type(architecture.head)]
    for part, given, mend in (
        ("anchors", architecture.anchors, "leave them out"),
        ("implicit", architecture.implicit, "say implicit: false"),
        ("aux", architecture.aux, "leave them out (--aux none)"),
    ):
        if given:
            raise InputError(f"{where}: {part}: only the anchor head has {_OF_ANCHORS[part]}, not {kind}; {mend}")


_OF_ANCHORS = {"anchors": "anchors", "implicit": "implicit knowledge", "aux": "auxiliary heads"}


def _check_names(where: str, names: list[str]) -> None:
    taken: set[str] = set()
    for name in names:
        if not NAME.fullmatch(name):
            raise InputError(
                f"{where}: node {name!r}: a name is words of a-z, 0-9 and _ joined by dots, as in neck.p4.elan"
            )
        if name.split(".")[0] in RESERVED:
            raise InputError(f"{where}: node {name}: names that begin with {' or '.join(RESERVED)} are taken")
        if name in taken:
            raise InputError(f"{where}: node {name}: the name stands twice")
        taken.add(name)
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts)):
            if (outer := ".".join(parts[:length])) in taken:
                raise InputError(
                    f"{where}: node {name}: stands inside node {outer}, whose layers have such names; rename one"
                )


def _check_inputs(where: str, nodes: tuple[Node, ...]) -> None:
    everywhere = {node.name: node for node in nodes}
    before = {IMAGE}
    for node in nodes:
        if node.act and isinstance(node.block, ConvNode):
            raise InputError(f"{where}: node {node.name}: act: a conv says its own: {{conv: {{…, act: {node.act}}}}}")
        arity = node.block.arity
        if (arity is not None and len(node.inputs) != arity) or (arity is None and len(node.inputs) < 2):
            wanted = {None: "two or more inputs", 1: "one input"}.get(arity, f"{arity} inputs")
            raise InputError(
                f"{where}: node {node.name}: takes {wanted}, not {len(node.inputs)}: {', '.join(node.inputs)}"
            )
        for name in node.inputs:
            owner = owner_of(name, everywhere) or name
            if owner in before:
                continue
            if owner not in everywhere:
                hint = nearest(name, [IMAGE, *everywhere])
                raise InputError(f"{where}: node {node.name}: reads {name!r}, which does not exist; {hint}")
            if cycle := _path(owner, node.name, everywhere):
                raise InputError(
                    f"{where}: node {node.name}: reads itself in a circle: {' -> '.join([*cycle, node.name])}"
                )
            raise InputError(f"{where}: node {node.name}: reads {name!r}, which stands after it; move it before")
        before.add(node.name)


def owner_of(name: str, nodes: dict[str, Node]) -> str | None:
    """The node that a reference is to, or to a layer inside of."""
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in nodes), None)


def _path(source: str, target: str, nodes: dict[str, Node]) -> list[str] | None:
    """Nodes from `target` on to `source`, where what `source` reads leads back to `target`."""
    seen: set[str] = set()

    def search(name: str) -> list[str] | None:
        if name == target:
            return [name]
        seen.add(name)
        for entry in nodes[name].inputs if name in nodes else ():
            owner = owner_of(entry, nodes)
            if owner and owner not in seen and (found := search(owner)):
                return [*found, name]
        return None

    return search(source)
