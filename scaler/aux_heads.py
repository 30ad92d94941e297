"""Auxiliary heads as a scaling: on which features they stand while training. Deployment cuts them. No torch."""

from collections.abc import Iterator, Sequence

from ..blocks.convs import ConvNode
from ..blocks.elan import Elan
from ..blocks.errors import nearest
from .architecture import Architecture, Node
from .factors import ScaleError
from .pyramid_graph import NodeGraph, top_down_features
from .raising import raised
from .rewiring import by_rule, rebuilt

AUX = ("auto", "partial", "full", "none")


def aux(architecture: Architecture, reading: str | Sequence[str]) -> Architecture:
    """With auxiliary heads in place of those that it has, or without.

    Every level gets a 3x3 conv `aux.pN` and a prediction on it. The conv is as wide as what the lead head reads at that
    level, and reads the level's top-down feature, at the coarsest level the pyramid pooling. Where the feature is an
    E-ELAN's, `partial` reads the last of its groups, before the cardinality is merged, and `full` the sum; `auto` is
    `partial`, as in the released YOLOv7-E6E. A list names the nodes to read instead, finest first; `none` takes
    auxiliary heads away, with the nodes that they alone need.

    Raises:
        ScaleError: the word is unknown, a level has no top-down feature, or the list is not one of the levels' nodes.

    Source: YOLOv7, arXiv:2207.02696, section 4.2, Table 8; widths and places: facts of the released models.
    """
    where = f"{architecture.name}: aux"
    architecture = raised(architecture)
    bare = without_aux(architecture)
    if reading == "none":
        return bare
    if isinstance(reading, str):
        if reading not in AUX:
            raise ScaleError(f"{where}: {reading!r} is no way to read; {nearest(reading, AUX)}")
        reading = [_read(bare, name, partial=reading != "full") for name in top_down_features(bare)]
    if len(reading) != len(bare.heads):
        raise ScaleError(f"{where}: {len(reading)} nodes for {len(bare.heads)} levels; name one a level, finest first")
    nodes = tuple(_convs(bare, reading))
    scaled = bare.replace(nodes=(*bare.nodes, *nodes), aux=tuple(node.name for node in nodes))
    for name, own, level in zip(reading, _strides(scaled), scaled.strides, strict=True):
        if own != level:
            raise ScaleError(f"{where}: {name} has stride {own}, the head of its level {level}; name them finest first")
    return architecture if by_rule(scaled) == by_rule(architecture) else scaled


def without_aux(architecture: Architecture) -> Architecture:
    """The architecture that is left when its auxiliary heads are cut."""
    if not architecture.aux:
        return architecture
    gone = NodeGraph.of(architecture).aux_only
    return rebuilt(architecture, tuple(node for node in architecture.nodes if node.name not in gone), aux=())


def _read(architecture: Architecture, name: str, *, partial: bool) -> str:
    """What an auxiliary head reads of a feature."""
    block = next(node.block for node in architecture.nodes if node.name == name)
    if partial and isinstance(block, Elan) and block.groups > 1:
        return f"{name}.group{block.groups}.out"
    return name


def _convs(architecture: Architecture, reading: Sequence[str]) -> Iterator[Node]:
    graph = architecture.graph()
    shapes, inputs = graph.shapes(), {layer.name: layer.inputs for layer in graph.layers}
    for name, predict, stride in zip(reading, graph.lead, architecture.strides, strict=True):
        width = shapes[inputs[predict][0]].channels
        yield Node(f"aux.p{stride.bit_length() - 1}", ConvNode(width, kernel=3), (str(name),))


def _strides(architecture: Architecture) -> Iterator[int]:
    graph = architecture.graph()
    shapes = graph.shapes()
    return (architecture.size // shapes[name].height for name in graph.aux)
