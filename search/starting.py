"""What a study's candidates begin with in place of random weights: checked, kept with the study, and said. No torch."""

import shutil
from hashlib import sha256
from pathlib import Path

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from ..scaler.documents import written
from ..trainer.run_folder import RunFolder
from ..trainer.warm_start import WarmStart
from .settings import THEIR_BASE
from .study import Study

KEPT = "start"  # the folder of a study that keeps the run


def run_to_start_from(study: Study) -> WarmStart | None:
    """The run that all candidates begin with; None where they begin with random weights, or each with its base's.

    Raises:
        InputError: there is no such run, or it has no weights yet.
    """
    if study.start is None or study.start.source == THEIR_BASE:
        return None
    try:
        RunFolder(Path(study.start.source)).trained_weights("best")
    except InputError as error:
        raise InputError(f"{study.name}: start: {study.start.how}: {error}") from error
    return WarmStart(Path(study.start.source), study.start.how)


def start_identity(study: Study) -> str:
    """What tells starts apart, wherever the run lies; empty for random weights."""
    warm = run_to_start_from(study)
    if warm is not None:
        return f"{warm.how} {_weights(warm.run)}"
    return "" if study.start is None else f"{study.start.how} {THEIR_BASE}"


def keep_start(study: Study, folder: Path) -> dict[str, str] | None:
    """Copy the run into a study's folder, so that it may go on or be deleted; gives what the study says of it there."""
    if study.start is None:
        return None
    warm = run_to_start_from(study)
    if warm is None:
        return {study.start.how: THEIR_BASE}
    run, kept = RunFolder(warm.run), folder / KEPT
    if _weights(kept) != _weights(run.path):
        shutil.rmtree(kept, ignore_errors=True)  # of a study that came no further
        try:
            with written(kept) as beside:
                beside.mkdir()
                for path in (run.architecture, run.recipe, run.facts, run.weights("best")):
                    shutil.copy(path, beside)
        except InputError:
            if _weights(kept) != _weights(run.path):  # unless another worker was faster
                raise
    return {warm.how: KEPT}


def _weights(run: Path) -> str:
    """SHA-256 of a run's best weights; empty where there are none."""
    path = RunFolder(run).weights("best")
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def at_start(study: Study, folder: Path, trained: Path | None) -> WarmStart | None:
    """What a trial begins with; `trained` is the run of its base, where it begins with that."""
    if study.start is None:
        return None
    if study.start.source != THEIR_BASE:
        return WarmStart(folder / KEPT, study.start.how)
    return None if trained is None else WarmStart(trained, study.start.how)


def grows_from(study: Study) -> Architecture | None:
    """The detector of the run that all candidates are to grow out of; None where they need not."""
    warm = run_to_start_from(study)
    return None if warm is None or warm.how != "grow" else RunFolder(warm.run).read_architecture()


def start_words(study: Study) -> str:
    """How the candidates begin, in a sentence without its full stop; empty where with random weights."""
    if study.start is None:
        return ""
    how = {"grow": "grown without a change of its outputs", "overlap": "as far as layers overlap"}[study.start.how]
    if study.start.source == THEIR_BASE:
        whose = "its trained base, which itself began with random ones"
    else:
        facts = RunFolder(Path(study.start.source)).read_facts()
        epochs = f", {facts.epochs} epochs" if facts.epochs else ""
        whose = f"one run ({facts.architecture}, trained on {facts.data or 'other data'}{epochs})"
    return (
        f"every candidate begins with the weights of {whose}, {how}; "
        "AP is not comparable with that of trainings from random weights"
    )
