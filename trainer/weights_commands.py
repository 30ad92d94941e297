"""The verb `weights`: official checkpoints in, as run folders, and run folders out, as official state dicts."""

from pathlib import Path
from typing import Annotated

import typer

from ..scaler.terminal import JsonOption, print_json


def weights(
    source: Annotated[Path, typer.Argument(help="Official checkpoint (.pt); with --to-official, a run folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to make; with --to-official, a .pt file.")],
    arch: Annotated[str | None, typer.Option(help="Its architecture, where the checkpoint does not say it.")] = None,
    data: Annotated[str | None, typer.Option(help="Data set that names its classes, where it does not.")] = None,
    to_official: Annotated[bool, typer.Option("--to-official", help="From a run folder to an official file.")] = False,
    form: Annotated[str, typer.Option(help="Of --to-official: train, or deploy with everything folded.")] = "train",
    last: Annotated[bool, typer.Option("--last", help="Of --to-official: the last epoch's weights.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read an official checkpoint into a run folder, for val, predict and train --weights; or write one.

    Files of YOLOv7, YOLOR, YOLOv5 (r6.1) and YOLOX are read, unfused and fused; nothing in them is executed. A pickled
    model brings its architecture and class names; a plain state dict, as YOLOX's always are, needs --arch. What is
    written is a plain state dict in YOLOv7's layout, with its model file beside it.

    Example: catscale weights yolov7.pt -o runs/yolov7
    """
    from ..blocks.errors import InputError
    from .official_weights import export_weights, import_weights

    if to_official:
        if arch is not None or data is not None:
            raise InputError("--to-official: a run folder says its architecture and data; leave out --arch and --data")
        model_file = export_weights(source, output, form=form, which="last" if last else "best")
        if as_json:
            print_json({"weights": str(output), "model_file": str(model_file), "form": form})
        else:
            typer.echo(f"Weights saved to {output}, their model file to {model_file}")
        return
    found, notes = import_weights(source, output, arch, data)
    if as_json:
        facts = {"architecture": found.name, "params": found.cost().params, "classes": found.classes}
        print_json({"run": str(output), **facts, "notes": list(notes)})
        return
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{found.name}: {found.cost().params:,} params, {found.classes} classes; run folder made: {output}")
