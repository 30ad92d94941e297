"""The search's verbs: run, status, train. Optuna and torch are imported when a verb runs, not before."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from ..blocks.errors import InputError
from ..scaler.terminal import JsonOption, err, out, print_json

if TYPE_CHECKING:
    from .run import Watch


class BackendKind(StrEnum):
    """What places workers."""

    loky = "loky"
    ray = "ray"
    dask = "dask"


search_app = typer.Typer(no_args_is_help=True, help="Search a space of detectors for the Pareto front.")

StudyArg = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, or a study's folder.")]
StorageOption = Annotated[
    str | None,
    typer.Option(help="postgresql://…, journal:FILE or grpc://HOST:PORT.  [default: an SQLite file in the folder]"),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 … or auto: cuda where there is one.")]


@search_app.command()
def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="What to search; see studies/quickstart.yaml.")],
    data: Annotated[str | None, typer.Option(help="data.yaml, COCO JSON or its folder, or shapes.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in total, instead of the study's.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to keep the study.  [default: runs/search/NAME]")] = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Trials at a time, each in a process of its own.")] = 1,
    devices: Annotated[
        str | None, typer.Option(metavar="0,1,…", help="CUDA devices that the workers take by turns, each its own.")
    ] = None,
    backend: Annotated[BackendKind, typer.Option(help="Where the workers run: here, or on a Ray or Dask cluster.")] = (
        BackendKind.loky
    ),
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray's head or Dask's scheduler.  [default: a local one]")
    ] = None,
    cpus: Annotated[float | None, typer.Option(min=0, help="Cores that a trial takes of a cluster.")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs that a trial takes of a cluster.")] = None,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Save and end after so long, to within one training step.")
    ] = None,
    trial_hours: Annotated[float | None, typer.Option(min=0, help="A training that takes longer fails.")] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Tell what it would do and take, from a few real steps; write nothing.")
    ] = False,
) -> None:
    """Run a study; run it again to go on where it stopped.

    Every trial has its own folder and its own process. What cannot be built or is over a bound is never trained, and
    says why. Several of these commands, also on several machines, may work on one study: with one storage, and a
    folder that all reach.

    Example: catscale search run studies/quickstart.yaml --trials 4 --workers 2
    """
    from .study import default_folder, load_study

    changes = {name: value for name, value in {"data": data, "trials": trials}.items() if value is not None}
    wanted = load_study(study, changes)
    target = folder or default_folder(wanted)
    if dry:
        from .dry_run import dry_run

        for line in dry_run(wanted, device, lambda line: err.print(line, markup=False)).lines():
            _say(line)
        return

    from .backends import Backend
    from .coordinator import Crew
    from .run import run_study
    from .status import read_study, status, status_lines
    from .stored_study import recipe_of

    where = Backend(backend.value, cluster, cpus, gpus)
    crew = Crew(workers, tuple(devices.split(",")) if devices else (), where)

    with _terminated_as_interrupted(), _epochs_shown(recipe_of(wanted).epochs) as watch:
        try:
            run_study(
                wanted,
                target,
                storage=storage,
                device=device,
                crew=crew,
                hours=hours,
                trial_hours=trial_hours,
                say=_say,
                watch=watch,
            )
        except KeyboardInterrupt:
            err.print(f"Stopped; the same command goes on. What there is: catscale report {target}")
            raise
    for line in status_lines(status(read_study(target))):
        _say(line)
    _say(f"Results saved to {target}; see them by: catscale report {target} -o report/")


@search_app.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors.

    Example: catscale search schema > study.schema.json
    """
    from .schema import schema_text

    typer.echo(schema_text(), nl=False)


@search_app.command(name="status")
def show_status(study: StudyArg, as_json: JsonOption = False) -> None:
    """Tell how far a study is: trials by state with reasons, the front so far, the time spent.

    Example: catscale search status runs/search/quickstart --json
    """
    from .status import read_study, status, status_lines

    found = status(read_study(study))
    if as_json:
        print_json(found)
        return
    for line in status_lines(found):
        _say(line)


@search_app.command(name="train")
def train_selected(
    study: StudyArg,
    how: Annotated[str, typer.Option("--select", help="knee, best, fastest, or a trial's number.")] = "knee",
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; three times the study's by default.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: STUDY/selected/NUMBER]")] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train one detector of the front for longer, afresh, by the study's recipe.

    Example: catscale search train runs/search/quickstart --select knee --epochs 30
    """
    from .select import select, train_further
    from .status import read_study

    record = read_study(study)
    choice = select(record, how)
    err.print(f"Trial {choice.row.number}, {choice.row.name}: {choice.why}.")
    if record.study.start is not None:
        err.print("It begins with random weights, as the study's candidates did not: the two AP are not comparable.")
    target = folder or _next(record.folder / "selected", str(choice.row.number))
    with _terminated_as_interrupted(), _epochs_shown(epochs) as watch:
        trained = train_further(
            record,
            choice,
            epochs=epochs,
            folder=target,
            device=device,
            watch=lambda row: watch(choice.row.number, row),
        )
    if as_json:
        print_json(
            {
                "trial": choice.row.number,
                "name": choice.row.name,
                "why": choice.why,
                "before": trained.before,
                "after": trained.after,
                "folder": str(trained.folder),
            }
        )
        return
    for when, figures in (("in the study", trained.before), ("trained further", trained.after)):
        _say(f"AP {figures['ap']:.4f}, AP50 {figures['ap50']:.4f}  {when}, {figures['epochs']:.0f} epochs")
    _say(f"Results saved to {trained.folder}")


def _say(line: str) -> None:
    out.print(line, markup=False)


def _next(parent: Path, name: str) -> Path:
    """The first of `7`, `7-2`, `7-3` … that is not there yet."""
    if parent.is_file():
        raise InputError(f"{parent}: is a file; name another --folder")
    number = 1
    while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, so that a study hands its trial on before it ends."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _epochs_shown(epochs: int | None) -> Iterator["Watch"]:
    """On a terminal, a bar of the trial's epochs; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda number, row: None
        return
    from rich.progress import Progress

    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("starting", total=epochs)
        yield lambda number, row: progress.update(
            task, description=f"trial {number}: AP {row.ap:.3f}", completed=row.epoch
        )
