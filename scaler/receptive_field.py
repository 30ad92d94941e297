"""The theoretical receptive field: pixels of the image that one cell of a feature map depends on. No torch.

For chains of convolutions this is the recurrence of Araujo, Norris and Sim, "Computing Receptive Fields of
Convolutional Neural Networks", Distill 2019: r + (k - 1) j with the jump j multiplied by each stride. Instead of sizes
and jumps, the first and last cell are followed back here, so that up-sampling, where neighbouring cells see fields of
different sizes, is exact too; over all paths, because both ends of a window are monotone. Through the mean of a channel
attention every cell depends on the whole image, a little; that way is left out.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from ..blocks.graph import Graph
from ..blocks.ops import Image


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Of a feature map, along either axis, away from borders."""

    size: int  # pixels from the first to the last that a cell depends on: of the cell that sees the most
    stride: Fraction  # pixels from one cell's field to the next's, on average


def receptive_field(graph: Graph, layer: str) -> ReceptiveField:
    """The receptive field of a layer's output, by the layer's name.

    Cells repeat their pattern after as many as all strides back to the image divide; one period is looked at.
    """
    strides = _strides(graph, layer)
    period = lcm(*(stride.denominator for stride in strides.values()))
    sizes = [last - first + 1 for first, last in (_pixels(graph, layer, cell) for cell in range(period))]
    return ReceptiveField(max(sizes), strides[_image(graph)])


def _image(graph: Graph) -> str:
    return next(layer.name for layer in graph.layers if isinstance(layer.op, Image))


def _strides(graph: Graph, target: str) -> dict[str, Fraction]:
    """Cells of each layer that `target` depends on, for each cell of `target`."""
    strides = {target: Fraction(1)}
    for layer in reversed(graph.keep((target,))):
        window = layer.op.window
        for name in layer.inputs:
            strides[name] = strides[layer.name] * Fraction(window.stride, window.repeat)
    return strides


def _pixels(graph: Graph, target: str, cell: int) -> tuple[int, int]:
    """The first and the last pixel that a cell of `target` depends on, on an image without borders."""
    spans = {target: (cell, cell)}
    for layer in reversed(graph.keep((target,))):
        first, last = layer.op.window.reads(*spans[layer.name])
        for name in layer.inputs:
            known = spans.get(name, (first, last))
            spans[name] = min(first, known[0]), max(last, known[1])
    return spans[_image(graph)]
