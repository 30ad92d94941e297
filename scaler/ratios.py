"""The ratios of compound scaling, read off the graph: what each concatenation gained, and what it governs. No torch.

Source: YOLOv7, arXiv:2207.02696, section 3.2 and Fig. 3.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from ..blocks.graph import Graph, Layer
from ..blocks.levels import Predict
from ..blocks.ops import Concat, Conv, GroupConcat, Image, RepConv
from ..blocks.roles import Role, fields_with
from .architecture import Architecture


def concatenated_widths(architecture: Architecture) -> dict[str, int]:
    """Channels that the last concatenation inside each computational block joins, read off the graph; by node."""
    graph = architecture.graph()
    shapes = graph.shapes()
    return {node: shapes[layer.name].channels for node, layer in _concatenations(architecture, graph).items()}


def concatenation_ratios(architecture: Architecture, deeper: Architecture) -> dict[str, Fraction]:
    """What the concatenation of each computational block gains when `deeper` is also widened by the rule; by node.

    That is new concatenated width / old. Where a block joins its own input too (VoVNet, DenseNet), the input is as wide
    as the ratio that governs it makes it, so that the ratios are solved for from the image on.
    """
    old = concatenated_widths(architecture)
    graph = deeper.graph()
    governing = governing_blocks(architecture, old)
    ratios: dict[str, Fraction] = {}
    for node, layer in _concatenations(deeper, graph).items():
        kept, own = Fraction(0), Fraction(0)  # channels that keep their width; ones that follow this block's ratio
        for source, channels in _sources(graph, layer).items():
            block = governing.get(source)
            if source == node or block is None:
                kept += channels
            elif block == node:
                own += channels
            else:
                kept += channels * ratios[block]
        ratios[node] = kept / (old[node] - own)
    return ratios


def governing_blocks(architecture: Architecture, blocks: Mapping[str, object]) -> dict[str, str]:
    """For every node the computational block whose ratio scales its outside widths: itself, else the one it follows.

    What precedes the first block follows the first.
    """
    first = next(iter(blocks))
    governing: dict[str, str] = {}
    for node in architecture.nodes:
        upstream = node.inputs[0]
        while upstream not in governing and "." in upstream:  # a layer inside a node is governed as its node
            upstream = upstream.rpartition(".")[0]
        governing[node.name] = node.name if node.name in blocks else governing.get(upstream, first)
    return governing


def power(ratio: Fraction, exponent: float) -> Fraction:
    """ratio ** exponent, exact where the exponent is 1."""
    return ratio if exponent == 1 else Fraction(float(ratio) ** exponent).limit_denominator(10**6)


def _concatenations(architecture: Architecture, graph: Graph) -> dict[str, Layer]:
    """The last concatenation inside each block that has a depth, by node, in order."""
    deep = {node.name for node in architecture.nodes if fields_with(type(node.block), Role.DEPTH, Role.REPEATS)}
    return {
        layer.node: layer for layer in graph.layers if layer.node in deep and isinstance(layer.op, Concat | GroupConcat)
    }


def _sources(graph: Graph, layer: Layer) -> Counter[str]:
    """The channels that a layer joins, by the nodes whose convolutions (or image) gave them their number."""
    layers = {layer.name: layer for layer in graph.layers}
    shapes = graph.shapes()
    found: Counter[str] = Counter()
    waiting = list(layer.inputs)
    while waiting:
        name = waiting.pop()
        source = layers[name]
        if isinstance(source.op, Conv | RepConv | Predict | Image):
            found[source.node] += shapes[name].channels
        elif isinstance(source.op, Concat | GroupConcat):
            waiting += source.inputs
        else:
            share = _sources(graph, replace(source, inputs=source.inputs[:1]))  # the terms of a sum are equally wide
            given = sum(share.values())
            for node, channels in share.items():  # all of it, or a group's share, or four times as many
                found[node] += channels * shapes[name].channels // given
    return found
