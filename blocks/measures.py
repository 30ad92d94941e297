"""What primitive ops state of themselves beside shape and cost: what they move, and what they read. No torch here."""

from dataclasses import dataclass


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
