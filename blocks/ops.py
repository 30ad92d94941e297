"""Primitive ops: what each does to a shape, what it costs, moves and reads, side by side. No torch here.

A shape is of one image. Costs are exact integers, for batch 1; where channels are polynomials in widths that are not
known yet, costs are too (`scaler.forms`). An op knows whether it still has its training form (batch norm apart, RepConv
branches, implicit vectors); `folded` gives the op that computes the same when deployed. What ends a level's head stands
in `levels`.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self

from .measures import Cost, Shape, ShapeError, Traffic, Window

Activation = Literal["silu", "leaky_relu", "mish"]
Gating = Literal["sigmoid", "hard_sigmoid"]  # of a conv whose output others are multiplied by


class Op(Protocol):
    """A primitive: the facts that everything else (cost, module, export) follows from."""

    def shape(self, *inputs: Shape) -> Shape:
        """Output shape for the shapes of the inputs, in order."""
        ...

    def cost(self, *inputs: Shape) -> Cost:
        """Exact cost for the shapes of the inputs, in order."""
        ...

    def folded(self) -> "Op":
        """The op that computes the same function when deployed."""
        ...

    def traffic(self, *inputs: Shape) -> Traffic:
        """Elements moved for the shapes of the inputs, in order."""
        ...

    def convs_passed(self, *inputs: Shape) -> tuple[int, int]:
        """Convolutions on the shortest and on the longest way from the output back to an input."""
        ...

    @property
    def window(self) -> Window:
        """The cells of each input that a cell of the output depends on."""
        ...


class Primitive:
    """What holds for most ops: every operand passes through memory once, and a cell reads the one in its place."""

    __slots__ = ()

    def traffic(self: Op, *inputs: Shape) -> Traffic:
        read = sum(x.elements for x in inputs)
        return Traffic(read, self.cost(*inputs).params, self.shape(*inputs).elements)

    @property
    def window(self) -> Window:
        return Window()


class Free(Primitive):
    """An op without weights or multiplications: it moves, selects or adds, which every convention counts as nothing."""

    __slots__ = ()

    def cost(self, *inputs: Shape) -> Cost:
        return Cost()

    def convs_passed(self, *inputs: Shape) -> tuple[int, int]:
        return 0, 0

    def folded(self) -> Self:
        return self


class _View(Free):
    """An op whose output lies in memory already: it says where, and moves nothing."""

    __slots__ = ()

    def traffic(self, *inputs: Shape) -> Traffic:
        return Traffic()


@dataclass(frozen=True, slots=True)
class Image(_View):
    """The network's input, in RGB."""

    size: int  # pixels of a side
    channels: int = 3

    def shape(self, *inputs: Shape) -> Shape:
        return Shape(self.channels, self.size, self.size)


@dataclass(frozen=True, slots=True)
class Conv(Primitive):
    """Convolution, then batch norm (folded: a bias instead), then activation.

    The padding is (kernel - 1) // 2, so that at stride 2 an even side is halved exactly, by even kernels too.
    """

    out: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    act: Activation | Gating | None = "silu"
    norm: bool = True

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if self.groups > 1 and (x.channels % self.groups or self.out % self.groups):
            raise ShapeError(f"{x.channels} channels in and {self.out} out cannot be split into {self.groups} groups")
        kernel, stride = self.kernel, self.stride
        return Shape(self.out, _strided(x.height, kernel, stride), _strided(x.width, kernel, stride))

    def cost(self, *inputs: Shape) -> Cost:
        (x,) = inputs
        y = self.shape(x)
        weights = self.kernel**2 * (x.channels // self.groups) * self.out
        return Cost(
            params=weights + (2 if self.norm else 1) * self.out,
            macs=weights * y.pixels,
            activations=y.elements,
            biases=0 if self.norm else y.elements,
            normed=y.elements if self.norm else 0,
        )

    def folded(self) -> "Conv":
        return replace(self, norm=False)

    def convs_passed(self, *inputs: Shape) -> tuple[int, int]:
        return 1, 1

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, (self.kernel - 1) // 2)


@dataclass(frozen=True, slots=True)
class RepConv(Primitive):
    """3x3 and 1x1 convolutions with batch norms, summed, then activation; one 3x3 convolution when folded.

    With `identity`, a batch norm of the input joins the sum where the shapes allow it; without, it is "RepConvN", the
    form for a layer with a residual or a concatenation. Source: YOLOv7, arXiv:2207.02696, section 4.1 and Fig. 4.
    """

    out: int
    stride: int = 1
    groups: int = 1
    act: Activation | Gating | None = "silu"
    identity: bool = True

    def branches(self, x: Shape) -> int:
        """Batch norms in the sum."""
        return 2 + (self.identity and self.stride == 1) * (x.channels == self.out)

    def shape(self, *inputs: Shape) -> Shape:
        return self.folded().shape(*inputs)

    def cost(self, *inputs: Shape) -> Cost:
        (x,) = inputs
        dense, point = (Conv(self.out, kernel, self.stride, self.groups, self.act).cost(x) for kernel in (3, 1))
        extra = self.branches(x) - 2
        return dense + point + Cost(params=extra * 2 * self.out, normed=extra * x.elements)

    def folded(self) -> Conv:
        return Conv(self.out, 3, self.stride, self.groups, self.act, norm=False)

    def convs_passed(self, *inputs: Shape) -> tuple[int, int]:
        (x,) = inputs
        return (0 if self.branches(x) > 2 else 1), 1  # a batch norm is no convolution

    @property
    def window(self) -> Window:
        return self.folded().window


@dataclass(frozen=True, slots=True)
class MaxPool(Free):
    """Maximum over kernel x kernel; stride 1 keeps the size (padding kernel // 2), a larger one does not pad."""

    kernel: int
    stride: int = 1

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if self.stride == 1:
            return x
        if min(x.height, x.width) < self.kernel:
            raise ShapeError(f"a {x.height}x{x.width} map is smaller than the pool's {self.kernel}x{self.kernel}")
        height, width = ((side - self.kernel) // self.stride + 1 for side in (x.height, x.width))
        return Shape(x.channels, height, width)

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.kernel // 2 if self.stride == 1 else 0)


@dataclass(frozen=True, slots=True)
class Upsample(Free):
    """Nearest-neighbour up-sampling by a whole factor."""

    factor: int = 2

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        return Shape(x.channels, self.factor * x.height, self.factor * x.width)

    @property
    def window(self) -> Window:
        return Window(repeat=self.factor)


@dataclass(frozen=True, slots=True)
class SpaceToDepth(Free):
    """Each 2x2 square becomes four times the channels, in the order (row, column) = 00, 10, 01, 11 ("ReOrg")."""

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if x.height % 2 or x.width % 2:
            raise ShapeError(f"a {x.height}x{x.width} map cannot be cut into 2x2 squares; use an even size")
        return Shape(4 * x.channels, x.height // 2, x.width // 2)

    @property
    def window(self) -> Window:
        return Window(kernel=2, stride=2)


@dataclass(frozen=True, slots=True)
class Concat(Free):
    """Channels of all inputs, in order: a copy, every channel read and written."""

    def shape(self, *inputs: Shape) -> Shape:
        first = inputs[0]
        if any((x.height, x.width) != (first.height, first.width) for x in inputs):
            raise ShapeError(f"cannot concatenate maps of different sizes: {', '.join(map(str, inputs))}")
        return Shape(sum(x.channels for x in inputs), first.height, first.width)


@dataclass(frozen=True, slots=True)
class GroupConcat(Free):
    """Channels of all inputs, sorted by group: the first group's share of every input, then the second's, and so on.

    Source: the shuffle of E-ELAN, YOLOv7, arXiv:2207.02696, section 3.1 and Fig. 2 (d).
    """

    groups: int

    def shape(self, *inputs: Shape) -> Shape:
        for x in inputs:
            _split(x.channels, self.groups)
        return Concat().shape(*inputs)


@dataclass(frozen=True, slots=True)
class TakeGroup(_View):
    """The channels of one group: a view, nothing is copied."""

    index: int  # from 0
    groups: int

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        return replace(x, channels=_split(x.channels, self.groups))


@dataclass(frozen=True, slots=True)
class ChannelShuffle(Free):
    """Channels dealt out in turns, so that each group afterwards holds some of every group before.

    Source: ShuffleNet, arXiv:1707.01083, section 3.1.
    """

    groups: int

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        _split(x.channels, self.groups)
        return x


@dataclass(frozen=True, slots=True)
class Add(Free):
    """Element-wise sum of all inputs."""

    def shape(self, *inputs: Shape) -> Shape:
        first = inputs[0]
        if any(x != first for x in inputs):
            raise ShapeError(f"cannot add maps of different shapes: {', '.join(map(str, inputs))}")
        return first


@dataclass(frozen=True, slots=True)
class GlobalPool(Free):
    """Mean over the whole map, in one cell. Its window is told as a cell: what all cells share tells none apart."""

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        return Shape(x.channels, 1, 1)


@dataclass(frozen=True, slots=True)
class Gate(Free):
    """A map multiplied by one number for each channel: inputs are the map, then the numbers, C x 1 x 1."""

    def shape(self, *inputs: Shape) -> Shape:
        x, numbers = inputs
        if numbers != Shape(x.channels, 1, 1):
            raise ShapeError(f"a map of {x} cannot be gated by {numbers}; a number for each channel is needed")
        return x


def _split(channels: int, groups: int) -> int:
    if channels % groups:
        raise ShapeError(f"{channels} channels cannot be split into {groups} groups")
    return channels // groups


def _strided(side: int, kernel: int, stride: int) -> int:
    return (side + 2 * ((kernel - 1) // 2) - kernel) // stride + 1
