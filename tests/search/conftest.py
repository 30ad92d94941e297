"""What the search's tests share: a study of tiny detectors on a few tiny images, and processes as they are seen."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from catscale.scaler.latency.protocol import Protocol
from catscale.trainer.data.shapes import make_shapes

TINY: dict[str, Any] = {
    "base": "base.yaml",
    # Twelve candidates, no two of which are the same detector.
    "space": {
        "width": {"choices": [0.25, 0.375, 0.5, 0.625, 0.75, 1.0]},
        "activation": {"choices": ["silu", "leaky_relu"]},
    },
    "objectives": ["ap", "gflops"],
    "trials": 2,
    "sampler": {"kind": "random"},
    "recipe": "quick",
    "epochs": 1,
    "overrides": {"batch": 4},
    "size_px": 64,
    "data": "data",
    "references": False,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a study of that name, with keys replaced; gives its file. Its images are cached beside it."""
    place = tmp_path_factory.mktemp("tiny")
    make_shapes(place / "data", train=16, val=4, test=0, size_px=64)
    (place / "base.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.25}\n")

    def write(name: str, **changes: Any) -> Path:
        path = place / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**TINY, "name": name, **changes}))
        return path

    return write


def relabel(data: Path) -> None:
    """Give the first object of a drawn set's training images another class."""
    path = data / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    first = document["annotations"][0]
    first["category_id"] = next(it["id"] for it in document["categories"] if it["id"] != first["category_id"])
    path.write_text(json.dumps(document))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep decoded images out of the user's cache; processes that tests start are known by it too."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def brief_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time each candidate for a moment only, and take whatever figure comes of it."""
    brief = Protocol(runs=5, most_runs=5, most_warm_up=3, cap_s=0.1, widest_interval=100.0)
    monkeypatch.setattr("catscale.scaler.latency.architectures.SEARCHING", brief)


@pytest.fixture(scope="module")
def quick_latency() -> Iterator[None]:
    """Measure latency in an instant: for tests that read no figure of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("catscale.scaler.latency.architectures.ATTEMPTS", 1)
        quick = Protocol(least_warm_up=1, most_warm_up=2, runs=5, cap_s=0.1)
        patch.setattr("catscale.scaler.latency.architectures.SEARCHING", quick)
        yield
