"""How many trials a second each storage carries: the real workers and ledger, and an objective that only sleeps.

Run by `make bench`. Every worker is a process that asks, notes and ends trials as in a study, with its heartbeats; the
training is a sleep of `TRIAL_S`. `share` is the part of a worker's time that is not the sleep: asking (one at a time),
describing, noting. Trainings last minutes: what matters is the trials per second at which the storage is full.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "search"))
from postgres import postgres, programs  # type: ignore[import-not-found]

TRIAL_S = 2.0
WORKERS = (1, 4, 16, 64)
TRIALS_EACH = 5
SPACE = {"width": {"low": 0.1, "high": 4.0}, "resolution": {"low": 320, "high": 1280, "step": 32}}


def sleeper() -> None:
    """One worker, in its own process: STUDY.yaml FOLDER STORAGE."""
    from simulation import COMPLETE, simulate  # type: ignore[import-not-found]

    def sleep(*_: object) -> object:
        time.sleep(TRIAL_S)
        return COMPLETE

    path, folder, storage = sys.argv[1:]
    simulate(Path(path), Path(folder), None if storage == "sqlite" else storage, outcome=sleep)


@contextmanager
def storages(folder: Path) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        found = {"sqlite": "sqlite", "journal": f"journal:{folder / 'journal.log'}"}
        if programs() is not None:
            found["postgresql"] = stack.enter_context(postgres())
        yield found


@pytest.mark.timeout(1800)
def test_trials_per_second(tmp_path: Path) -> None:
    print(f"\n{'storage':12}{'workers':>8}{'trials':>8}{'seconds':>9}{'trials/s':>10}{'at best':>9}{'share':>8}")
    with storages(tmp_path) as known:
        for name, storage in known.items():
            for workers in WORKERS:
                count = workers * TRIALS_EACH
                seconds = measured(tmp_path, f"{name}{workers}", storage, workers, count)
                share = 1 - count * TRIAL_S / (seconds * workers)
                rate, best = count / seconds, workers / TRIAL_S
                print(f"{name:12}{workers:8}{count:8}{seconds:9.1f}{rate:10.2f}{best:9.1f}{share:8.0%}", flush=True)


def measured(place: Path, name: str, storage: str, workers: int, count: int) -> float:
    """Seconds from the first trial's beginning to the last one's end."""
    path, folder = place / f"{name}.yaml", place / name
    study = {"name": name, "base": "yolov7-tiny", "space": SPACE, "objectives": ["ap", "gflops"], "trials": count}
    path.write_text(yaml.safe_dump({**study, "sampler": {"kind": "random"}, "references": False}))
    command = [sys.executable, __file__, str(path), str(folder), storage]
    processes = [subprocess.Popen(command) for _ in range(workers)]
    assert [process.wait() for process in processes] == [0] * workers
    from catscale.search.ledger import Ledger
    from catscale.search.study import load_study

    ledger = Ledger.open(load_study(path), folder, None if storage == "sqlite" else storage)
    try:
        trials = ledger.trials
        assert sum(trial.state.name == "COMPLETE" and "same_as" not in trial.user_attrs for trial in trials) == count
        began = min(trial.datetime_start for trial in trials if trial.datetime_start)
        ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    finally:
        ledger.close()
    return (ended - began).total_seconds()


if __name__ == "__main__":
    sleeper()
