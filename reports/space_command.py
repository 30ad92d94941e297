"""The verb `space`. What it counts and draws with is imported when it runs, not before."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..blocks.errors import InputError
from ..scaler.terminal import JsonOption, err, out, print_json

if TYPE_CHECKING:
    from ..search.candidates import Bases
    from ..search.space_table import SpaceTable
    from ..search.study import Study

DATA = "data"  # in place of a number of classes: as many as the study's data has


def space(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="A study file; see studies/quickstart.yaml.")],
    classes: Annotated[
        str | None, typer.Option(metavar="N|data", help="Classes to count with, or those of the study's data.")
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Count so many candidates, drawn at random, instead of all.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for a picture, PNG and SVG.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count a study's whole space: how many can be built, how many are in budget, ranges, and the exact Pareto front.

    Nothing is built or trained; a million candidates take seconds. Bases have 80 classes, or their own file's, unless
    --classes says otherwise.

    Example: catscale space studies/quickstart.yaml -o space/
    """
    from ..search.candidates import Bases
    from ..search.study import load_study
    from .space_summary import print_space, space_record

    wanted = load_study(study)
    bases = Bases(wanted, _classes(wanted, classes))
    table = _tabulated(wanted, bases, draws)
    record = space_record(table, bases)
    pictures: list[Path] = []
    if output:
        from ..scaler.figure_style import save
        from .space_figure import draw_space

        references = {bases.architectures[name].name: bases.reference(name).figures for name in wanted.bases}
        pictures = save(draw_space(table, references), output / "space")
    if as_json:
        print_json({**record, "pictures": [str(picture) for picture in pictures]})
        return
    print_space(record)
    for picture in pictures:
        out.print(f"Picture written to {picture}", markup=False)


def _classes(study: "Study", wanted: str | None) -> int | None:
    if wanted is None:
        return None
    if wanted == DATA:
        from ..trainer.data.sources import open_dataset

        return len(open_dataset(study.data).classes)
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    raise InputError(f"--classes {wanted}: give a whole number from 1, or data for those of the study's data")


def _tabulated(study: "Study", bases: "Bases", draws: int | None) -> "SpaceTable":
    """Count the space, with a bar in a terminal."""
    from rich.progress import Progress

    from ..search.space_table import tabulate

    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("counting")
        return tabulate(study, bases, draws, lambda done, of: progress.update(task, completed=done, total=of))
