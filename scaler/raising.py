"""Raising: blocks found in a graph that is written out layer by layer, by their wiring and not by a name. No torch.

A detector whose nodes are single layers (an imported one, or one that a person wrote so) has no depth to scale. Where
its layers are wired as a block would write them, they become that block: a pattern guesses the block (`patterns`), the
block is lowered, and what it writes is laid over the graph from its end backwards. So whatever is found is exact, and
a block's wiring stands nowhere but in its lowering.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import get_args

from ..blocks.graph import Feature, Layer, Lowering
from ..blocks.measures import ShapeError
from ..blocks.ops import Activation, Add, Concat, Conv, Op, RepConv
from ..blocks.plain import Fold, Join
from .architecture import Architecture, Node
from .patterns import PATTERNS, Guess, Pattern
from .places import with_transitions
from .reparam import RepPlace
from .wiring import Wiring, plain, wiring

OWN = "$"  # begins the names of a guessed block's layers; no node is called so


@dataclass(frozen=True, slots=True)
class Match:
    """A block that stands in a graph, in the place of the nodes `taken`, which end with `anchor`."""

    node: Node
    anchor: str
    taken: frozenset[str]
    inside: dict[str, str]  # from the graph's layers to the places of the block's
    planned: frozenset[str] = frozenset()  # of these layers, RepConvs where the block has plain convolutions
    rest: tuple[str, ...] = ()  # what the anchor, a concatenation, joins beyond the block's own


def raised(architecture: Architecture) -> Architecture:
    """The same detector with its layers gathered into blocks wherever they are wired as one.

    A block has the name of the node that was its end. The detector computes the same; what read a layer that is now
    inside a block reads it there, and a plan of RepConvs follows the layers. Where nothing is found, the detector is
    given back as it is.
    """
    found = _raised(architecture)
    return architecture if found == architecture else found  # the cache may hold an equal one


@lru_cache(maxsize=256)
def _raised(architecture: Architecture) -> Architecture:
    for pattern in PATTERNS:
        while matches := _matches(pattern, wiring(architecture), architecture):
            architecture = _taken_in(matches, wiring(architecture), architecture)
    return with_transitions(architecture)


def _matches(pattern: Pattern, net: Wiring, architecture: Architecture) -> list[Match]:
    """Blocks of one pattern, no two of which share a node."""
    found: list[Match] = []
    taken: set[str] = set()
    for node in reversed(architecture.nodes):  # the end of a dense block before the ends that its layers could be
        if net.sizes[node.name] > 1 and not isinstance(node.block, Fold):
            continue  # a block already
        for guess in pattern(net, net.features[node.name].layer):
            match = _laid_over(net, architecture, node, guess)
            if match and not match.taken & taken:
                found.append(match)
                taken |= match.taken
                break
    return found


def _laid_over(net: Wiring, architecture: Architecture, anchor: Node, guess: Guess) -> Match | None:
    """The guessed block in its place, if every layer that it writes is there and no node is taken in by half."""
    block, sources = guess
    own: list[Layer] = []
    act = _activation(net, net.features[anchor.name].layer) or architecture.activation
    try:
        out = block.lower(Lowering(OWN, act, own), *(Feature(name, net.shapes[name]) for name in sources))
    except ShapeError:
        return None
    overlay = _Overlay(net, {layer.name: layer for layer in own}, frozenset(sources))
    end = net.layers[net.features[anchor.name].layer]
    rest = overlay.lay(end, out.layer)
    if rest is None:
        return None
    inside = {name: place.removeprefix(OWN).removeprefix(".") for name, place in overlay.inside.items()}
    taken = frozenset(net.layers[name].node for name in inside)
    heads = (*architecture.heads, *architecture.aux)
    whole = sum(net.sizes[name] for name in taken) == len(inside)
    if not whole or taken == {anchor.name} or any(name in heads for name in taken - {anchor.name}):
        return None
    outside = (reader for name in inside for reader in net.readers[name] if reader.node not in taken)
    if any(net.position[reader.name] < net.position[end.name] for reader in outside):
        return None
    name = net.layers[end.inputs[0]].node if rest else anchor.name
    own_act = None if act == architecture.activation else act
    node = Node(name, block, tuple(map(net.reference, sources)), act=own_act)
    return Match(node, anchor.name, taken, inside, frozenset(overlay.planned), tuple(map(net.reference, rest)))


def _activation(net: Wiring, end: str) -> Activation | None:
    """The activation of the last convolution before a layer, or at it, that has one."""
    while net.layers[end].inputs:
        op = net.layers[end].op
        if isinstance(op, Conv | RepConv):
            found = next((act for act in get_args(Activation) if act == op.act), None)
            if found:
                return found
        end = net.source(end)
    return None


def _taken_in(matches: Iterable[Match], net: Wiring, architecture: Architecture) -> Architecture:
    """Put blocks in the place of their layers, and lead every reference to these into the blocks."""
    led: dict[str, str] = {}
    rep = _exact(architecture.rep, net)
    by_anchor: dict[str, Match] = {}
    gone: set[str] = set()
    for match in matches:
        by_anchor[match.anchor] = match
        gone |= match.taken - {match.anchor}
        for layer, place in match.inside.items():
            led[layer] = f"{match.node.name}.{place}" if place else match.node.name
            if layer in match.planned and isinstance(op := net.layers[layer].op, RepConv):
                rep.append(RepPlace(led[layer], "forced" if op.identity else "repconvn"))  # as it was

    def lead(reference: str) -> str:
        """Where to read now what stood at a reference; an anchor passes on what it did."""
        if reference in by_anchor:
            return reference
        layer = net.features[reference].layer if reference in net.features else reference
        return led.get(layer, reference)

    nodes: list[Node] = []
    for node in architecture.nodes:
        if match := by_anchor.get(node.name):
            nodes.append(replace(match.node, inputs=tuple(map(lead, match.node.inputs))))
            if match.rest:
                nodes.append(Node(node.name, Join(), (match.node.name, *map(lead, match.rest))))
        elif node.name not in gone:
            nodes.append(replace(node, inputs=tuple(map(lead, node.inputs))))
    places = tuple(replace(place, at=led.get(place.at, place.at)) for place in rep)
    return replace(architecture, nodes=tuple(nodes), rep=places)


def _exact(rep: Iterable[RepPlace], net: Wiring) -> list[RepPlace]:
    """A plan with every pattern in it written out, so that it can follow the layers to other names."""
    convs = [name for name in net.layers if net.conv(name, 3)]
    return [replace(place, at=name) for place in rep for name in convs if place.covers(name)]


class _Overlay:
    """A block's own layers laid over a graph's, from the end backwards; `inside` says which lies over which."""

    def __init__(self, net: Wiring, own: dict[str, Layer], sources: frozenset[str]) -> None:
        self.net, self.own, self.sources = net, own, sources
        self.inside: dict[str, str] = {}
        self.planned: set[str] = set()  # RepConvs of the graph that lie over plain convolutions

    def lay(self, end: Layer, out: str) -> tuple[str, ...] | None:
        """Lay the output over a layer; gives what that, a concatenation, joins besides. None: it does not fit."""
        ours = self.own[out]
        rest = end.inputs[len(ours.inputs) :] if isinstance(end.op, Concat) and isinstance(ours.op, Concat) else ()
        if not rest:
            return () if self._lies(end.name, out) else None
        self.inside[end.name] = out
        return rest if all(map(self._lies, end.inputs, ours.inputs)) else None

    def _lies(self, theirs: str, ours: str) -> bool:
        if ours in self.sources or theirs in self.sources:
            return theirs == ours
        if theirs in self.inside:
            return self.inside[theirs] == ours
        there, here = self.net.layers[theirs], self.own[ours]
        if not _equal(there.op, here.op):
            return False
        self.inside[theirs] = ours
        if there.op != here.op:
            self.planned.add(theirs)
        parts, own = self._parts(there), self._own_parts(here)
        return len(parts) == len(own) and all(map(self._lies, parts, own))

    def _parts(self, layer: Layer) -> tuple[str, ...]:
        """What a layer of the graph reads, joins of joins and sums of sums as one."""
        if not isinstance(layer.op, Add | Concat):
            return layer.inputs
        parts: list[str] = []
        for name in layer.inputs:
            inner = self.net.layers[name]
            alone = isinstance(inner.op, Concat) or len(self.net.readers[name]) == 1
            if name not in self.sources and type(inner.op) is type(layer.op) and alone:
                parts += self._parts(inner)
                if len(self.net.readers[name]) == 1:
                    self.inside[name] = ""  # gone through, and read by nothing else
            else:
                parts.append(name)
        return tuple(sorted(parts, key=self.net.position.__getitem__)) if isinstance(layer.op, Add) else tuple(parts)

    def _own_parts(self, layer: Layer) -> tuple[str, ...]:
        if not isinstance(layer.op, Add):
            return layer.inputs
        order = {name: place for place, name in enumerate((*self.net.layers, *self.own))}
        return tuple(sorted(layer.inputs, key=order.__getitem__))


def _equal(theirs: Op, ours: Op) -> bool:
    return theirs == ours or (isinstance(theirs, RepConv) and plain(theirs) == ours)
