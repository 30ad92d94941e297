"""How many trials a second each storage carries: the real workers and ledger, and an objective that only sleeps.

Run by `make bench`. Every worker is a process that asks, notes and ends trials as in a study, with its heartbeats; the
training is a sleep of `TRIAL_S`. `share` is the part of a worker's time that is not the sleep: asking (one at a time),
describing, noting. Trainings last minutes: what matters is the trials per second at which the storage is full. Workers,
server and proxy share this machine's cores, and a worker's own part is most of the work: the figures are lower bounds.
"""

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from catscale.search.candidates import Bases
from catscale.search.ledger import Ledger
from catscale.search.outcomes import Outcome
from catscale.search.run import recipe_of
from catscale.search.study import load_study
from catscale.search.trial import OnEpoch, OnFigures, Task
from catscale.search.worker import Pulse, Worker

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "search"))
from postgres import postgres, programs  # type: ignore[import-not-found]
from simulation import COMPLETE, working  # type: ignore[import-not-found]

TRIAL_S = 2.0
WORKERS = (1, 4, 16, 64)
TRIALS_EACH = 2
SPACE = {"width": {"low": 0.1, "high": 4.0}, "resolution": {"low": 320, "high": 1280, "step": 32}}

forked = multiprocessing.get_context("fork")  # 64 interpreters that start would be measured else


def sleeper(path: Path, folder: Path, storage: str | None, ready: Any) -> None:
    """One worker, in its own process; begins when all have opened the storage."""

    def sleep(task: Task, on_figures: OnFigures, on_epoch: OnEpoch, pulse: Pulse) -> Outcome:
        time.sleep(TRIAL_S)
        return COMPLETE

    study = load_study(path)
    worker = Worker(study, folder, Bases(study), recipe_of(study), "cpu", sleep)
    with working(study, folder, storage) as (ledger, pulse):
        ready.wait()
        worker.work(ledger, pulse)


@contextmanager
def proxy(database: str) -> Iterator[str]:
    """A gRPC proxy before a database; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "catscale.cli", "search", "serve", "--storage", database, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"grpc://localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def storages(folder: Path) -> Iterator[dict[str, str | None]]:
    with ExitStack() as stack:
        found: dict[str, str | None] = {"sqlite": None, "journal": f"journal:{folder / 'journal.log'}"}
        if programs() is not None:
            found["postgresql"] = database = stack.enter_context(postgres())
            found["grpc"] = stack.enter_context(proxy(database))
        yield found


@pytest.mark.timeout(600)
def test_trials_per_second(tmp_path: Path) -> None:
    print(f"\n{os.cpu_count()} cores; trials of {TRIAL_S:g} s")
    print(f"{'storage':12}{'workers':>8}{'trials':>8}{'seconds':>9}{'trials/s':>10}{'at best':>9}{'share':>8}")
    with storages(tmp_path) as known:
        for name, storage in known.items():
            for workers in WORKERS:
                count = workers * TRIALS_EACH
                seconds = measured(tmp_path, f"{name}{workers}", storage, workers, count)
                share = 1 - count * TRIAL_S / (seconds * workers)
                rate, best = count / seconds, workers / TRIAL_S
                print(f"{name:12}{workers:8}{count:8}{seconds:9.1f}{rate:10.2f}{best:9.1f}{share:8.0%}", flush=True)


def measured(place: Path, name: str, storage: str | None, workers: int, count: int) -> float:
    """Seconds from the first trial's beginning to the last one's end."""
    path, folder = place / f"{name}.yaml", place / name
    study = {"name": name, "base": "yolov7-tiny", "space": SPACE, "objectives": ["ap", "gflops"], "trials": count}
    path.write_text(yaml.safe_dump({**study, "sampler": {"kind": "random"}, "references": False}))
    folder.mkdir()
    ready = forked.Barrier(workers)
    processes = [forked.Process(target=sleeper, args=(path, folder, storage, ready)) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * workers
    ledger = Ledger.open(load_study(path), folder, storage)
    try:
        trials = ledger.trials
        assert sum(trial.state.name == "COMPLETE" and "same_as" not in trial.user_attrs for trial in trials) == count
        began = min(trial.datetime_start for trial in trials if trial.datetime_start)
        ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    finally:
        ledger.close()
    return (ended - began).total_seconds()
