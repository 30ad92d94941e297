"""The same study on a real Ray cluster, a real Dask cluster, and by two commands at once, on a real PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from catscale.search.status import read_study

from .postgres import postgres, programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLUSTERS = {
    "ray": """
import os
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
input()
cluster.shutdown()
""",
    "dask": """
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, resources={"CPU": 1}, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        input()
""",
}


@contextmanager
def cluster(kind: str, place: Path) -> Iterator[str]:
    """A cluster of two processes that work; gives its address."""
    script = place / f"{kind}_cluster.py"
    script.write_text(CLUSTERS[kind])
    with (place / "cluster.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout
            address = process.stdout.readline().strip()
            assert address, (place / "cluster.log").read_text()
            yield address
        finally:
            process.communicate("\n", timeout=60)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    pytest.importorskip("psycopg")
    if programs() is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    with postgres() as url:
        yield url


def started(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "catscale.cli", "search", "run", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    )


@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_a_study_runs_on_a_cluster(tiny: Callable[..., Path], database: str, tmp_path: Path, kind: str) -> None:
    pytest.importorskip({"ray": "ray", "dask": "distributed"}[kind])
    path, folder = tiny(f"on-{kind}", trials=3), tmp_path / "study"
    with cluster(kind, tmp_path) as address:
        run = started(
            path, "--folder", folder, "--storage", database, "--workers", 2, "--device", "cpu",
            "--backend", kind, "--cluster", address, "--cpus", 1,
        )  # fmt: skip
        said, errors = run.communicate(timeout=400)
    assert run.returncode == 0, said + errors
    rows = read_study(folder).rows
    assert [row.state for row in rows] == ["complete"] * 3
    assert len({row.worker for row in rows}) == 2
    assert said.count("complete  AP") == 3


def test_two_commands_work_on_one_study(tiny: Callable[..., Path], database: str, tmp_path: Path) -> None:
    path, folder = tiny("two", trials=4), tmp_path / "study"
    both = [started(path, "--folder", folder, "--storage", database, "--device", "cpu") for _ in range(2)]
    for run in both:
        said, errors = run.communicate(timeout=400)
        assert run.returncode == 0, said + errors
    rows = read_study(folder).rows
    assert [row.state for row in rows] == ["complete"] * 4
    assert len({row.worker for row in rows}) == 2
