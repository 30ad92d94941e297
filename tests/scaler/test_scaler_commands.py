"""The generator from the command line: what it prints, what JSON it gives, and how it refuses."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import catscale
import pytest

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


def test_e6_is_w6_scaled_by_one_number(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("scale", "yolov7-w6", "--compound", 1.5, "--down", "downc", "-o", "e6.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert catscale.load(tmp_path / "e6.yaml").replace(name="yolov7-e6") == catscale.load("yolov7-e6")
    assert "97.20" in done.stdout  # M parameters, beside the base's
    assert "70.39" in done.stdout


def test_without_an_output_the_file_goes_to_stdout(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("scale", "yolov7-tiny", "--width", 0.5, "--name", "narrow")
    (tmp_path / "narrow.yaml").write_text(done.stdout, encoding="utf-8")
    narrow = catscale.load("yolov7-tiny").scale(width=0.5)
    assert catscale.load(tmp_path / "narrow.yaml") == narrow.replace(name="narrow")


def test_profile_as_json(cli: CommandLine) -> None:
    profile = json.loads(cli("profile", "yolov7", "--json").stdout)
    assert {key: profile[key] for key in ("name", "size", "params", "params_train", "macs", "activations")} == {
        "name": "yolov7",
        "size": 640,
        "params": 36_905_341,
        "params_train": 37_622_682,
        "macs": 52_255_539_200,
        "activations": 86_826_800,
    }
    assert profile["flops"]["paper"] == profile["flops"]["ptflops"] == 2 * (52_255_539_200 + 86_826_800)
    assert {"paper", "fvcore", "ptflops"} <= profile["flops"].keys()
    assert sum(block["params"] for block in profile["blocks"]) == profile["params"]
    assert sum(block["macs"] for block in profile["blocks"]) == profile["macs"]
    down = next(block for block in profile["blocks"] if block["name"] == "neck.p4.down")
    assert down["output"] == "256x40x40"


def test_profile_checks_itself_by_others(cli: CommandLine) -> None:
    checks = json.loads(cli("profile", "yolov7-tiny", "--size", 128, "--check", "--json").stdout)["check"]
    assert len(checks) == 5
    assert all(check["theirs"] == check["ours"] for check in checks)


def test_profile_for_a_person(cli: CommandLine) -> None:
    done = cli("profile", "yolov7-tiny")
    for part in ("backbone.p5.elan", "6,219,709", "6,228,762", "unfused-bn", "5.81"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("profile", "yolov8"), "no architecture is called 'yolov8'; did you mean 'yolov7'?"),
        (("scale", "yolov7", "--width", "0"), "width: the factor must be above 0"),
        (("scale", "yolov7", "--compound", "1.3"), "backbone.p2.elan: depth 1.3 turns 2 taps into 2.6"),
        (("profile", "yolov7", "--size", "100"), "size 100 is not a multiple of the largest stride, 32; use 96"),
        (("scale", "yolov7", "-o", "/proc/none/x.yaml", "--width", "2"), "/proc/none/x.yaml: cannot be written"),
    ],
)
def test_bad_input_is_one_message(cli: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_verb_is_refused_with_the_nearest(cli: CommandLine) -> None:
    done = cli("profil", "yolov7")
    assert done.returncode == 2
    assert "No such command 'profil'" in done.stderr
    assert "profile" in done.stderr


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("stem: {conv: {uot: 16}}", "nodes.stem.conv: unknown key 'uot'; did you mean 'out'?"),
        ("stem: {conv: {out: 0}}", "nodes.stem.conv: out: input should be greater than or equal to 1, not 0"),
        ("stem: {conv: {out: 16}, from: setm}", "node stem: reads 'setm', which does not exist; did you mean 'stem'?"),
        (
            "a: {conv: {out: 8}, from: stem}\n  stem: {conv: {out: 16}}",
            "node a: reads itself in a circle: a -> stem -> a",
        ),
    ],
)
def test_a_mistake_in_a_file_is_one_message(cli: CommandLine, tmp_path: Path, nodes: str, message: str) -> None:
    text = f"size: 64\nanchors: [[8, 8]]\nnodes:\n  {nodes}\nheads: [stem]\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    done = cli("profile", "mine.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: mine.yaml: {message}\n"


def test_width_is_scaled_last_whatever_the_order_of_the_options(cli: CommandLine) -> None:
    done = cli("scale", "yolov7-tiny", "--width", 0.3, "--compound", 1.5, "--json")
    base = catscale.load("yolov7-tiny")
    counted = [
        base.scale(**scalings).cost().params
        for scalings in ({"compound": 1.5, "width": 0.3}, {"width": 0.3, "compound": 1.5})
    ]
    assert json.loads(done.stdout)["params"] == counted[0] != counted[1]
