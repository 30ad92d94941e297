"""What a study leaves of its front: `front.csv`, and a folder for each member that needs nothing else of the study.

`front/7/` has the detector of trial 7 as `architecture.yaml`, and as `official.yaml` or the reason why not; its weights
where the study keeps them; its learning curve as `metrics.csv`; and what trains it in full, `recipe.yaml` and
`command.txt`.
"""

import os
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

from ..blocks.errors import InputError
from ..scaler.documents import dump_yaml, write_text, written
from ..scaler.official.text import official_yaml
from ..trainer.run_folder import RunFolder
from .finals import full_recipe
from .rows import Row, write_rows
from .status import StudyRecord
from .stored_study import relative

FRONT = "front"  # the folder, and the table


def write_front(record: StudyRecord) -> None:
    """Bring `front.csv` and `front/` up to what the trials say.

    Members that are there stay, but for their command and weights; a folder goes after the table no longer names it.
    A member whose run folder is gone is in the table alone.

    Raises:
        InputError: the folder cannot be written to, or a run in it is damaged.
    """
    members, place = record.front, record.folder / FRONT
    for row in members:
        run = RunFolder(record.run_folder(row))
        if not run.recipe.is_file():
            continue
        folder = place / str(row.number)
        if not folder.is_dir():
            with written(folder) as beside:
                beside.mkdir()
                _describe(run, beside)
        write_text(folder / "command.txt", command(record, row, f"{FRONT}/{row.number}"))
        _link_weights(run, folder)
    write_rows(record.folder / f"{FRONT}.csv", record.study, members)
    numbers = {str(row.number) for row in members}
    for folder in place.glob("*"):
        if folder.name not in numbers:
            shutil.rmtree(folder, ignore_errors=True)


def command(record: StudyRecord, row: Row, folder: str) -> str:
    """The lines that train a member in full; as `search train` does it, to the same result.

    Args:
        record: the study.
        row: the member.
        folder: the member's, as seen from the study's folder.
    """
    study = record.study
    words = [
        "catscale",
        "train",
        f"{folder}/architecture.yaml",
        "--recipe",
        f"{folder}/recipe.yaml",
        "--data",
        relative(study.data, record.folder),
        "--seed",
        str(study.seed),
        "--folder",
        f"trained/{row.number}",
    ]
    return (
        f"# Trains {row.name}, trial {row.number}, in full. Run it in the study's folder, two above this file:\n"
        f"#   sh {folder}/command.txt\n"
        f"{shlex.join(words)}\n"
    )


def _describe(run: RunFolder, folder: Path) -> None:
    """What never changes of a member."""
    architecture = run.read_architecture()
    write_text(folder / "architecture.yaml", architecture.to_yaml())
    write_text(folder / "recipe.yaml", dump_yaml(full_recipe(run).model_dump()))
    try:
        write_text(folder / "official.yaml", official_yaml(architecture))
    except InputError as error:
        write_text(folder / "no-official-file.txt", f"{error}\n")
    if run.metrics.is_file():
        shutil.copyfile(run.metrics, folder / "metrics.csv")


def _link_weights(run: RunFolder, folder: Path) -> None:
    """Give the run's best weights a second name, or copy them where the disk cannot; none where the study has none."""
    weights, here = run.weights("best"), folder / "weights.safetensors"
    if not weights.is_file():
        here.unlink(missing_ok=True)
        return
    if here.is_file() and here.stat().st_size == weights.stat().st_size:
        return
    with written(here) as beside:
        with suppress(OSError):
            os.link(weights, beside)
        if not beside.exists():
            shutil.copyfile(weights, beside)
