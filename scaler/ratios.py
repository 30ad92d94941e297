"""The ratios of compound scaling, read off the graph: what each concatenation gained, and what it governs. No torch.

Source: YOLOv7, arXiv:2207.02696, section 3.2 and Fig. 3.
"""

from fractions import Fraction

from ..blocks.ops import Concat
from ..blocks.roles import Role, fields_with
from .architecture import Architecture


def concatenated_widths(architecture: Architecture) -> dict[str, int]:
    """Channels joined inside each computational block that has a depth, read off the graph; by node."""
    deep = {node.name for node in architecture.nodes if fields_with(type(node.block), Role.DEPTH, Role.REPEATS)}
    graph = architecture.graph()
    shapes = graph.shapes()
    widths: dict[str, int] = {}
    for layer in graph.layers:
        if layer.node in deep and isinstance(layer.op, Concat):
            widths[layer.node] = widths.get(layer.node, 0) + shapes[layer.name].channels
    return widths


def governing_blocks(architecture: Architecture, blocks: dict[str, int]) -> dict[str, str]:
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
