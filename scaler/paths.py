"""Lengths of gradient paths: convolutions on the shortest and on the longest way back through the train graph.

ELAN and E-ELAN are designed by them (YOLOv7, arXiv:2207.02696, section 3.1; "Designing Network Design Strategies
Through Gradient Path Analysis", arXiv:2211.04800). What passes no convolution is no step: a pool, a sum, a batch norm,
the identity branch of a RepConv. No torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..blocks.graph import Graph


@dataclass(frozen=True, slots=True)
class PathLengths:
    """Convolutions on the shortest and on the longest way between two places."""

    shortest: int = 0
    longest: int = 0

    def __str__(self) -> str:
        return f"{self.shortest}-{self.longest}"


def paths_to_image(graph: Graph) -> dict[str, PathLengths]:
    """From the output of each layer back to the image, by the layer's name; the layer itself is on the way."""
    return _lengths(graph, across_blocks=True)


def paths_of_blocks(graph: Graph) -> dict[str, PathLengths]:
    """From what each node of the architecture passes on back to what it reads, by the node's name.

    A node passes on the layers that no other layer of its own reads: one, or the parts that only a later concatenation
    joins.
    """
    node = {layer.name: layer.node for layer in graph.layers}
    within = {name for layer in graph.layers for name in layer.inputs if node[name] == layer.node}
    ends: dict[str, list[PathLengths]] = {}
    for name, lengths in _lengths(graph, across_blocks=False).items():
        if name not in within:
            ends.setdefault(node[name], []).append(lengths)
    return {name: _joined(lengths) for name, lengths in ends.items()}


def _lengths(graph: Graph, *, across_blocks: bool) -> dict[str, PathLengths]:
    """From the output of each layer back to the image, or no further than to what the layer's own block reads."""
    shapes = graph.shapes()
    node = {layer.name: layer.node for layer in graph.layers}
    found: dict[str, PathLengths] = {}
    for layer in graph.layers:
        ways = [found[name] if across_blocks or node[name] == layer.node else PathLengths() for name in layer.inputs]
        before = _joined(ways or [PathLengths()])
        shortest, longest = layer.op.convs_passed(*(shapes[name] for name in layer.inputs))
        found[layer.name] = PathLengths(before.shortest + shortest, before.longest + longest)
    return found


def _joined(ways: Sequence[PathLengths]) -> PathLengths:
    return PathLengths(min(way.shortest for way in ways), max(way.longest for way in ways))
