"""A study whose workers are killed at random ends as an undisturbed one does."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from catscale.search.rows import Row
from catscale.search.run import run_study
from catscale.search.standing import TAKEN_UP
from catscale.search.status import StudyRecord, read_study
from catscale.search.study import load_study
from catscale.trainer.run_folder import RunFolder

TRIALS, WORKERS, EPOCHS = 12, 3, 6
EVERY_S = (3.0, 8.0)  # between two kills
KILLS = 12
SPARED = TAKEN_UP - 1  # deaths after which a trial is left alone: on a slow machine chance kills one again and again

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def parents() -> dict[int, int]:
    """Each process' parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            found[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    return found


def working(folder: Path) -> dict[int, list[int]]:
    """The workers that hold leases, each with the processes of its trials, but for those at a trial's last try."""
    found: dict[int, list[int]] = {}
    rows = read_study(folder).rows if (folder / "trials.csv").is_file() else []
    died = Counter(tuple(sorted(row.values.items())) for row in rows if row.state == "failed")
    last = {row.worker for row in rows if row.state == "running" and died[tuple(sorted(row.values.items()))] >= SPARED}
    all_of_them = parents()
    for path in (folder / "workers").glob("*"):
        if path.name in last:
            continue
        with suppress(OSError, IndexError):
            pid = int(path.read_text().split()[-1])
            if pid in all_of_them:
                found[pid] = [child for child, parent in all_of_them.items() if parent == pid]
    return found


def processes_with(word: str) -> list[int]:
    """The processes whose environment has a word in it."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended, or is somebody else's
            if entry.name.isdigit() and word.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def losses(record: StudyRecord, row: Row) -> list[tuple[float, ...]]:
    rows = RunFolder(record.run_folder(row)).read_metrics()
    return [(epoch.box, epoch.obj, epoch.cls, epoch.lr, epoch.ap) for epoch in rows]


def ended(record: StudyRecord) -> dict[tuple[object, ...], list[tuple[float, ...]]]:
    complete = [row for row in record.rows if row.state == "complete"]
    assert all(row.same_as is None for row in complete)
    return {tuple(sorted(row.values.items())): losses(record, row) for row in complete}


def test_every_trial_is_finished_once_though_workers_are_killed(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny("faults", trials=TRIALS, epochs=EPOCHS)
    run_study(load_study(path), tmp_path / "calm", device="cpu")
    calm = ended(read_study(tmp_path / "calm"))

    folder, mark = tmp_path / "stormy", {"XDG_CACHE_HOME": str(tmp_path / "stormy cache")}
    command = [sys.executable, "-m", "catscale.cli", "search", "run", path, "--workers", WORKERS, "--folder", folder]
    rng, killed = random.Random(0), 0
    with (tmp_path / "log").open("w") as log:
        study = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env={**os.environ, **mark})
        next_kill = time.monotonic() + 12  # the first trials are under way
        while study.poll() is None:
            time.sleep(0.1)
            if killed == KILLS or time.monotonic() < next_kill or not (there := working(folder)):
                continue
            worker = rng.choice(sorted(there))
            for victim in rng.choice(([worker], there[worker], [worker, *there[worker]])):
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed += 1
            next_kill = time.monotonic() + rng.uniform(*EVERY_S)
    said = (tmp_path / "log").read_text()
    assert study.returncode == 0, said
    assert killed >= KILLS / 2, said

    record = read_study(folder)
    stormy = ended(record)
    complete = [row for row in record.rows if row.state == "complete"]
    assert len(complete) == TRIALS == len(stormy)
    assert {row.state for row in record.rows} <= {"complete", "failed"}
    assert all("goes on as trial" in row.reason for row in record.rows if row.state == "failed")
    assert any(row.state == "failed" for row in record.rows)
    assert stormy == calm
    assert sorted(run.name for run in (folder / "trials").iterdir()) == sorted(str(row.number) for row in complete)
    deadline = time.monotonic() + 30
    while orphans := processes_with(str(tmp_path / "stormy cache")):
        assert time.monotonic() < deadline, orphans
        time.sleep(0.2)
