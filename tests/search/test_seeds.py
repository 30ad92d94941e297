"""A trial of several seeds goes on in the one in which it was killed."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from catscale.search.coordinator import Crew
from catscale.search.rows import Row
from catscale.search.run import run_study
from catscale.search.study import load_study
from catscale.trainer.run_folder import RunFolder

from .test_faults import parents

Write = Callable[..., Path]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def study(tiny: Write) -> Path:
    return tiny("seeds", trials=1, seeds=2, epochs=2, space={"width": {"choices": [1.0]}}, latency={"runs": 5})


@pytest.fixture(scope="module")
def unbroken(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Row, list[float]]:
    folder = tmp_path_factory.mktemp("unbroken")
    (row,) = run_study(load_study(study), folder, device="cpu", crew=Crew())
    return row, losses(folder / "trials" / "0")


def losses(folder: Path) -> list[float]:
    return [row.box for part in (".", "seed-1") for row in RunFolder(folder / part).read_metrics()]


@pytest.mark.parametrize(  # before and after the first epoch of the second seed
    "file", ["run.json", pytest.param("results.csv", marks=pytest.mark.slow)]
)
def test_a_trial_goes_on_in_the_seed_in_which_it_was_killed(
    study: Path, unbroken: tuple[Row, list[float]], tmp_path: Path, file: str
) -> None:
    def kill() -> None:
        while not (tmp_path / "trials" / "0" / "seed-1" / file).exists():
            time.sleep(0.002)
        ours = [pid for pid, parent in parents().items() if parent == os.getpid()]
        (child,) = [pid for pid in ours if b"catscale.search.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(child, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    rows = run_study(load_study(study), tmp_path, device="cpu", crew=Crew())
    assert not killer.is_alive()
    assert [(row.state, row.reason) for row in rows] == [
        ("failed", "interrupted; goes on as trial 1"),
        ("complete", ""),
    ]
    whole, row = unbroken[0].figures, rows[1].figures
    assert all(row[name] == whole[name] for name in ("ap", "ap50", "ap_spread"))
    assert losses(tmp_path / "trials" / "1") == unbroken[1]
