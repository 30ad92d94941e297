"""What is stated of a primitive op: shapes, counts, what it moves, what it reads. No torch here."""

from dataclasses import dataclass
from functools import reduce
from operator import add


class ShapeError(ValueError):
    """Shapes that an op cannot join; whoever lowers puts the place before the message."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A feature map without its batch: channels, height, width."""

    channels: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def elements(self) -> int:
        return self.channels * self.pixels

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What can be counted of a layer or of many; FLOPs exist only under a named convention (`scaler.cost`)."""

    params: int = 0  # trainable
    macs: int = 0  # multiply-accumulates of convolutions
    activations: int = 0  # output elements of convolutions (Dollár et al., arXiv:2103.06877)
    biases: int = 0  # of these, the ones to which a bias is added
    normed: int = 0  # elements leaving a batch norm

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.activations + other.activations,
            self.biases + other.biases,
            self.normed + other.normed,
        )


def total(costs: "list[Cost]") -> Cost:
    """Sum of costs; of none, zero."""
    return reduce(add, costs, Cost())


@dataclass(frozen=True, slots=True)
class Traffic:
    """Elements that pass between memory and processor, each operand once, for one image."""

    read: int = 0  # of feature maps
    params: int = 0  # read too, but once for a whole batch
    written: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Which cells of its input an op reads along either axis, on a map without borders."""

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    repeat: int = 1  # cells that it makes of each that it reads

    def reads(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last cell of the input that the cells `first` to `last` of the output depend on."""
        start, end = first * self.stride - self.padding, last * self.stride - self.padding + self.kernel - 1
        return start // self.repeat, end // self.repeat
