"""What a pyramid level's head ends in, and the decoding of all levels to boxes: primitive ops. No torch here.

A level's raw map has, for each of its `rows` boxes in every cell, what its kind of head says of a box and a logit for
each class. Decoded, every kind gives the same row: cx, cy, w, h in pixels, objectness, class scores.
"""

from dataclasses import dataclass, replace

from .measures import Cost, Shape, ShapeError
from .ops import Free, Primitive

Anchors = tuple[tuple[float, float], ...]  # (width, height) in pixels of the network input


@dataclass(frozen=True, slots=True)
class Predict(Primitive):
    """The 1x1 convolution of one pyramid level's head: for each anchor x, y, w, h, objectness and a logit per class.

    With `implicit`, a learned vector is added to its input and another multiplies its output (YOLOR's implicit
    knowledge; YOLOv7, arXiv:2207.02696, section 4.3); both are folded into weight and bias when deployed.
    """

    anchors: Anchors
    classes: int
    stride: int  # pixels of the network input for each cell
    implicit: bool = False

    @property
    def rows(self) -> int:
        """Boxes for each cell."""
        return len(self.anchors)

    @property
    def out(self) -> int:
        return len(self.anchors) * (5 + self.classes)

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        return Shape(self.out, x.height, x.width)

    def cost(self, *inputs: Shape) -> Cost:
        (x,) = inputs
        y = self.shape(x)
        weights = x.channels * self.out
        vectors = x.channels + self.out if self.implicit else 0
        return Cost(weights + self.out + vectors, weights * y.pixels, y.elements, biases=y.elements)

    def folded(self) -> "Predict":
        return replace(self, implicit=False)

    def convs_passed(self, *inputs: Shape) -> tuple[int, int]:
        return 1, 1


@dataclass(frozen=True, slots=True)
class AnchorFree(Free):
    """One box for each cell: x, y, w, h, objectness and a logit per class, joined from three predictions.

    The centre is an offset from the cell's corner in cells, the size a logarithm in cells, neither bounded.

    Source: YOLOX, arXiv:2107.08430, section 2.1.
    """

    classes: int
    stride: int  # pixels of the network input for each cell

    @property
    def rows(self) -> int:
        """Boxes for each cell."""
        return 1

    def shape(self, *inputs: Shape) -> Shape:
        return _joined(inputs, (4, 1, self.classes))


@dataclass(frozen=True, slots=True)
class Distribution(Free):
    """One box for each cell: `bins` logits for each of its four sides, and a logit per class, of two predictions.

    A side lies as many cells from the cell's middle as the expectation over 0, 1, …, bins - 1 says. There is no
    objectness: decoded, it is 1, or the score of a single class.

    Source: generalised focal loss, arXiv:2006.04388, section 3; PP-YOLOE, arXiv:2203.16250, section 2.2.
    """

    classes: int
    stride: int  # pixels of the network input for each cell
    bins: int

    @property
    def rows(self) -> int:
        """Boxes for each cell."""
        return 1

    def shape(self, *inputs: Shape) -> Shape:
        return _joined(inputs, (4 * self.bins, self.classes))


Level = Predict | AnchorFree | Distribution
LEVELS = (Predict, AnchorFree, Distribution)


@dataclass(frozen=True, slots=True)
class Detect(Free):
    """Decode all levels, of one kind, to boxes: a row for each box of each cell, as the module says."""

    levels: tuple[Level, ...]

    def shape(self, *inputs: Shape) -> Shape:
        rows = sum(x.pixels * level.rows for x, level in zip(inputs, self.levels, strict=True))
        return Shape(rows, 1, 5 + self.levels[0].classes)


def _joined(inputs: tuple[Shape, ...], wanted: tuple[int, ...]) -> Shape:
    first = inputs[0]
    if tuple(x.channels for x in inputs) != wanted or any(x.pixels != first.pixels for x in inputs):
        channels = ", ".join(map(str, wanted))
        raise ShapeError(f"predictions of {channels} channels are wanted, not {', '.join(map(str, inputs))}")
    return Shape(sum(wanted), first.height, first.width)
