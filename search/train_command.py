"""The verb `search train`: the chosen in full, or the best with other seeds. Torch is imported when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..blocks.errors import InputError
from ..scaler.terminal import JsonOption, err, out, print_json, print_table
from .commands import DeviceOption, StudyArg, terminated_as_interrupted
from .epoch_bars import epochs_shown

if TYPE_CHECKING:
    from .status import StudyRecord

SEEDS = 3  # that finalists are trained with, where no number is given


def train_selected(
    study: StudyArg,
    how: Annotated[
        str | None,
        typer.Option("--select", help="knee, best, fastest, max-latency=MS, min-ap=AP, or a number.  [default: knee]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; three times the study's by default.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: STUDY/selected/NUMBER]")] = None,
    data: Annotated[str | None, typer.Option(help="Where the study's data is, if it is not where it was.")] = None,
    repeat_top: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Instead: the K best of the front, each with other seeds.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help=f"With --repeat-top: how many seeds.  [default: {SEEDS}]")
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train one detector of a study in full, afresh, by the study's recipe, and judge it on the test split, once.

    With --repeat-top the best of the front are trained in full with other seeds, to tell differences from noise.
    After an interrupt the same command goes on.

    Example: catscale search train runs/search/quickstart --select max-latency=8 --epochs 30
    """
    from .status import read_study

    if repeat_top is None and seeds is not None:
        raise InputError("--seeds: goes with --repeat-top; add --repeat-top 3, for example")
    if repeat_top is not None and (how is not None or folder is not None):
        raise InputError(
            "--repeat-top: takes the best of the front, below the study's folder; no --select, no --folder"
        )
    record = read_study(study)
    try:
        with terminated_as_interrupted():
            if repeat_top is None:
                _train(record, how or "knee", epochs, folder, data, device, as_json)
            else:
                _repeat(record, repeat_top, seeds or SEEDS, epochs, data, device, as_json)
    except KeyboardInterrupt:
        err.print("Stopped; the same command goes on.")
        raise


def _train(
    record: "StudyRecord",
    how: str,
    epochs: int | None,
    folder: Path | None,
    data: str | None,
    device: str,
    as_json: bool,
) -> None:
    from ..scaler.devices import find_device
    from .final_table import final_json, final_rows
    from .finals import finals_data, finished, full_recipe, has_test, place_of, read_test, train_in_full, trial_run
    from .select import select

    choice = select(record, how)
    row = choice.row
    err.print(f"Trial {row.number}, {row.name}: {choice.why}.", markup=False)
    if record.study.start is not None:
        err.print("It begins with random weights, as the study's candidates did not: the two AP are not comparable.")
    recipe = full_recipe(trial_run(record, row), epochs)
    target = folder or place_of(record, row, epochs)
    dataset, where = finals_data(record, data), str(find_device(device))
    if not has_test(dataset):
        err.print(
            f"warning: {dataset.source} has no test split: AP is of val, by which it was chosen, and too high",
            markup=False,
        )
    with epochs_shown(recipe.epochs) as watch:
        run = train_in_full(
            record,
            row,
            dataset,
            target,
            epochs=epochs,
            seed=record.study.seed,
            device=where,
            watch=lambda epoch: watch(row.number, epoch),
        )
    if read_test(run) is not None:
        err.print(f"{run.path}: has been evaluated on test before; the figure is kept, not taken again", markup=False)
    final = finished(record, row, run, dataset, where)
    if as_json:
        print_json({"trial": row.number, "name": row.name, "why": choice.why, **final_json(record, final)})
        return
    title = f"trial {row.number}, {row.name}: {final.facts.epochs} epochs in full"
    print_table(title, ("", "budget", "in the study", "in full"), final_rows(record, final))
    if refusal := final.latency.refusal:
        err.print(f"latency: {refusal}", markup=False)
    out.print(f"Results saved to {run.path}", markup=False)


def _repeat(
    record: "StudyRecord", top: int, count: int, epochs: int | None, data: str | None, device: str, as_json: bool
) -> None:
    from ..scaler.devices import find_device
    from .final_table import repeats_json, repeats_lines, repeats_rows
    from .finalists import finalists, other_seeds, repeat
    from .finals import finals_data

    rows = finalists(record, top)
    seeds = other_seeds(record.study, count)
    dataset, where = finals_data(record, data), str(find_device(device))
    with epochs_shown(None) as watch:
        scores = repeat(
            record,
            rows,
            dataset,
            seeds=seeds,
            epochs=epochs,
            device=where,
            watch=watch,
            say=lambda line: err.print(line, markup=False),
        )
    if as_json:
        print_json(repeats_json(rows, scores))
        return
    title = f"AP on val in full, with seeds {', '.join(map(str, seeds))}"
    print_table(title, ("trial", "name", "AP in the study", "AP in full", "sd"), repeats_rows(rows, scores))
    for line in repeats_lines(rows, scores):
        out.print(line, markup=False)
    out.print(f"Results saved to {record.folder / 'repeats.csv'}", markup=False)
