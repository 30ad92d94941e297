"""What the trainer's verbs share: options, the header, growing tables, progress bars."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..blocks.errors import InputError

if TYPE_CHECKING:
    from ..scaler.number_formats import Dtype
    from ..scaler.optimised import Runtime
    from .scoring import Metrics

DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ..., or auto: cuda where there is one.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Images in a forward pass; the recipe's by default.")]
HalfOption = Annotated[bool, typer.Option("--half", help="The half precision that the device has: fp16, on CPUs bf16.")]
LastOption = Annotated[bool, typer.Option("--last", help="Take the last epoch's weights, not the best.")]


class DtypeName(StrEnum):
    """What `--dtype` takes."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


class RuntimeName(StrEnum):
    """What `--runtime` takes."""

    torch = "torch"
    compile = "compile"
    cuda_graph = "cuda-graph"


DtypeOption = Annotated[
    DtypeName | None, typer.Option(help="Number format; one that the device is slow in is refused. fp32 by default.")
]
RuntimeOption = Annotated[RuntimeName, typer.Option(help="How torch runs the detector.")]


def runtime_of(wanted: RuntimeName, device: str) -> "Runtime":
    """The runtime that a user named.

    Raises:
        InputError: the device has no such runtime.
    """
    import torch

    from ..scaler.optimised import check_runtime

    check_runtime(wanted.value, torch.device(device))
    return wanted.value


def dtype_of(wanted: DtypeName | None, half: bool, device: str) -> "Dtype":
    """The number format that a user named, or the device's own half precision.

    Raises:
        InputError: both are named, or the device is slow in it.
    """
    import torch

    from ..scaler.number_formats import half_of, quick_dtype

    where = torch.device(device)
    if wanted and half:
        raise InputError("--half: chooses a number format, as --dtype does; give one of them")
    dtype: Dtype = half_of(where) if half else wanted.value if wanted else "fp32"
    quick_dtype(dtype, where)
    return dtype


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


def print_metrics(metrics: "Metrics") -> None:
    """Print AP of each class and size, and where the time went."""
    typer.echo(columns("class", "instances", "AP50", "AP", first=24))
    instances = sum(row.instances for row in metrics.per_class.values())
    typer.echo(columns("all", instances, f"{metrics.ap50:.4f}", f"{metrics.ap:.4f}", first=24))
    for label, row in metrics.per_class.items():
        precision = ("-" if value is None else f"{value:.4f}" for value in (row.ap50, row.ap))
        typer.echo(columns(label, row.instances, *precision, first=24))
    sizes = {"small": metrics.ap_small, "medium": metrics.ap_medium, "large": metrics.ap_large}
    known = ", ".join(f"{label} {value:.4f}" for label, value in sizes.items() if value is not None)
    typer.echo(f"AP75 {metrics.ap75:.4f}; AP of sizes: {known}; AR {metrics.ar:.4f}")
    typer.echo(f"{metrics.images} images in {metrics.seconds:.1f} s, scored by {metrics.scorer}")
    if speed := metrics.speed:
        parts = {"pre-process": speed.preprocess_ms, "forward": speed.forward_ms, "NMS": speed.nms_ms}
        split_up = ", ".join(f"{name} {ms:.1f}" for name, ms in parts.items())
        typer.echo(f"ms an image at batch {speed.batch}: {split_up}")


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
