"""What a person sees on a terminal while trials run: a line for each, and nothing of it elsewhere."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from catscale.search.epoch_bars import EpochBars
from catscale.trainer.run_folder import EpochRow
from rich.console import Console
from rich.progress import Progress


def epoch(number: int, ap: float) -> EpochRow:
    figures = dict.fromkeys(EpochRow.__dataclass_fields__, 0.0)
    return EpochRow(**{**figures, "epoch": number, "ap": ap})  # type: ignore[arg-type]


def test_a_trial_has_a_line_until_it_ends() -> None:
    with Progress(console=Console(quiet=True)) as progress:
        bars = EpochBars(progress, 4)
        bars(3, epoch(1, 0.25))
        bars(4, epoch(1, 0.0))
        bars(3, epoch(2, 0.5))
        assert [(line.description, line.completed, line.total) for line in progress.tasks] == [
            ("trial 3: epoch 2, AP 0.500", 2, 4),
            ("trial 4: epoch 1, AP 0.000", 1, 4),
        ]
        bars(3, None)
        bars(9, None)  # ended before its first epoch
        assert [line.description for line in progress.tasks] == ["trial 4: epoch 1, AP 0.000"]


@pytest.mark.slow
def test_two_workers_have_two_lines_on_a_terminal(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny("shown", trials=2, epochs=8)
    command = [sys.executable, "-m", "catscale.cli", "search", "run", path, "--folder", tmp_path, "--workers", 2]
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=theirs, text=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:  # the last one to write has closed it
            break
        seen += some
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, seen.decode()
    for number in range(2):
        assert re.search(rf"trial {number}: epoch [1-8], AP 0\.\d\d\d", seen.decode()), seen.decode()
        assert f"trial {number} (" in said
    assert "epoch" not in said
