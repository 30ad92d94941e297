"""What profile prints beside the counts: bytes, paths, receptive fields and the roofline bound."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import catscale
import pytest
from catscale.scaler.memory import memory
from catscale.scaler.roofline import roofline

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


def test_json_has_all_of_it(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("peak_tflops: {int8: 20}\nbandwidth_gbs: 50\n", encoding="utf-8")
    done = cli("profile", "yolov7-w6", "--on", "mine.yaml", "--dtype", "int8", "--batch", 4, "--json", cwd=tmp_path)
    profile = json.loads(done.stdout)
    moved = memory(catscale.load("yolov7-w6").cost(), "int8", 4)
    total = {"dtype": "int8", "batch": 4, "bytes_read": moved.total.read, "bytes_written": moved.total.written}
    assert profile["memory"].items() >= total.items()
    assert profile["memory"]["bytes_params"] == profile["params"]
    for fact in ("bytes_read", "bytes_params", "bytes_written"):
        assert sum(block[fact] for block in profile["blocks"]) == profile["memory"][fact]
    line = roofline(moved, str(tmp_path / "mine.yaml"))
    assert profile["roofline"]["bound_ms"] == pytest.approx(1e3 * line.total.time_s)
    assert profile["roofline"]["ridge"] == 400
    assert sum(block["bound_ms"] for block in profile["blocks"]) == pytest.approx(profile["roofline"]["bound_ms"])
    elan = next(block for block in profile["blocks"] if block["name"] == "backbone.p3.elan")
    assert (elan["shortest_path"], elan["longest_path"]) == (2, 6)
    assert elan["bound_by"] in ("compute", "memory")
    heads = {head["name"]: head for head in profile["heads"]}
    assert [head["stride"] for head in heads.values()] == [8, 16, 32, 64] * 2
    assert list(heads) == [f"{kind}.p{level}" for kind in ("lead", "aux") for level in (3, 4, 5, 6)]
    assert heads["aux.p6"]["longest_path"] < heads["lead.p6"]["longest_path"]  # it leaves out the way up again
    assert heads["aux.p3"]["receptive_field"] == heads["lead.p3"]["receptive_field"]  # read from the same node


def test_a_table_for_a_person(cli: CommandLine) -> None:
    plain, bound = cli("profile", "yolov7"), cli("profile", "yolov7", "--on", "v100-sxm2")
    for part in ("bytes of fp16, batch 1", "MB", "FLOPs/byte", "path", "2-6", "receptive field px", "lead.p5"):
        assert part in plain.stdout
    assert "bound by" not in plain.stdout
    for part in ("bound by", "memory", "compute", "v100-sxm2: 125 TFLOP/s fp16, 900 GB/s, ridge 138.9 FLOPs/byte"):
        assert part in bound.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--on", "h100"), "no device is called 'h100'; did you mean 'h100-sxm'?"),
        (("--on", "v100-sxm2", "--dtype", "int8"), "v100-sxm2: no peak is known for int8"),
        (("--batch", "0"), "a batch of 0 images; it must be at least 1"),
    ],
)
def test_bad_input_is_one_message(cli: CommandLine, options: tuple[str, ...], message: str) -> None:
    done = cli("profile", "yolov7-tiny", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
