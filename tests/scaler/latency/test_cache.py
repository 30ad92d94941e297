"""Results are taken again from their file only where graph, stamp and precision are those asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.latency.cache import Cache, default_cache
from catscale.scaler.latency.measure import Measurement

Make = Callable[..., Measurement]


def test_a_result_is_found_by_graph_and_stamp_under_the_name_asked_for(tmp_path: Path, measured: Make) -> None:
    kept = measured()
    Cache(tmp_path / "new" / "latency.json").keep([kept])
    cache = Cache(tmp_path / "new" / "latency.json")
    found = cache.find("renamed", kept.fingerprint, kept.stamp, kept.protocol)
    assert found == replace(kept, name="renamed")
    assert cache.find("one", "e" * 64, kept.stamp, kept.protocol) is None
    assert cache.find("one", kept.fingerprint, replace(kept.stamp, driver="590"), kept.protocol) is None


def test_a_result_that_is_less_precise_than_asked_is_not_taken(tmp_path: Path, measured: Make) -> None:
    kept = measured(list(10 + 0.4 * np.random.default_rng(0).random(30)))
    cache = Cache(tmp_path / "latency.json")
    cache.keep([kept])
    assert cache.find("one", kept.fingerprint, kept.stamp, kept.protocol)
    for stricter in ({"runs": 31}, {"widest_interval": 0.001}):
        assert cache.find("one", kept.fingerprint, kept.stamp, kept.protocol.replace(**stricter)) is None


def test_refused_and_failed_ones_are_not_kept(tmp_path: Path, measured: Make) -> None:
    Cache(tmp_path / "latency.json").keep(
        [measured([1.0, 2.0, 1.4, 1.7, 1.2, 1.9, 1.1]), measured([], failure="out of memory")]
    )
    assert list(tmp_path.iterdir()) == []


def test_two_at_work_on_one_cache_lose_nothing_and_the_latest_of_a_graph_stands(tmp_path: Path, measured: Make) -> None:
    path = tmp_path / "latency.json"
    first, second = Cache(path), Cache(path)
    first.keep([measured()])
    second.keep([measured(fingerprint="e" * 64)])
    second.keep([measured([20.0] * 30)])
    cache = Cache(path)
    assert {key[0][0]: found.summary.median_ms for key, found in cache.kept.items()} == {"e": 10.0, "f": 20.0}


@pytest.mark.parametrize("text", ["", "{", '{"kind": "another"}', '{"kind": "catscale latency", "measurements": [{}]}'])
def test_a_corrupt_cache_is_set_aside_with_a_message(text: str, tmp_path: Path, measured: Make) -> None:
    path, said = tmp_path / "latency.json", list[str]()
    path.write_text(text)
    cache = Cache(path, say=said.append)
    (aside,) = tmp_path.glob("latency.json.corrupt-*")
    assert aside.read_text() == text
    assert len(said) == 1
    assert said[0].startswith(f"{path}: ")
    assert f"this cache was set aside as {aside.name}, and a new one is begun" in said[0]
    cache.keep([measured()])
    assert len(Cache(path).kept) == 1


def test_a_cache_that_cannot_be_written_is_bad_input(measured: Make) -> None:
    with pytest.raises(InputError, match=r"/proc/none/latency\.json: cannot be written: .*; name another --cache"):
        Cache(Path("/proc/none/latency.json")).keep([measured()])


def test_the_cache_lies_where_the_user_has_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "catscale" / "latency.json"
