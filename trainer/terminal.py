"""What the trainer's verbs share: options, the header, growing tables, progress bars."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ..., or auto: cuda where there is one.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Images in a forward pass; the recipe's by default.")]
LastOption = Annotated[bool, typer.Option("--last", help="Take the last epoch's weights, not the best.")]


def device_of(wanted: str) -> str:
    """The name of the device that a user named.

    Raises:
        InputError: there is no such device here.
    """
    from ..scaler.devices import find_device

    return str(find_device(wanted))


def print_header(device: str) -> None:
    """Say what computes: versions and device."""
    import torch

    from .run_folder import versions
    from .threads import compute_threads

    if device == "cpu":
        threads = min(torch.get_num_threads(), compute_threads())
        place = f"cpu, {threads} thread{'s' * (threads > 1)}"
    else:
        place = f"{device}, {torch.cuda.get_device_name(device)}"
    typer.echo(f"catscale {versions()['catscale']}, torch {torch.__version__}, {place}")


def columns(head: Any, *cells: Any, first: int = 9) -> str:
    """A line of a table that grows while it is read: its first cell to the left, the others to the right."""
    return f"{head!s:<{first}}" + "".join(f"{cell!s:>10}" for cell in cells)


def listed(names: tuple[str, ...], most: int = 12) -> str:
    """Names on one line, the first `most` of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error while that is a terminal, and nothing else."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield show
