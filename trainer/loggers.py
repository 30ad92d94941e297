"""Where an epoch's figures go beside the run's own files: TensorBoard, MLflow, Weights & Biases, when asked for.

None of these packages is imported, and nothing is contacted, unless `--logger` names it; where they are configured by
environment variables of their own, these hold.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ..blocks.errors import InputError, nearest
from .run_folder import EpochRow

TAGS = {"box": "loss/box", "obj": "loss/obj", "cls": "loss/cls", "ap": "val/AP", "ap50": "val/AP50", "ap75": "val/AP75"}


class Logger(Protocol):
    """Takes the figures of each epoch, under names such as `val/AP`."""

    def log(self, figures: Mapping[str, float], epoch: int) -> None: ...

    def close(self) -> None: ...


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

    def close(self) -> None:
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

    def close(self) -> None:
        self.mlflow.end_run()


class WandB:
    """A run of Weights & Biases; `WANDB_MODE=offline` keeps it on this machine."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb  # type: ignore[import-not-found]

        self.run: Any = wandb.init(project="catscale", name=folder.name, dir=str(folder), config=dict(settings))

    def log(self, figures: Mapping[str, float], epoch: int) -> None:
        self.run.log(dict(figures), step=epoch)

    def close(self) -> None:
        self.run.finish()


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
            raise InputError(f"--logger {name}: the package {name} is not installed; pip install {name}")
    return names


@contextmanager
def logging_to(names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> Iterator[Callable[[EpochRow], None]]:
    """Give a function that takes each epoch's row to the loggers; they begin with the first row and end in any case.

    Args:
        names: of `LOGGERS`.
        folder: of the run; its name becomes the run's.
        settings: of the training, as flat as they should be shown.
    """
    loggers: list[Logger] = []
    with ExitStack() as ending:

        def log(row: EpochRow) -> None:
            if not loggers:
                for name in names:
                    loggers.append(LOGGERS[name](folder, settings))
                    ending.callback(loggers[-1].close)
            figures = asdict(row)
            epoch = figures.pop("epoch")
            for logger in loggers:
                logger.log({TAGS.get(name, f"train/{name}"): value for name, value in figures.items()}, epoch)

        yield log
