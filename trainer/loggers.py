"""Where an epoch's figures go beside the run's own files: TensorBoard, MLflow, Weights & Biases, when asked for.

None of these packages is imported, and nothing is contacted, unless `--logger` names it; where they are configured by
environment variables of their own, these hold.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ..blocks.errors import InputError, nearest
from .run_folder import EpochRow

TAGS = {"box": "loss/box", "obj": "loss/obj", "cls": "loss/cls", "ap": "val/AP", "ap50": "val/AP50", "ap75": "val/AP75"}


class Logger(Protocol):
    """Takes the figures of each epoch, under names such as `val/AP`, and whether the training came to its end."""

    def log(self, figures: Mapping[str, float], epoch: int) -> None: ...

    def close(self, whole: bool) -> None: ...


class TensorBoard:
    """Event files in the run's folder."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder))
        self.writer.add_text("settings", "\n".join(f"    {key}: {value}" for key, value in settings.items()))

    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()  # so that a killed training has shown all that it did

    def close(self, whole: bool) -> None:
        self.writer.close()


class MLflow:
    """A run of MLflow, wherever its tracking URI points."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import mlflow  # type: ignore[import-not-found]

        self.mlflow: Any = mlflow
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params(dict(settings))

    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        self.mlflow.log_metrics(dict(figures), step=epoch)

    def close(self, whole: bool) -> None:
        self.mlflow.end_run("FINISHED" if whole else "KILLED")


class WandB:
    """A run of Weights & Biases; `WANDB_MODE=offline` keeps it on this machine."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb  # type: ignore[import-not-found]

        self.run: Any = wandb.init(project="catscale", name=folder.name, dir=str(folder), config=dict(settings))

    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        self.run.log(dict(figures), step=epoch)

    def close(self, whole: bool) -> None:
        self.run.finish(exit_code=0 if whole else 1)


LOGGERS: dict[str, Callable[[Path, Mapping[str, Any]], Logger]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def logger_names(wanted: str | None) -> list[str]:
    """The loggers of a comma-separated list, each once.

    Raises:
        InputError: one is not known, or its package is not installed.
    """
    names = list(dict.fromkeys(filter(None, (name.strip() for name in (wanted or "").split(",")))))
    for name in names:
        if name not in LOGGERS:
            raise InputError(f"--logger: no logger {name!r}; {nearest(name, LOGGERS)}")
        if find_spec(name) is None:
            raise InputError(f"--logger {name}: the package {name} is not installed; pip install 'catscale[{name}]'")
    return names


@contextmanager
def logging_to(names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> Iterator[Callable[[EpochRow], None]]:
    """Give a function that takes each epoch's row to the loggers; they begin with the first row and end in any case.

    A logger that fails is warned of and left out from then on: no training ends for its sake.

    Args:
        names: of `LOGGERS`.
        folder: of the run; its name becomes the run's.
        settings: of the training, as flat as they should be shown.
    """
    loggers: dict[str, Logger] = {}
    left = list(names)

    def trying(name: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # whatever a foreign package raises
            left.remove(name)
            why = " ".join(str(error).split()) or type(error).__name__
            sys.stderr.write(f"warning: --logger {name}: {why[:300]}; goes on without it\n")

    def log(row: EpochRow) -> None:
        figures = asdict(row)
        epoch = figures.pop("epoch")
        tagged = {TAGS.get(name, f"train/{name}"): value for name, value in figures.items()}

        def take(name: str) -> None:
            if name not in loggers:
                loggers[name] = LOGGERS[name](folder, settings)
            loggers[name].log(tagged, epoch)

        for name in tuple(left):
            trying(name, partial(take, name))

    whole = False
    try:
        yield log
        whole = True
    finally:
        for name in tuple(left):
            if name in loggers:
                trying(name, partial(loggers[name].close, whole))
