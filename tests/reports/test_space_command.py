"""`catscale space`, as a user has it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catscale
import pytest
import yaml

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]

QUICKSTART = Path(catscale.__file__).parent / "studies" / "quickstart.yaml"


def study(folder: Path, **changes: Any) -> Path:
    document = {
        "name": "few",
        "base": "yolov7-tiny",
        "space": {"depth": {"choices": [0.5, 0.75]}, "width": {"choices": [0.25, 0.5]}},
        "objectives": ["ap", "gflops"],
        "constraints": {"params": 1000, "latency_ms": 9},
        "trials": 2,
        **changes,
    }
    path = folder / "few.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_the_quickstart_in_words_and_a_picture(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("space", QUICKSTART, "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "quickstart: 54 candidates, from quickstart-base" in done.stdout
    assert "can be built: 54" in done.stdout
    assert "params up to 2.00 M" in done.stdout
    assert "nothing has fewer of one and not more of the other" in done.stdout
    assert (tmp_path / "out" / "space.png").read_bytes()[:4] == b"\x89PNG"
    picture = (tmp_path / "out" / "space.svg").read_text(encoding="utf-8")
    assert all(word in picture for word in ("tiny-half", "bound", "most params for its FLOPs", "in budget"))


def test_json_is_what_the_detectors_count(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("space", QUICKSTART, "--classes", "3", "--json", cwd=tmp_path)
    record = json.loads(done.stdout)
    base = catscale.load("yolov7-tiny").scale(width=0.5, resolution=128).replace(classes=3)
    smallest = base.scale(compound=0.5, width=0.5).cost()
    (least,) = record["fronts"]["least"]
    assert least["values"]["compound"] == 0.5
    assert (least["params"], least["flops"]) == (smallest.params, smallest.flops("paper"))
    assert record["ranges"]["params"]["least"] == smallest.params
    assert record["pictures"] == []


def test_a_bound_that_nothing_satisfies_is_answered_with_the_nearest_miss(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("space", study(tmp_path), "-o", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 cannot: backbone.p2.elan: depth 0.75 turns 2 taps into 1.5; use a multiple of 0.5" in done.stdout
    assert "in budget: 0 (params up to 0.001 M)" in done.stdout
    assert "the nearest miss: yolov7-tiny-depth0.5-width0.25 is over budget: params" in done.stdout
    assert "left out, as it takes a measurement: latency_ms" in done.stdout
    assert "None in budget; of all" in done.stdout
    assert (tmp_path / "space.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("few.yaml", "--classes", "0"), "--classes 0: give a whole number from 1, or data"),
        (("nowhere.yaml",), "nowhere.yaml: cannot be read"),
    ],
)
def test_bad_input_is_refused(cli: CommandLine, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    study(tmp_path)
    done = cli("space", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
