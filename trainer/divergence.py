"""When a training goes astray: bad batches are counted, once the weights are taken back, then it ends."""

from dataclasses import dataclass
from typing import Literal

from ..blocks.errors import CatscaleError

BAD_IN_A_ROW = 20  # batches without a finite loss and gradient before something is done about it
LOWER_RATE = 0.1  # every rate is multiplied by this when the weights are taken back


class Diverged(CatscaleError):
    """The loss or its gradient stayed non-finite, also from the last good weights at a lower rate."""


@dataclass
class Watch:
    """Counts bad batches, and says what follows."""

    bad: int = 0  # in a row
    restored: bool = False  # the weights were taken back once

    def good(self) -> None:
        """A step was made."""
        self.bad = 0

    def count(self) -> Literal["skip", "restore", "end"]:
        """A batch, or the step it was part of, is left out."""
        self.bad += 1
        if self.bad < BAD_IN_A_ROW:
            return "skip"
        return "end" if self.restored else "restore"
