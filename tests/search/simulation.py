"""The real ledger and workers with a stand-in for measuring and training."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from catscale.search.candidates import Bases, over_budget
from catscale.search.leases import lease
from catscale.search.ledger import Ledger
from catscale.search.outcomes import Outcome
from catscale.search.rows import Row
from catscale.search.run import recipe_of
from catscale.search.stored_study import write_study
from catscale.search.study import Study, load_study
from catscale.search.trial import OnEpoch, OnFigures, Task
from catscale.search.worker import Pulse, Worker

RESULTS = {"ap": 0.5, "ap50": 0.6, "seconds": 0.01, "latency_ms": 1.0}
COMPLETE = Outcome("complete", figures=RESULTS)


def simulate(
    path: Path,
    folder: Path,
    storage: str | None = "journal",
    outcome: Callable[[Task, OnEpoch, Pulse], Outcome] = lambda task, on_epoch, pulse: COMPLETE,
    measured: Callable[[Task], Mapping[str, float]] | None = None,
    **settings: Any,
) -> list[Row]:
    """Be one worker of a study until it is done; gives all its trials. By default a journal holds them.

    With `measured`, each trial has these figures before it is trained.
    """

    def attempt(task: Task, on_figures: OnFigures, on_epoch: OnEpoch, pulse: Pulse) -> Outcome:
        if measured is not None:
            figures = measured(task)
            on_figures(figures)
            if reason := over_budget(task.study, figures):
                return Outcome("refused", reason)
        return outcome(task, on_epoch, pulse)

    study = load_study(path)
    folder.mkdir(parents=True, exist_ok=True)
    worker = Worker(study, folder, Bases(study), recipe_of(study), "cpu", attempt, **settings)
    with working(study, folder, storage) as (ledger, pulse):
        worker.work(ledger, pulse)
        ledger.write()
        return ledger.rows()


def journal(folder: Path) -> str:
    return f"journal:{folder / 'journal.log'}"


@contextlib.contextmanager
def working(study: Study, folder: Path, storage: str | None) -> Iterator[tuple[Ledger, Pulse]]:
    """A worker's ledger and pulse."""
    ledger = Ledger.open(study, folder, journal(folder) if storage == "journal" else storage)
    try:
        write_study(study, folder / f".{threading.get_ident()}.yaml")
        (folder / f".{threading.get_ident()}.yaml").rename(folder / "study.yaml")
        with lease(folder, "sim") as held:
            pulse = Pulse(ledger, held, "sim")
            with pulse.beating():
                yield ledger, pulse
    finally:
        ledger.close()
