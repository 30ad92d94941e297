"""The verb that draws an architecture, alone or beside another."""

from pathlib import Path
from typing import Annotated

import typer

from ..blocks.errors import InputError, nearest
from .commands import ArchArg
from .differences import Change
from .documents import written
from .draw import Drawing, worded
from .draw import draw as drawing_of
from .layout import FORMATS, render
from .terminal import JsonOption, err, out, print_json, print_table
from .zoo import load

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="File to write: .svg, .png or .pdf.")]
DiffOption = Annotated[
    str | None, typer.Option("--diff", metavar="OTHER", help="Mark what this architecture has otherwise than ARCH.")
]
NodeOption = Annotated[
    str | None, typer.Option("--node", help="Draw the layers inside this node; * and ? match many nodes.")
]


def draw(
    arch: ArchArg,
    output: OutputOption,
    diff: DiffOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a detector: its nodes by stride, or the layers inside of them, or what another has otherwise.

    Example: catscale draw yolov7-w6 --diff yolov7-e6 -o w6-to-e6.svg
    """
    form = output.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise InputError(f"{output}: a drawing is a .svg, .png or .pdf file; {nearest(form, FORMATS)}")
    drawing = drawing_of(load(arch), load(diff) if diff else None, node)
    image = render(drawing, form)
    with written(output) as beside:
        beside.write_bytes(image)
    if as_json:
        print_json({"output": str(output), **drawing.to_json()})
        return
    if drawing.differences is not None:
        _print_differences(drawing)
    err.print(f"{len(drawing.boxes)} boxes drawn in {output}")


def _print_differences(drawing: Drawing) -> None:
    """A row for each part that is not the same, what was written down apart from what follows from it."""
    found = [difference for difference in drawing.differences or () if difference.status != "same"]
    if not found and not drawing.whole:
        out.print(f"{drawing.title}: no difference")
        return
    rows = [("the whole", "", _listed(drawing.whole, follows=False), _listed(drawing.whole, follows=True))]
    rows += [
        (each.name, each.status, _listed(each.changes, follows=False), _listed(each.changes, follows=True))
        for each in found
    ]
    print_table(drawing.title, ("node", "", "changed", "follows"), rows)


def _listed(changes: tuple[Change, ...], *, follows: bool) -> str:
    return ", ".join(
        f"{change.label} {worded(change.label, change.before)} → {worded(change.label, change.after)}"
        for change in changes
        if change.follows is follows
    )
