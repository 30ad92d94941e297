"""What a trial takes of a real cluster: so many at a time as there is room for, and a message where there is none."""

import time
from pathlib import Path

import pytest
from catscale.blocks.errors import InputError
from catscale.search.backends import Backend, place

from .test_backends import cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_a_cluster_of_two_cores_takes_two_trials_of_one(kind: str, tmp_path: Path) -> None:
    pytest.importorskip({"ray": "ray", "dask": "distributed"}[kind])
    place_of_notes = str(tmp_path)

    def work(job: int) -> str:
        began = time.time()
        time.sleep(2.0)
        Path(place_of_notes, f"{job}.note").write_text(f"{began} {time.time()}")
        return ""

    with cluster(kind, tmp_path) as address:
        for backend, words in (
            (Backend(kind, address, gpus=1), r"--gpus 1: no node .* there is: GPU 0"),  # type: ignore[arg-type]
            (Backend(kind, address, cpus=2), r"--cpus 2: no node .* there is: CPU 1; CPU 1"),  # type: ignore[arg-type]
        ):
            with pytest.raises(InputError, match=words):
                backend.check()
        backend = Backend(kind, address, cpus=1)  # type: ignore[arg-type]
        backend.check()
        placed = place(backend, work, range(4), print)
        for thread in placed.threads:
            thread.join()
    assert placed.problems == []
    spans = [tuple(map(float, note.read_text().split())) for note in tmp_path.glob("*.note")]
    assert len(spans) == 4
    assert max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans) == 2
