"""A gRPC proxy before a real PostgreSQL, a study worked on through it by two commands, and a proxy that is killed."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from catscale.blocks.errors import CatscaleError
from catscale.search import storages
from catscale.search.status import read_study
from catscale.search.study import load_study

from .postgres import postgres, programs
from .simulation import simulate, working
from .test_backends import started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Proxy:
    """`catscale search serve` before a database, on a port of its own."""

    def __init__(self, database: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.database = database
        self.start()

    @property
    def url(self) -> str:
        return f"grpc://localhost:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "catscale.cli", "search", "serve", "--storage", self.database]
        self.process = subprocess.Popen([*command, "--port", str(self.port)], stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    pytest.importorskip("psycopg")
    pytest.importorskip("grpc")
    if programs() is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    with ExitStack() as stack:
        proxy = Proxy(stack.enter_context(postgres()))
        stack.callback(proxy.kill)
        yield proxy


def test_a_study_goes_on_though_its_proxy_is_killed(tiny: Callable[..., Path], proxy: Proxy, tmp_path: Path) -> None:
    path, folder = tiny("through", trials=4), tmp_path / "study"
    table = folder / "trials.csv"
    with ExitStack() as stack:
        runs = [started(path, "--folder", folder, "--storage", proxy.url, "--device", "cpu") for _ in range(2)]
        for run in runs:
            stack.callback(run.kill)
        while not table.is_file() or ",complete," not in table.read_text():
            assert all(run.poll() is None for run in runs), [run.communicate() for run in runs]
            time.sleep(0.1)
        proxy.kill()
        time.sleep(3.0)  # trials end meanwhile, and cannot be noted
        proxy.start()
        for run in runs:
            said, errors = run.communicate(timeout=400)
            assert run.returncode == 0, said + errors
            assert "Traceback" not in said + errors
    rows = read_study(folder).rows
    assert [row.state for row in rows if row.state != "failed"] == ["complete"] * 4
    whole = max(len(row.values) for row in rows)
    begun = [row for row in rows if row.state == "failed" and len(row.values) == whole]  # had all its values
    assert all("goes on as trial" in row.reason for row in begun)
    assert len({tuple(row.values.values()) for row in rows if row.state == "complete"}) == 4
    assert len({row.worker for row in rows}) == 2


def test_a_proxy_that_stays_away_is_one_message(
    tiny: Callable[..., Path], proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny("gone", trials=2)
    assert len(simulate(path, tmp_path / "before", proxy.url)) == 2
    monkeypatch.setattr(storages, "PATIENCE_S", 1.0)
    with working(load_study(path), tmp_path / "before", proxy.url) as (ledger, _):
        proxy.kill()
        with pytest.raises(CatscaleError, match=r"the storage has been away for 1 s: the proxy: .*refused"):
            storages.patiently(ledger.rows)
