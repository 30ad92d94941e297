"""What becomes of subjects: results, refusals, failures; and that all of it runs where there is no torch."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.latency import conditions
from catscale.scaler.latency.conditions import THROTTLING, Conditions, Watch
from catscale.scaler.latency.measure import Measurement, Subject, measure
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency.results import parse_results, results_text
from catscale.scaler.latency.stamp import Stamp, differences

Make = Callable[..., Measurement]
ROOT = Path(__file__).resolve().parents[3]
PORTABLE = (
    *("plain", "protocol", "samples", "interleave", "conditions", "stamp", "pinning", "clocks", "lock"),
    *("runtimes", "measure", "results"),
)
SPREAD = (1.0, 2.0, 1.4, 1.7, 1.2, 1.9, 1.1, 1.3, 1.8, 1.6, 2.1)
QUICK = Protocol(runtime="clockwork", threads=1, runs=10, most_runs=20, least_warm_up=1)


def subject(name: str, clockwork: Any, *samples: float | Exception) -> Subject:
    return Subject(name, name * 64, 64, lambda protocol: clockwork.prepare(samples, protocol))


def test_one_out_of_memory_is_reported_and_the_others_are_measured(clockwork: Any) -> None:
    def too_large(protocol: Protocol) -> Any:
        raise MemoryError

    subjects = [subject("a", clockwork, 2.0), Subject("b", "b", 64, too_large), subject("c", clockwork, 4.0)]
    first, second, third = measure(subjects, QUICK, clockwork)
    assert (first.summary.median_ms, third.summary.median_ms) == (2.0, 4.0)
    assert (second.failure, second.samples_ms, second.accepted) == ("out of memory", (), False)
    assert first.session == third.session
    assert first.fps == 500
    assert first.stamp.threads == 1


def test_an_interval_wider_than_asked_is_refused_and_says_how_to_mend_it(clockwork: Any) -> None:
    (found,) = measure([subject("a", clockwork, *SPREAD)], QUICK, clockwork)
    assert found.refusal is not None
    assert found.refusal.startswith("the interval of its median is ")
    assert "% wide after 20 runs, 5.0% is asked" in found.refusal
    assert "stop other work, take more --runs or a wider --interval" in found.refusal
    assert not found.accepted


def test_a_figure_taken_while_the_device_throttled_is_refused(measured: Make) -> None:
    hot = Conditions(clocks_mhz=(900, 1500), memory_clocks_mhz=None, throttle=("power cap",), foreign_load=None)
    assert measured(conditions=replace(hot, throttle=())).accepted
    refusal = measured(conditions=hot).refusal
    assert refusal == "the device throttled meanwhile (power cap); cool it, or fix its clocks"


def test_other_work_on_the_machine_is_named_beside_a_wide_interval(measured: Make) -> None:
    busy = Conditions(clocks_mhz=None, memory_clocks_mhz=None, throttle=None, foreign_load=1.27)
    refusal = measured(SPREAD, conditions=busy).refusal
    assert refusal is not None
    assert "; other work took 1.3 cores meanwhile; " in refusal


def test_work_of_other_processes_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        watch = Watch(None)
        time.sleep(0.6)
        load = watch.conditions().foreign_load
        other.kill()
    if load is None:
        pytest.skip("this system does not say what its cores do")
    assert load >= 0.2  # of the core that it has where nobody else wants it


class Nvml(SimpleNamespace):
    """As much of NVML as is asked, of a GPU whose reasons are given."""

    NVMLError = RuntimeError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = "sm", "memory"
    nvmlInit = staticmethod(lambda: None)
    nvmlDeviceGetHandleByUUID = staticmethod(lambda uuid: uuid)
    nvmlDeviceGetClockInfo = staticmethod(lambda handle, kind: {"sm": 1410, "memory": 1215}[kind])


@pytest.mark.parametrize(("bits", "reasons"), [(0, ()), (1, ("power cap",)), (6, ("hardware slowdown",)), (32, ())])
def test_nvml_tells_clocks_and_why_they_are_low(
    bits: int, reasons: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = dict(zip(THROTTLING.values(), (1, 2, 8, 16, 64), strict=True))  # an idle GPU has a bit of its own, 32 here
    fake = Nvml(nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: bits, **names)
    monkeypatch.setattr(conditions, "pynvml", fake)
    seen = Watch("GPU-1").conditions()
    assert (seen.clocks_mhz, seen.memory_clocks_mhz, seen.throttle) == ((1410, 1410), (1215, 1215), reasons)


def test_a_gpu_without_nvml_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "pynvml", None)
    seen = Watch("GPU-1").conditions()
    assert (seen.throttle, seen.unread) == (None, conditions.NO_NVML)
    assert Watch(None).conditions().unread is None


def test_differences_name_the_fields_with_both_values(measured: Make) -> None:
    one = measured().stamp
    assert differences(one, one) == {}
    other = replace(one, size=320, dtype="bf16")
    assert differences(one, other) == {"dtype": ("fp32", "bf16"), "size": (64, 320)}


@pytest.mark.parametrize("field", [*Stamp.__dataclass_fields__])
def test_no_field_of_a_stamp_is_left_out_of_the_comparison(field: str, measured: Make) -> None:
    stamp = measured().stamp
    assert list(differences(stamp, replace(stamp, **{field: "another"}))) == [field]


def test_results_survive_their_file_and_lists_of_numbers_stand_on_one_line(measured: Make) -> None:
    kept = [measured([1.5, 2.5, 2.0]), measured([], name="two", failure="out of memory", conditions=None)]
    text = results_text(kept)
    assert parse_results(text, "x.json") == kept
    assert '"samples_ms": [1.5, 2.5, 2.0]' in text
    assert json.loads(text)["measurements"][0]["median_ms"] == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.pop("session"), "x.json: measurements.0: 'session' is missing"),
        (lambda entry: entry["stamp"].pop("dtype"), "x.json: measurements.0: stamp: 'dtype' is missing"),
        (
            lambda entry: entry["stamp"].update(sise=1),
            "stamp: unknown key 'sise'; did you mean 'size'?",
        ),
        (lambda entry: entry.update(samples_ms=[1, -1]), "measurements.0: one has samples that are no times"),
        (lambda entry: entry.update(samples_ms=[]), "measurements.0: one has neither samples nor a failure"),
        (lambda entry: entry.update(samples_ms=None), "x.json: measurements.0: "),
    ],
)
def test_a_result_that_cannot_be_is_refused_with_its_place(
    change: Callable[[dict[str, Any]], object], message: str, measured: Make
) -> None:
    document = json.loads(results_text([measured()]))
    change(document["measurements"][0])
    with pytest.raises(InputError) as refused:
        parse_results(json.dumps(document), "x.json")
    assert message in str(refused.value)


def test_measuring_needs_python_and_numpy_alone(tmp_path: Path) -> None:
    package = tmp_path / "catscale"
    for folder in ("", "blocks", "scaler", "scaler/latency"):
        (package / folder).mkdir(exist_ok=True)
        (package / folder / "__init__.py").touch()
    for name in ("blocks/errors.py", *(f"scaler/latency/{module}.py" for module in PORTABLE)):
        shutil.copy(ROOT / name, package / name)
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path / "clockwork.py")
    script = f"""
import sys, types
sys.modules.update(dict.fromkeys(["torch", "pydantic", "typer", "yaml", "rich", "optuna"]))
sys.modules["pytest"] = types.SimpleNamespace(fixture=lambda f: f)
import importlib
for name in {PORTABLE!r}:
    importlib.import_module("catscale.scaler.latency." + name)
from catscale.scaler.latency.measure import Subject, measure
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency.results import results_text
from clockwork import Clockwork, Ticks
found = measure([Subject("a", "a", 64, lambda p: Ticks([2.0]))], Protocol(threads=1), Clockwork())
print(results_text(found))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = parse_results(done.stdout, "stdout")
    assert found.summary.median_ms == 2.0
