"""Searching a space of detectors. `open` gives a study as Optuna has it; its import waits until it is called."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna


def open(study: str | Path, storage: str | None = None) -> "optuna.Study":
    """A study of this project as Optuna's own object, for its plots, its importances, its dashboard, or one's own code.

    Args:
        study: a study's folder, or the study file that it was started from.
        storage: where its trials are, if not in a file of the folder; as for `catscale search run`.

    Raises:
        InputError: there is no such study, or its storage cannot be opened.
    """
    from .repair import opened

    return opened(study, storage)
