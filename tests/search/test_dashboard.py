"""optuna-dashboard on a study's storage, in a real browser."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from .simulation import simulate

pytestmark = pytest.mark.slow

BROWSER = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)


def answer(url: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as page:
                return page.read().decode()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)


def test_the_dashboard_shows_a_study_and_its_trials(tiny: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    if BROWSER is None:
        pytest.skip("no browser here (Debian: apt-get install chromium)")
    simulate(tiny("dashing", trials=3), tmp_path, None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("optuna-dashboard"))
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    server = subprocess.Popen(
        [program, storage, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert "dashing" in answer(f"http://127.0.0.1:{port}/api/studies")
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
        options += ["--virtual-time-budget=15000", "--dump-dom"]
        page = subprocess.run(
            [BROWSER, *options, f"http://127.0.0.1:{port}/dashboard/studies/1/trials"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait(20)
    assert "dashing" in page.stdout
    assert page.stdout.count("Complete") >= 3
