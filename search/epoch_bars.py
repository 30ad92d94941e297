"""A line for each trial under way, on a terminal: its number, the AP of its latest epoch, and a bar of its epochs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..scaler.terminal import err
from ..trainer.run_folder import EpochRow

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Watch = Callable[[int, EpochRow | None], None]  # number of a trial under way, and an epoch of it; None when it ends


class EpochBars:
    """The lines, in rich's progress display."""

    def __init__(self, progress: "Progress", epochs: int | None) -> None:
        self.progress, self.epochs = progress, epochs
        self.lines: dict[int, TaskID] = {}

    def __call__(self, number: int, row: EpochRow | None) -> None:
        if row is None:
            if number in self.lines:
                self.progress.remove_task(self.lines.pop(number))
            return
        if number not in self.lines:
            self.lines[number] = self.progress.add_task("", total=self.epochs)
        said = f"trial {number}: epoch {row.epoch}, AP {row.ap:.3f}"
        self.progress.update(self.lines[number], description=said, completed=row.epoch)


@contextmanager
def epochs_shown(epochs: int | None) -> Iterator[Watch]:
    """On a terminal, bars of the trials' epochs; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda number, row: None
        return
    from rich.progress import Progress

    with Progress(console=err, transient=True) as progress:
        yield EpochBars(progress, epochs)
