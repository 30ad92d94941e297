"""The command line: joins the rooms' commands, and turns what goes wrong into one message and an exit code."""

import sys
from importlib.metadata import version as installed
from typing import Annotated

import typer

from .blocks.errors import CatscaleError, InputError
from .reports import commands as reports
from .reports.space_command import space
from .scaler import commands as scaler
from .scaler.draw_command import draw
from .scaler.latency_command import latency
from .scaler.profile_command import profile
from .scaler.reparam_command import reparam
from .search import commands as search
from .search import replay_command, storage_commands
from .search.calibrate_command import calibrate
from .search.train_command import train_selected
from .trainer import commands as trainer
from .trainer import data_commands, weights_commands
from .trainer.export_command import export
from .trainer.predict_command import predict
from .trainer.val_command import val


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"catscale {installed('catscale')}\n")
        raise typer.Exit


app = typer.Typer(
    name="catscale",
    help="Concatenation-aware scaling and search for YOLOv7-style detectors: derive a variant, count it exactly, "
    "measure, search, train, and draw the Pareto front.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for panel, commands in {
    "Generate and count": (reports.zoo, scaler.scale, profile, space, reparam, latency, draw),
    "Train": (trainer.train, val, predict, export, weights_commands.weights),
    "Search and report": (reports.report, reports.demo),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version)] = False,
) -> None:
    """Declare what stands before the verbs."""


search.search_app.command(name="train")(train_selected)
search.search_app.command()(calibrate)
app.add_typer(data_commands.data_app, name="data", rich_help_panel="Train")
for command in (
    storage_commands.repair,
    storage_commands.extend,
    storage_commands.serve,
    replay_command.replay,
    replay_command.table,
):
    search.search_app.command()(command)
app.add_typer(search.search_app, name="search", rich_help_panel="Search and report")


def main() -> None:
    """Run the command line: exit code 0, or 1 (failed), 2 (bad input), 130 (interrupted)."""
    try:
        app()
    except InputError as error:
        _fail(str(error), 2)
    except CatscaleError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output is gone: nothing to say, and nobody to say it to
        sys.exit(0)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
