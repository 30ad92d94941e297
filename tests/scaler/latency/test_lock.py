"""One measurement at a time: a second process is noticed, said, waited for; a dead one holds nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from catscale.blocks.errors import CatscaleError
from catscale.scaler.latency import pinning
from catscale.scaler.latency.lock import device_lock_path, locked
from catscale.scaler.latency.pinning import allowed_cores, check_threads, cores_of, pinned

HOLD = """
import sys
from pathlib import Path
from catscale.scaler.latency.lock import locked
with locked(Path(sys.argv[1]), "cpu"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_busy_device_is_said_once_and_named_when_it_stays_busy(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    said: list[str] = []
    with (
        pytest.raises(CatscaleError, match=rf"cpu is busy with process {holder.pid} \(-c, since .*; try again when"),
        locked(tmp_path / "lock", "cpu", say=said.append, wait_s=0.3),
    ):
        pass
    assert len(said) == 1
    assert said[0].startswith(f"cpu is busy with process {holder.pid}")
    assert said[0].endswith("waiting for it")


def test_the_lock_is_taken_when_the_other_ends_and_also_when_it_is_killed(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    holder.send_signal(signal.SIGKILL)
    said: list[str] = []
    with locked(tmp_path / "lock", "cpu", wait_s=30, say=said.append):
        holder.wait()
    with locked(tmp_path / "lock", "cpu", wait_s=0):
        pass


AGAIN_AND_AGAIN = """
import sys, time
from pathlib import Path
from catscale.scaler.latency.lock import locked
while True:
    with locked(Path(sys.argv[1]), "cpu"):
        print("held", flush=True)
        time.sleep(0.3)
"""


def test_one_that_measures_again_and_again_does_not_keep_the_others_out(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AGAIN_AND_AGAIN, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            for _ in range(3):
                with locked(tmp_path / "lock", "cpu", wait_s=5):
                    pass
        finally:
            process.kill()


def test_every_device_has_a_lock_of_its_own() -> None:
    assert len({device_lock_path(device) for device in ("cpu", "GPU-1", "GPU-2")}) == 3


needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no threads")


@needs_affinity
def test_threads_are_pinned_to_as_many_cores_and_let_go_again() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1):
        assert os.sched_getaffinity(0) == set(allowed_cores()[:1]) == set(cores_of(1) or ())
        inside = subprocess.run(
            [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert inside.stdout == "1\n"
    assert os.sched_getaffinity(0) == before


@needs_affinity
def test_hyperthreads_of_one_core_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda task: {0, 1, 2, 3})
    monkeypatch.setattr(pinning, "SYSTEM", tmp_path)
    for core, pair in enumerate(("0-1", "0-1", "2-3", "2-3")):
        (tmp_path / f"cpu{core}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{core}/topology/thread_siblings_list").write_text(pair)
    assert allowed_cores() == (0, 2, 1, 3)


def test_more_threads_than_cores_are_refused() -> None:
    cores = len(allowed_cores())
    with pytest.raises(CatscaleError, match=f"{cores + 1} threads on {cores} cores would wait .* use at most {cores}"):
        check_threads(cores + 1)
