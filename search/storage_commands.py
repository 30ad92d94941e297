"""The verbs that look after a study's trials: repair, extend, serve."""

from pathlib import Path
from typing import Annotated

import typer

from ..scaler.terminal import JsonOption, err, out, print_json
from .commands import StorageOption, StudyArg


def repair(study: StudyArg, storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Mend a study that something left in disorder, and say what was mended. Trials that run are left alone.

    Example: catscale search repair runs/search/quickstart
    """
    from .repair import repair as mend

    mended = mend(study, storage)
    if as_json:
        print_json({"mended": mended})
        return
    for line in mended or ["nothing to mend"]:
        out.print(line, markup=False)


def extend(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study with the changed space.")],
    earlier: Annotated[Path, typer.Option("--from", metavar="STUDY", help="The earlier study: its folder or file.")],
    folder: Annotated[Path | None, typer.Option(help="Of the new study.  [default: runs/search/NAME]")] = None,
    storage: StorageOption = None,
    earlier_storage: Annotated[str | None, typer.Option("--from-storage", help="Storage of the earlier study.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a study with a changed space, and copy the finished trials of an earlier one that lie in it.

    What they were trained with (data, recipe, size, seed) must be the same.

    Example: catscale search extend wider.yaml --from runs/search/quickstart
    """
    from .extend import extend as extended
    from .study import default_folder, load_study

    wanted = load_study(study)
    target = folder or default_folder(wanted)
    found = extended(wanted, target, earlier, storage, earlier_storage)
    if as_json:
        print_json({"copied": found.copied, "outside": found.outside, "there": found.there, "folder": str(target)})
        return
    out.print(
        f"{found.copied} finished trials copied, {found.outside} lie outside the new space; "
        f"go on by: catscale search run {study} --folder {target}",
        markup=False,
    )


def serve(
    storage: Annotated[str, typer.Option(metavar="URL", help="The database: postgresql://…")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 13000,
) -> None:
    """Stand between very many workers and their database, until Ctrl-C: Optuna's gRPC proxy, without a password.

    Its workers say --storage grpc://HOST:PORT.

    Example: catscale search serve --storage postgresql://me@db/studies --host 0.0.0.0
    """
    from .storages import serve as stand

    err.print(f"Serving at grpc://{host}:{port}; end it by Ctrl-C.")
    stand(storage, host, port)
