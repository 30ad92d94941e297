"""Latency plans: written here, run where there is no torch, and their results taken back."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catscale
import pytest
from catscale.blocks.errors import InputError
from catscale.cli import app
from catscale.scaler.latency.architectures import measured_or_kept
from catscale.scaler.latency.cache import Cache
from catscale.scaler.latency.measure import Measurement
from catscale.scaler.latency.plan import RESULTS, plan_file, read_plan, run_plan
from catscale.scaler.latency.plan_folder import ARCHIVE, plan_folder, write_plan
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency.results import read_results
from typer.testing import CliRunner

from .small_detector import small_detector

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

QUICK = Protocol(
    runtime="onnxruntime", device="cpu", threads=1, runs=5, most_runs=5, most_warm_up=3, widest_interval=100
)
NAMES = ["small", "small", "large", "large"]
BLOCKED = ["torch", "pydantic", "typer", "rich", "yaml", "onnx", "onnxscript", "matplotlib", "cv2", "pandas"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_detector(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def written(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan's folder, of one detector at its own and at a large size."""
    folder = tmp_path_factory.mktemp("plan") / "written"
    arch = catscale.load(str(small))
    write_plan([arch, arch.replace(name="large", size=1024)], QUICK, folder, batches=[1, 2])
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """The same, as it was carried elsewhere."""
    return Path(shutil.copytree(written, tmp_path / "carried"))


def on_device(folder: Path, *arguments: object, before: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the archive as a device without torch would: every other package is as if it were not there."""
    script = (
        f"import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({BLOCKED!r}))\n"
        f"{before}\n"
        f"sys.argv = [{ARCHIVE!r}, *{[str(argument) for argument in arguments]!r}]\n"
        f"runpy.run_path({ARCHIVE!r}, run_name='__main__')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The plan with a change in its document."""
    path = folder / "plan.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def run(folder: Path, **changes: Any) -> list[Measurement]:
    return run_plan(folder, folder / RESULTS, changes=changes)


def test_the_archive_measures_without_torch_and_its_results_are_as_ones_taken_here(
    folder: Path, small: Path, tmp_path: Path
) -> None:
    done = on_device(folder, "latency", "--run", "plan.json")
    assert done.returncode == 0, done.stderr
    assert [line.split(" at ")[0] for line in done.stdout.splitlines()] == [*NAMES, "Results written to results.json"]
    found = read_results(folder / RESULTS)
    assert [(one.name, one.stamp.batch, one.stamp.size) for one in found] == [
        ("small", 1, 64), ("small", 2, 64), ("large", 1, 1024), ("large", 2, 1024),
    ]  # fmt: skip
    assert found[0].session == found[2].session != found[1].session  # those of one batch were interleaved
    assert all(one.accepted and len(one.samples_ms) == 5 for one in found)

    cache = Cache(tmp_path / "cache.json")
    cache.keep(found)
    said: list[str] = []
    arch = catscale.load(str(small))
    (known,) = measured_or_kept([arch], QUICK, cache, say=said.append)
    assert known.samples_ms == found[0].samples_ms
    assert said == [f"from the cache, {cache.path}; --fresh measures again"]


def test_equal_detectors_give_equal_files(folder: Path, small: Path, tmp_path: Path) -> None:
    again = write_plan([catscale.load(str(small))], QUICK, tmp_path / "again", batches=[1])
    assert again.graphs[0] == read_plan(folder / "plan.json").graphs[0]


def test_a_graph_that_fails_says_why_and_the_others_go_on(folder: Path) -> None:
    broken = b"no graph"
    (folder / "small-64-batch1.onnx").write_bytes(broken)
    rewritten(folder, lambda plan: plan["graphs"][0].update(sha256=hashlib.sha256(broken).hexdigest()))
    failed, *others = run(folder)
    assert failed.failure
    assert "protobuf parsing failed" in failed.failure.lower()
    assert all(one.accepted for one in others)
    assert [one.failure for one in read_results(folder / RESULTS)] == [failed.failure, None, None, None]


def test_too_little_memory_is_said_of_the_graph_that_has_too_little(folder: Path) -> None:
    limit = (  # what numpy and onnxruntime take, and 32 MB; a large image alone is 13
        "import resource, numpy, onnxruntime\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "own = next(int(line.split()[1]) for line in lines if line.startswith('VmData:'))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1024 * (own + 32_000),) * 2)"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is bounded where the system says how much there is")
    done = on_device(folder, "latency", before=limit)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[2] == "large at 1024 px, batch 1: failed: out of memory"
    assert lines[3] == "large at 1024 px, batch 2: failed: out of memory"
    assert all(" ms (" in line for line in lines[:2])


def test_an_interrupted_run_keeps_the_batches_done_and_goes_on_with_the_others(folder: Path) -> None:
    def interrupt(line: str) -> None:
        if line.endswith("batch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(folder, folder / RESULTS, changes={}, say=interrupt)
    kept = read_results(folder / RESULTS)
    assert [(one.name, one.stamp.batch) for one in kept] == [("small", 1), ("large", 1)]
    found = run(folder)
    assert [(one.name, one.stamp.batch) for one in found] == list(zip(NAMES, [1, 2, 1, 2], strict=True))
    assert [found[0], found[2]] == kept
    assert run_plan(folder, folder / RESULTS, changes={}, fresh=True)[0].session != kept[0].session


def test_results_under_another_stamp_are_not_taken_for_these(folder: Path) -> None:
    first = run(folder)
    text = (folder / RESULTS).read_text().replace(f'"host": "{first[0].stamp.host}"', '"host": "another"')
    (folder / RESULTS).write_text(text)
    assert {one.session for one in run(folder)}.isdisjoint(one.session for one in first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: plan.update(version=2), "a plan of version 2; this catscale reads version 1"),
        (lambda plan: plan.update(kind="else"), "is no plan; `catscale latency ARCH... --plan plan.json` writes one"),
        (lambda plan: plan.update(graps=[]), "unknown key 'graps'; did you mean 'graphs'?"),
        (lambda plan: plan["graphs"].clear(), "graphs: there is nothing to measure"),
        (lambda plan: plan["graphs"][1].pop("sha256"), r"graphs\.1: 'sha256' is missing"),
        (lambda plan: plan["graphs"][1].update(file="../x"), r"graphs\.1: file '\.\./x'; expected a name within"),
        (lambda plan: plan["graphs"][0].update(sha256="0"), r"is not as it was written \(its SHA-256 differs\)"),
        (lambda plan: plan["graphs"][0].update(file="gone.onnx"), r"gone\.onnx: cannot be read: No such file"),
        (lambda plan: plan["protocol"].update(runtime="torch"), "--runtime torch: reads no ONNX files"),
        (lambda plan: plan["protocol"].update(dtype="fp16"), "--dtype fp16: onnxruntime on a CPU computes in fp32"),
        (lambda plan: plan["protocol"].update(device="cuda"), "--device cuda: this onnxruntime has no CUDA"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_before_anything_is_measured(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    rewritten(folder, change)
    with pytest.raises(InputError, match=message):
        run(folder)
    assert not (folder / RESULTS).exists()


def test_the_verb_writes_a_plan_runs_it_and_takes_results_back(
    folder: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def catscale_latency(*arguments: object) -> str:
        done = CliRunner().invoke(app, ["latency", *map(str, arguments)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.output

    catscale_latency(small, "--plan", "one/plan.json", "--interval", 100, "--threads", 1)
    assert sorted(path.name for path in Path("one/plan").iterdir()) == [
        "README.txt", ARCHIVE, "plan.json", "small-64-batch1.onnx",
    ]  # fmt: skip
    assert read_plan(Path("one/plan/plan.json")).protocol.runtime == "onnxruntime"
    with pytest.raises(InputError, match="--plan one/plan: stands already; name another, or remove it"):
        catscale_latency(small, "--plan", "one/plan.json")
    shown = catscale_latency("--run", "one/plan.json", "--device", "cpu", "-o", "mine.json")
    assert "Latency at 64 px, batch 1: forward of the deploy graph" in shown
    run(folder)
    merged = catscale_latency("--results", "mine.json", folder / RESULTS, "-o", "both.json", "--json")
    assert [one["name"] for one in json.loads(merged)] == ["small", *NAMES]
    assert len(read_results(Path("both.json"))) == 5
    tables = catscale_latency("--results", "both.json")
    assert "not ranked with the first table: batch is 2 here, 1 there" in tables
    catscale_latency("--import", "both.json", "--cache", "cache.json")
    assert "from the cache" in catscale_latency(
        small,
        "--runtime",
        "onnxruntime",
        "--device",
        "cpu",
        "--threads",
        1,
        "--cache",
        "cache.json",
        "--runs",
        5,
        "--interval",
        100,
    )
    for arguments, message in (
        ((), "latency: name at least one architecture"),
        (("--run", "none.json"), r"--run none\.json: no such plan"),
        (("--run", "one/plan.json", "--batch", 2), "--run: --batch says nothing beside it; leave it out"),
        (("--plan", "two", small, "--runtime", "torch"), "--runtime torch: reads no ONNX files"),
        (("--plan", "two", small, "--size", 65), "65"),
        (("--plan", "two", small, "--part", "nms"), "--plan: --part says nothing beside it"),
        (("--plan", "two", small, small), "several architectures are called small"),
    ):
        with pytest.raises(InputError, match=message):
            catscale_latency(*arguments)
    assert not Path("two").exists()


def test_a_plan_is_found_by_its_file_its_folder_and_the_name_it_was_asked_by(folder: Path) -> None:
    assert plan_folder(folder.with_suffix(".json")) == plan_folder(folder) == folder
    for path in (folder, folder / "plan.json", folder.with_suffix(".json")):
        assert plan_file(path) == folder / "plan.json"


@pytest.mark.slow
def test_a_plan_runs_in_a_fresh_environment_of_numpy_and_onnxruntime_alone(folder: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "fresh", with_pip=True)
    python = tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    installed = call("-m", "pip", "install", "--quiet", "numpy", "onnxruntime")
    assert installed.returncode == 0, installed.stderr
    assert "No module named 'torch'" in call("-c", "import torch").stderr
    done = call(ARCHIVE, "latency", "--run", "plan.json")
    assert done.returncode == 0, done.stderr
    assert [one.name for one in read_results(folder / RESULTS)] == NAMES
