"""The verb `export`. Torch is imported when it runs, not before."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..scaler.terminal import JsonOption, print_json
from .terminal import LastOption


class FormatName(StrEnum):
    """What `--format` takes."""

    onnx = "onnx"
    torch = "torch"
    python = "python"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    format: Annotated[  # the option's name
        FormatName, typer.Option(help="onnx; torch, a torch.export program; python, code and weights for torch alone.")
    ] = FormatName.onnx,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File, or folder for python; in the run else.")
    ] = None,
    nms: Annotated[bool, typer.Option("--nms", help="Detections come out, not all boxes (onnx alone).")] = False,
    fixed: Annotated[bool, typer.Option("--fixed", help="One image of one size, not any batch and size.")] = False,
    size: Annotated[int | None, typer.Option(help="Side of the input in px; the run's by default.")] = None,
    conf: Annotated[float, typer.Option(min=0, max=1, help="Of --nms, and written down: the least score.")] = 0.25,
    iou: Annotated[float, typer.Option(min=0, max=1, help="Of --nms, and written down: the most overlap.")] = 0.45,
    max_det: Annotated[int, typer.Option(min=1, help="Of --nms, and written down: most of a class.")] = 300,
    image: Annotated[Path | None, typer.Option(help="Image to compare on; one of the run's data by default.")] = None,
    last: LastOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a trained detector for other runtimes, run what was written, and compare it with the detector.

    Example: catscale export runs/train/exp --format onnx --nms
    """
    from ..scaler.architecture import check_size
    from .run_folder import RunFolder, Which

    folder = RunFolder(run)
    which: Which = "last" if last else "best"
    folder.trained_weights(which)
    size = folder.read_facts().size_px if size is None else size
    check_size(size, folder.read_architecture().strides[-1], str(run))

    from .export import ExportSettings
    from .export import export as write

    settings = ExportSettings(format.value, size, nms=nms, fixed=fixed, conf=conf, iou=iou, max_det=max_det)
    exported = write(run, settings, out=out, image=image, which=which)
    if as_json:
        print_json(exported.to_json())
        return
    typer.echo(f"Compared on {exported.image} by {exported.runtime}:")
    for check in exported.checks:
        shape = " x ".join(map(str, check.shape))
        typer.echo(f"  {shape}: boxes differ by at most {check.box_px:.2g} px, scores by {check.score:.2g}")
    typer.echo(f"Exported to {exported.path}, {exported.bytes / 1e6:.1f} MB")
