"""What goes along with a training without being a part of it: loggers and pictures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ..blocks.errors import InputError
from .data.records import Dataset
from .loggers import logging_to
from .recipe import Recipe
from .run_folder import EpochRow, RunFolder


@contextmanager
def accompanied(
    run: RunFolder, dataset: Dataset, recipe: Recipe, *, loggers: Sequence[str], pictures: bool
) -> Iterator[Callable[[EpochRow], None]]:
    """Give a function for `on_epoch`. Pictures of the data are drawn after the first epoch, of the epochs at the end.

    Args:
        run: where the training writes; it need not be there yet.
        dataset: that is trained on.
        recipe: shown by the loggers.
        loggers: of `loggers.LOGGERS`.
        pictures: whether to draw.
    """
    with logging_to(loggers, run.path, recipe.model_dump()) as log:

        def after_epoch(row: EpochRow) -> None:
            log(row)
            if pictures and not (run.path / "labels.png").exists():
                from .run_pictures import draw_data

                draw_data(run, dataset)

        def draw_curves() -> None:
            if pictures and run.metrics.is_file():
                from .run_pictures import draw_epochs

                draw_epochs(run)

        try:
            yield after_epoch
        except BaseException:  # a training that was stopped has its curves too, but what stopped it is what is said
            with suppress(InputError):
                draw_curves()
            raise
        draw_curves()
