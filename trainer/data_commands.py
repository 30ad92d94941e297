"""`catscale data`: draw a data set, look through one."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(help="Data sets: draw the embedded one, check your own.", no_args_is_help=True)


@data_app.command("make-shapes")
def make_shapes_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty, or an earlier shapes set to replace.")],
    train: Annotated[int, typer.Option(help="Images to learn from.")] = 240,
    val: Annotated[int, typer.Option(help="Images to evaluate on.")] = 64,
    test: Annotated[int, typer.Option(help="Images kept for the end; 0 for none.")] = 64,
    size_px: Annotated[int, typer.Option("--size", help="Side of the square images in pixels.")] = 256,
    seed: Annotated[int, typer.Option(help="The same seed draws the same files, byte for byte.")] = 0,
) -> None:
    """Draw a small detection set: JPEG images and COCO JSON.

    Example: catscale data make-shapes runs/shapes --train 500 --size 320
    """
    from .data.shapes import make_shapes

    made = make_shapes(folder, train=train, val=val, test=test, size_px=size_px, seed=seed)
    typer.echo(f"{made}: {train} train, {val} val and {test} test images of {size_px} px, seed {seed}")


@data_app.command("check")
def check_command(
    data: Annotated[str, typer.Argument(metavar="DATA", help="data.yaml, COCO JSON, a folder with one, or shapes.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read every label and decode every image; list all mistakes with their place, and count what there is.

    Exit code 2 where anything is wrong.

    Example: catscale data check my/data.yaml
    """
    from rich.console import Console
    from rich.progress import Progress

    from .data.check import as_text, check_dataset

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("decoding images", total=None)
        check = check_dataset(data, lambda done, total: bar.update(task, completed=done, total=total))
    typer.echo(json.dumps(check.to_json(), indent=2) if as_json else "\n".join(as_text(check)))
    if check.problems:
        raise typer.Exit(2)
