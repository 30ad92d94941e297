"""`catscale data`: draw a data set, look through one."""

from pathlib import Path
from typing import Annotated

import typer

from ..scaler.terminal import JsonOption, print_json, print_table
from .terminal import bar

DataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="data.yaml, COCO JSON, a folder with one or VOC's, or shapes.")
]

data_app = typer.Typer(
    help="Data sets: draw the embedded one; check, convert and measure your own.", no_args_is_help=True
)


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
    data: DataArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the report too, as .json or .txt.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read every label and decode every image; list all mistakes with their place, and count what there is.

    Exit code 2 where anything is wrong; images that two splits share are a warning.

    Example: catscale data check my/data.yaml
    """
    from .data.check import as_text, check_dataset, write_report

    with bar("decoding images") as progress:
        check = check_dataset(data, progress)
    if out is not None:
        write_report(check, out)
    if as_json:
        print_json(check.to_json())
    else:
        typer.echo("\n".join(as_text(check)))
    if check.problems:
        raise typer.Exit(2)


@data_app.command("convert")
def convert_command(
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="New or empty folder.")],
    to: Annotated[str, typer.Option(help="coco, yolo or voc.")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy the images instead of linking to them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a data set anew as COCO JSON, YOLO txt or Pascal VOC XML.

    Example: catscale data convert my/data.yaml -o my-coco --to coco
    """
    from .data.convert import convert
    from .data.sources import open_dataset

    with bar("writing images") as progress:
        converted = convert(open_dataset(data), out, to, copy=copy, progress=progress)
    if as_json:
        print_json(converted.to_json())
        return
    for split, images in converted.images.items():
        typer.echo(f"{split}: {images} images, {converted.boxes[split]} boxes")
    for what, count in ({"images renamed": converted.renamed} | converted.left_out).items():
        if count:
            typer.echo(f"note: {count} {what}{' left out' if what in converted.left_out else ''}")
    typer.echo(f"Results saved to {out}")


@data_app.command("anchors")
def anchors_command(
    data: DataArgument,
    arch: Annotated[str, typer.Option(help="Zoo name or architecture file.")],
    size: Annotated[int | None, typer.Option(help="Side of the input in px; the architecture's by default.")] = None,
    anchor_t: Annotated[float, typer.Option(min=1.01, help="Largest factor between sides that fit.")] = 4.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same anchors.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the architecture with the fitted anchors.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit anchors to the train split, and say how many objects find one before and after.

    Example: catscale data anchors my/data.yaml --arch yolov7-tiny --size 320 -o mine.yaml
    """
    from ..scaler.architecture import check_size
    from ..scaler.documents import write_text
    from ..scaler.zoo import load
    from .anchors import check_anchored, fit_anchors, object_sizes
    from .data.sources import open_dataset

    base = load(arch)
    check_anchored(base)
    size = base.size if size is None else size
    check_size(size, base.strides[-1], base.name)
    sizes = object_sizes(open_dataset(data).split("train"), size)
    settled = fit_anchors(base, sizes, anchor_t=anchor_t, seed=seed)
    if out is not None:
        write_text(out, settled.arch.to_yaml())
    if as_json:
        print_json(settled.to_json())
        return
    rows = [
        (name, f"{it.found:.4f}", f"{it.ratio:.3f}", f"{it.anchors_per_object:.2f}")
        for name, it in (("before", settled.before), ("after", settled.after))
    ]
    title = f"{base.name} at {size} px: {len(sizes)} objects of {data} (train)"
    print_table(title, ("anchors", "objects that find one", "mean ratio of sides", "anchors per object"), rows)
    for stride, level in zip(base.strides, settled.arch.anchors, strict=True):
        typer.echo(f"stride {stride}: {'  '.join(f'{width:g},{height:g}' for width, height in level)}")
    if out is not None:
        typer.echo(f"Results saved to {out}")


@data_app.command("stats")
def stats_command(
    data: DataArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Draw them too, as .png or .svg.")] = None,
    split: Annotated[str | None, typer.Option(help="One split only.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count classes, and measure the sizes and positions of boxes.

    Example: catscale data stats my/data.yaml -o labels.png
    """
    from .data.sources import open_dataset
    from .data.stats import SHARES, measure

    stats = measure(open_dataset(data), split)
    if out is not None:
        from .data.stats_figure import draw_stats

        draw_stats(stats, out)
    if as_json:
        print_json(stats.to_json())
        return
    counts = [(name, count) for name, count in stats.per_class.items()]
    print_table(f"{data}: {stats.images} images, {stats.boxes} boxes", ("class", "boxes"), counts)
    rows = [(name, *(f"{value:.4g}" for value in values)) for name, values in stats.quantiles().items()]
    print_table("Smallest to largest", ("", *(f"{share:.0%}" for share in SHARES)), rows)
    if out is not None:
        typer.echo(f"Results saved to {out}")
