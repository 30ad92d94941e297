"""`catscale latency` as a user has it: table, files, cache, refusals and bad input."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from catscale.blocks.errors import InputError
from catscale.cli import app
from catscale.scaler.latency.conditions import NO_NVML, Conditions
from catscale.scaler.latency.measure import Measurement
from catscale.scaler.latency.results import read_results
from catscale.scaler.latency.samples import ratio
from catscale.scaler.latency.table import bar, compared, print_measurements
from typer.testing import CliRunner

QUICK = ("--size", "64", "--device", "cpu", "--threads", "1", "--runs", "5", "--interval", "50")


@pytest.fixture
def latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the verb in this process, with a cache of its own, on two narrow detectors."""
    for name, width in (("narrow", 0.125), ("wide", 0.5)):
        (tmp_path / f"{name}.yaml").write_text(f"base: yolov7-tiny\nscale: {{width: {width}}}\n", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["latency", *map(str, arguments)])


def test_results_carry_how_they_were_taken(cli: Callable[..., "CompletedProcess[str]"], tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.125}\n", encoding="utf-8")
    where = ("--cache", tmp_path / "cache.json", "-o", tmp_path / "results.json", "--json")
    done = cli("latency", tmp_path / "small.yaml", *QUICK, *where)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert told["name"] == "small"
    assert 0 < told["low_ms"] <= told["median_ms"] <= told["high_ms"]
    assert told["median_ms"] <= told["p95_ms"] <= told["p99_ms"]
    assert (told["runs"], told["stamp"]["size"], told["stamp"]["batch"], told["stamp"]["dtype"]) == (5, 64, 1, "fp32")
    assert told["warm_up"] >= 3
    (kept,) = read_results(tmp_path / "results.json")
    assert json.loads(json.dumps(kept.to_json())) == told
    assert read_results(tmp_path / "cache.json") == [kept]


def test_what_the_cache_has_is_not_measured_again_unless_asked(latency: Callable[..., Any], tmp_path: Path) -> None:
    first = json.loads(latency("narrow.yaml", *QUICK, "--json").stdout)
    again = latency("narrow.yaml", *QUICK, "--json")
    assert json.loads(again.stdout) == first
    assert "caches/catscale/latency.json; --fresh measures again" in again.stderr.replace("\n", "")
    (fresh,) = json.loads(latency("narrow.yaml", *QUICK, "--json", "--fresh").stdout)
    assert fresh["session"] != first[0]["session"]
    both = json.loads(latency("narrow.yaml", "wide.yaml", *QUICK, "--json").stdout)
    assert len({each["session"] for each in both}) == 1  # one is new, so they are measured in turns


def test_the_table_compares_with_the_first_and_has_bars(latency: Callable[..., Any]) -> None:
    done = latency("narrow.yaml", "wide.yaml", *QUICK)
    assert done.exit_code == 0, done.output
    assert "Latency at 64 px, batch 1: forward of the deploy graph" in done.stdout
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if "█" in line}
    assert set(lines) == {"narrow", "wide"}
    assert re.search(r"\d\.\d{3} \(\d+\.\d{3} to \d+\.\d{3}\)", lines["wide"])
    assert "1 thread on cores 0, torch (torch " in done.stdout.replace("\n", " ")


def test_parts_and_batches_are_tables_of_their_own_and_no_memory_is_one_failure(
    latency: Callable[..., Any], tmp_path: Path
) -> None:
    done = latency("narrow.yaml", *QUICK, "--part", "nms,forward", "--batch", "1,100000000", "-o", "found.json")
    assert done.exit_code == 1
    found = read_results(tmp_path / "found.json")
    assert [(each.stamp.part, each.stamp.batch, each.failure) for each in found] == [
        ("nms", 1, None),
        ("nms", 100_000_000, "out of memory"),
        ("forward", 1, None),
        ("forward", 100_000_000, "out of memory"),
    ]
    assert "narrow, forward at 64 px, batch 100000000: failed: out of memory" in done.stderr.replace("\n", "")
    assert "not ranked with the first table: part is forward here, nms there" in done.stdout
    assert "latency: 2 of 4 gave no result; narrow: out of memory" in str(done.exception)


def test_a_refused_figure_is_in_no_table_and_the_exit_code_says_so(latency: Callable[..., Any]) -> None:
    done = latency("narrow.yaml", *QUICK[:-1], "1e-9")
    assert done.exit_code == 1
    assert "refused: the interval of its median is" in done.stderr
    assert re.search(r"narrow +refused *$", done.stdout, re.MULTILINE)
    assert "latency: 1 of 1 gave no result; narrow: the interval" in str(done.exception)


def test_a_corrupt_cache_is_set_aside_and_measuring_goes_on(latency: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    done = latency("narrow.yaml", *QUICK, "--cache", "mine.json")
    assert done.exit_code == 0
    assert "this cache was set aside as mine.json.corrupt-" in done.stderr
    assert len(read_results(tmp_path / "mine.json")) == 1


def test_results_of_other_stamps_are_not_ranked_together(
    measured: Callable[..., Measurement], capsys: pytest.CaptureFixture[str]
) -> None:
    print_measurements([measured(), measured([20.0] * 30, name="two", size=128), measured(name="three")])
    told = capsys.readouterr().out
    assert told.count("Latency at ") == 2
    assert told.index("three") < told.index("two")  # beside the first, whose stamp it has
    assert "not ranked with the first table: size is 128 here, 64 there" in told


def test_differences_inside_the_noise_are_marked_and_sessions_apart_are_no_pairs(
    measured: Callable[..., Measurement],
) -> None:
    drifting = [10.0 + 0.02 * step for step in range(30)]
    base, slower = measured(drifting), measured([1.02 * sample for sample in drifting], name="two")
    paired, apart = compared(slower, base), compared(measured(slower.samples_ms, session="later"), base)
    assert paired == "1.020 (1.020 to 1.020)"
    wider = ratio(slower.samples_ms, base.samples_ms, paired=False)
    assert apart is not None
    assert apart.startswith(f"1.020 ({wider.low:.3f} to ")
    same = compared(measured(drifting[::-1], name="two"), base)
    assert same is not None
    assert same.endswith(", within noise")
    assert compared(base, base) is None


def test_what_could_be_read_with_one_more_package_is_said(
    measured: Callable[..., Measurement], capsys: pytest.CaptureFixture[str]
) -> None:
    unread = Conditions(clocks_mhz=None, memory_clocks_mhz=None, throttle=None, foreign_load=None, unread=NO_NVML)
    print_measurements([measured(conditions=unread), measured(conditions=unread, name="two")])
    assert capsys.readouterr().err.count("install catscale[nvml]") == 1


def test_a_steady_disturbance_leaves_the_interval_narrow_and_is_said(
    measured: Callable[..., Measurement], capsys: pytest.CaptureFixture[str]
) -> None:
    busy = Conditions(clocks_mhz=None, memory_clocks_mhz=None, throttle=None, foreign_load=0.95)
    print_measurements([measured(conditions=busy), measured(name="two")])
    lines = [line for line in capsys.readouterr().err.splitlines() if "too long" in line]
    assert len(lines) == 1
    assert lines[0].endswith(": other work took 0.9 cores meanwhile; the figure may be too long")


@pytest.mark.parametrize(("share", "length"), [(1.0, 24), (0.5, 12), (0.0, 1)])
def test_bars_are_as_long_as_what_they_show(share: float, length: int) -> None:
    assert len(bar(share)) == length


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "tpu"), "no device 'tpu' here; there are auto, cpu"),
        (("--runs", "0"), "runs 0; it must be a whole number, at least 1"),
        (("--size", "100"), "size 100 is not a multiple of the largest stride, 32; use 96"),
        (("--batch", "1,x"), "--batch 1,x: expected a number of images, or several such as 1,32"),
        (("--part", "forwards"), "--part: no part is called 'forwards'; did you mean 'forward'?"),
        (("--runtime", "torhc"), "--runtime: no runtime is called 'torhc'; did you mean 'torch'?"),
        (("--dtype", "fp8"), "dtype 'fp8'; "),
        (("--interval", "0"), "widest_interval 0"),
    ],
)
def test_bad_input_is_one_message(arguments: tuple[str, ...], message: str, latency: Callable[..., Any]) -> None:
    done = latency("narrow.yaml", *arguments)
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)
    assert done.stdout == ""
