"""The reports' verbs: zoo, report, demo. Matplotlib and pandas are imported when a verb runs, not before."""

from pathlib import Path
from typing import Annotated

import typer

from ..blocks.errors import InputError
from ..scaler.terminal import JsonOption, err, out, print_json, print_table

PUBLISHED = Path("published")  # in place of a study: the tables and figures of the paper


def zoo(
    models: Annotated[list[str] | None, typer.Option("--models", help="Only these; may be given again.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every known architecture: our exact counts beside the published figures.

    Example: catscale zoo --models yolov7-e6 --models yolov7-d6
    """
    from .zoo_table import table_cells, zoo_table

    records = zoo_table([name for given in models or () for name in given.split(",") if name])
    if as_json:
        print_json(records)
        return
    columns = (
        "model", "size px", "params M", "train M", "GFLOPs",
        "paper: M", "paper: G", "recounted: M", "recounted: G", "", "source and note",
    )  # fmt: skip
    note = (
        "params, GFLOPs: the deploy graph by the paper's convention, 2 x (MACs + biases); train: parameters of the "
        "training graph. recounted: ours, counted and rounded as the paper's row was."
    )
    print_table("The zoo beside arXiv:2207.02696", columns, table_cells(records), note)


def report(
    studies: Annotated[
        list[Path],
        typer.Argument(metavar="STUDY...", help="Folders of studies, or their files; or published, the paper's."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")] = Path("report"),
    images: Annotated[
        int, typer.Option(min=0, max=16, help="Validation images that each detector's predictions are shown on.")
    ] = 3,
    live: Annotated[
        bool, typer.Option("--live", help="Serve the page on this machine, and renew it as trials end.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of --live; 0: any free one.  [default: 8750]")
    ] = None,
) -> None:
    """Report on studies: figures (PNG, PDF, SVG), tables (CSV, Markdown, LaTeX), one index.html that opens by itself.

    Of folders with committed results, as studies/table3-scaling, the table is beside the paper's.

    Example: catscale report runs/search/quickstart -o report/
    """
    if port is not None and not live:
        raise InputError("--port is of the page that --live serves; give --live too")
    if live and PUBLISHED in studies:
        raise InputError("published: the paper's tables are finished; --live is for studies")
    from .compare_file import has_comparison

    if live and (finished := next(filter(has_comparison, studies), None)):
        raise InputError(f"{finished}: its results are finished; --live is for studies that run")
    if studies == [PUBLISHED]:
        from .published_report import write_published

        for sentence in write_published(output):
            out.print(sentence, markup=False, highlight=False)
        out.print(f"Tables and figures written to {output}", markup=False)
        return

    if live:
        from .live import PORT, serve_live

        serve_live(studies, output, PORT if port is None else port, lambda line: err.print(line, markup=False))
        return

    from ..search.status import read_study

    folders = list(filter(has_comparison, studies))
    records = [read_study(study) for study in studies if study not in folders]

    from .page import write_report

    for remark in write_report(records, output, images, folders):
        err.print(f"note: {remark}", markup=False)
    out.print(f"Report written to {output / 'index.html'}", markup=False)


def demo(
    data: Annotated[str, typer.Option(help="data.yaml, COCO JSON or its folder, or shapes.")] = "shapes",
    folder: Annotated[Path | None, typer.Option(help="Where to put it all.  [default: runs/demo]")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 … or auto: cuda where there is one.")] = "auto",
) -> None:
    """Go the whole way once: zoo, a derived model, a study, its report, a chosen detector and its predictions.

    Example: catscale demo --data shapes
    """
    from .demo import run_demo

    run_demo(data, folder, device)
