"""The pyramid of a detector, found in its graph: the feature of every level, and the nodes that make it. No torch.

No name is looked at. A level is a stride at which a head stands. Of the nodes at a stride some are upstream of all
up-sampling: the backbone, at the coarsest level the pyramid pooling too. Some follow an up-sampling and not yet a
halving after it: the top-down path. Some follow such a halving: the bottom-up path. Each of the three passes on its
feature at one node, the last that everything goes through which leaves that part: the nearest common dominator of
what leaves it. So a block may be one node or be written out layer by layer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from ..blocks.measures import Shape
from ..blocks.ops import Conv, MaxPool, RepConv, Upsample
from .architecture import IMAGE, NOMINAL, Architecture, owner_of
from .factors import ScaleError


@dataclass(frozen=True, slots=True)
class Level:
    """The nodes that pass on the features of one level, and the one that its lead head reads."""

    number: int  # 3 for P3: the stride's logarithm
    backbone: str
    top_down: str  # at the coarsest level the pyramid pooling: what is up-sampled first
    bottom_up: str  # at the finest level the top-down feature
    head: str

    @property
    def stride(self) -> int:
        """Pixels of the input to a cell."""
        return 2**self.number


@dataclass(frozen=True)
class NodeGraph:
    """How nodes stand to each other. `reads` names, for each node in order, the nodes that it reads."""

    architecture: Architecture
    reads: dict[str, tuple[str, ...]]
    shapes: dict[str, Shape]  # of what each node passes on, for an image of NOMINAL pixels

    @classmethod
    def of(cls, architecture: Architecture) -> "NodeGraph":
        """Read off the nodes and the graph of an architecture."""
        nodes = {node.name: node for node in architecture.nodes}
        reads = {name: tuple(owner_of(i, nodes) or IMAGE for i in node.inputs) for name, node in nodes.items()}
        graph = architecture.graph()
        of_layers = graph.shapes(NOMINAL)
        written = {layer.node: of_layers[layer.name] for layer in graph.layers}  # a node's last layer is its output
        shapes = {IMAGE: written[IMAGE]}
        for name, inputs in reads.items():  # a concat that became part of the next one has no layer left
            shapes[name] = written.get(name, shapes[inputs[0]])
        return cls(architecture, {IMAGE: (), **reads}, shapes)

    def stride(self, name: str) -> int:
        """Pixels of the input to a cell of what a node passes on."""
        return NOMINAL // self.shapes[name].height

    @cached_property
    def upstream(self) -> dict[str, frozenset[str]]:
        """What each node depends on, and itself."""
        upstream: dict[str, frozenset[str]] = {}
        for name, inputs in self.reads.items():
            upstream[name] = frozenset({name}).union(*(upstream[i] for i in inputs))
        return upstream

    @cached_property
    def dominators(self) -> dict[str, frozenset[str]]:
        """The nodes that every path from the image to a node goes through, itself among them."""
        dominators: dict[str, frozenset[str]] = {IMAGE: frozenset({IMAGE})}
        for name, inputs in self.reads.items():
            if inputs:
                dominators[name] = frozenset({name}) | frozenset.intersection(*(dominators[i] for i in inputs))
        return dominators

    @cached_property
    def readers(self) -> dict[str, set[str]]:
        """The nodes that read each node, those of auxiliary heads apart."""
        readers: dict[str, set[str]] = {name: set() for name in self.reads}
        for name, inputs in self.reads.items():
            for i in inputs if name not in self.aux_only else ():
                readers[i].add(name)
        return readers

    @cached_property
    def aux_only(self) -> frozenset[str]:
        """The nodes that the auxiliary heads need and the lead head does not."""
        needed = (self.upstream[name] for name in self.architecture.heads)
        return frozenset().union(*(self.upstream[name] for name in self.architecture.aux)).difference(*needed)

    @cached_property
    def up(self) -> frozenset[str]:
        """The nodes that follow an up-sampling, or hold one."""
        holding = {layer.node for layer in self.architecture.graph().layers if isinstance(layer.op, Upsample)}
        return self.from_on(holding)

    @cached_property
    def back(self) -> frozenset[str]:
        """The nodes that follow a halving after an up-sampling, or make it: the bottom-up path."""
        halving = {
            name
            for name, inputs in self.reads.items()
            if any(i in self.up for i in inputs) and self.stride(name) > max(map(self.stride, inputs))
        }
        return self.from_on(halving)

    def from_on(self, starts: Iterable[str]) -> frozenset[str]:
        """These nodes and all that follow them."""
        starts = frozenset(starts)
        return frozenset(name for name in self.reads if self.upstream[name] & starts)

    def between(self, target: str, *sources: str) -> frozenset[str]:
        """What `target` depends on that the sources do not, itself among it."""
        return self.upstream[target].difference(*(self.upstream[source] for source in sources))

    def passing_on(self, part: frozenset[str], stride: int) -> str | None:
        """The node by which a part of the graph passes on its feature of this stride; None where no one node does."""
        members = {name for name in part - self._head_convs - self.aux_only if self.stride(name) == stride}
        heads = self.architecture.heads
        leaving = [name for name in members if self.readers[name] - members or name in heads]
        if not leaving:
            return None
        common = frozenset.intersection(*(self.dominators[name] for name in leaving))
        return next((name for name in reversed(self.reads) if name in common & members), None)

    @cached_property
    def _head_convs(self) -> frozenset[str]:
        """The lead head's own convs: read by nothing else."""
        layers = {
            name: [layer.op for layer in self.architecture.graph().layers if layer.node == name]
            for name in self.architecture.heads
        }
        return frozenset(
            name
            for name, ops in layers.items()
            if len(ops) == 1 and isinstance(ops[0], Conv | RepConv) and not self.readers[name]
        )


def top_down_features(architecture: Architecture) -> tuple[str, ...]:
    """For every level, finest first, the node of its top-down feature; where there is none, of what is up-sampled.

    Raises:
        ScaleError: a level has neither at one node.
    """
    wiring = NodeGraph.of(architecture)
    whole = frozenset(wiring.reads)
    features: list[str] = []
    for stride in architecture.strides:
        paths = (wiring.up - wiring.back, whole - wiring.up) if wiring.up else ()
        found = next((name for path in paths if (name := wiring.passing_on(path, stride))), None)
        if found is None:
            raise ScaleError(
                f"{architecture.name}: aux: no one node has the top-down feature of stride {stride}; name the nodes "
                f"to read, finest first"
            )
        features.append(found)
    return tuple(features)


@dataclass(frozen=True)
class Pyramid:
    """The levels of a detector, finest first, and the nodes that make the features of each."""

    wiring: NodeGraph
    levels: tuple[Level, ...]

    @classmethod
    def of(cls, architecture: Architecture) -> "Pyramid":
        """Find the levels.

        Raises:
            ScaleError: the graph is no pyramid with a top-down and a bottom-up path; the message names what is not.
        """
        where, strides = f"{architecture.name}: stages", architecture.strides
        if any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
            raise ScaleError(
                f"{where}: its heads stand at strides {_listed(strides)}; each must be twice the one before"
            )
        wiring = NodeGraph.of(architecture)
        pyramid = cls(wiring, tuple(_level(wiring, place) for place in range(len(strides))))
        pyramid._check()
        return pyramid

    def backbone_step(self, place: int) -> frozenset[str]:
        """The transition from the level before, and the computational block; at the finest all before it too."""
        sources = (self.levels[place - 1].backbone,) if place else (IMAGE,)
        return self.wiring.between(self.levels[place].backbone, *sources)

    @property
    def pooling(self) -> frozenset[str]:
        """The pyramid pooling, on top of the backbone."""
        return self.wiring.between(self.levels[-1].top_down, self.levels[-1].backbone)

    def top_down_step(self, place: int) -> frozenset[str]:
        """Up-sampling of the level after, lateral conv, block."""
        own = self.levels[place]
        return self.wiring.between(own.top_down, self.levels[place + 1].top_down, own.backbone)

    def bottom_up_step(self, place: int) -> frozenset[str]:
        """Transition from the level before, joint, block."""
        own = self.levels[place]
        return self.wiring.between(own.bottom_up, self.levels[place - 1].bottom_up, own.top_down)

    def head(self, place: int) -> frozenset[str]:
        """The convs before the lead head."""
        return self.wiring.between(self.levels[place].head, self.levels[place].bottom_up)

    def aux(self, place: int) -> frozenset[str]:
        """The convs before the auxiliary head; empty where there is none."""
        names = self.wiring.architecture.aux
        return self.wiring.between(names[place], self.levels[place].top_down) if names else frozenset()

    def _check(self) -> None:
        """Hold that every node is part of a level, and reads nothing but its level's features."""
        levels, architecture = self.levels, self.wiring.architecture
        top = len(levels) - 1
        parts: list[tuple[frozenset[str], set[str]]] = [(self.backbone_step(0), {IMAGE})]
        parts += [(self.backbone_step(i), {levels[i - 1].backbone}) for i in range(1, top + 1)]
        parts += [(self.pooling, {levels[top].backbone})]
        parts += [(self.top_down_step(i), {levels[i + 1].top_down, levels[i].backbone}) for i in range(top)]
        parts += [(self.bottom_up_step(i), {levels[i - 1].bottom_up, levels[i].top_down}) for i in range(1, top + 1)]
        parts += [(self.head(i), {levels[i].bottom_up}) for i in range(top + 1)]
        parts += [(self.aux(i), {levels[i].top_down}) for i in range(top + 1)]
        for part, sources in parts:
            for name in sorted(part):
                for read in self.wiring.reads[name]:
                    if read not in part | sources:
                        mend = (
                            "take its auxiliary heads away first (aux: none)"
                            if name in self.wiring.aux_only
                            else "levels can be added and dropped where each is made of its neighbours alone"
                        )
                        raise ScaleError(
                            f"{architecture.name}: stages: node {name} reads {read}, which is no feature of its level; "
                            f"{mend}"
                        )
        outside = set(self.wiring.reads).difference({IMAGE}, *(part for part, _ in parts))
        if outside:
            raise ScaleError(f"{architecture.name}: stages: node {min(outside)} belongs to no level of the pyramid")


def _level(wiring: NodeGraph, place: int) -> Level:
    architecture = wiring.architecture
    stride, top = architecture.strides[place], place == len(architecture.strides) - 1
    plain = frozenset(wiring.reads) - wiring.up
    top_down = wiring.passing_on(plain if top else wiring.up - wiring.back, stride)
    backbone = _before_pooling(wiring, top_down, stride) if top else wiring.passing_on(plain, stride)
    bottom_up = wiring.passing_on(wiring.back, stride) if place else top_down
    for path, found in (("backbone", backbone), ("top-down", top_down), ("bottom-up", bottom_up)):
        if found is None:
            raise ScaleError(
                f"{architecture.name}: stages: no one node has the {path} feature of stride {stride}; levels can be "
                f"added and dropped where a backbone, a top-down and a bottom-up path meet at every level"
            )
    assert backbone
    assert top_down
    assert bottom_up
    return Level(stride.bit_length() - 1, backbone, top_down, bottom_up, architecture.heads[place])


def _before_pooling(wiring: NodeGraph, pooled: str | None, stride: int) -> str | None:
    """The last node at this stride that everything goes through before it is pooled without being halved."""
    if pooled is None:
        return None
    layers = wiring.architecture.graph().layers
    after = wiring.from_on(layer.node for layer in layers if isinstance(layer.op, MaxPool) and layer.op.stride == 1)
    candidates = wiring.dominators[pooled] - after
    return next((name for name in reversed(wiring.reads) if name in candidates and wiring.stride(name) == stride), None)


def _listed(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))
