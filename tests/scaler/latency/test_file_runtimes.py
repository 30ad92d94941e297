"""Runtimes of ONNX files: they compute the detector, say what they are, and refuse what they cannot do."""

import stat
import sys
from functools import partial
from pathlib import Path

import catscale
import numpy as np
import pytest
import torch
from catscale.blocks.errors import CatscaleError, InputError
from catscale.scaler.architecture import Architecture
from catscale.scaler.latency import gpus
from catscale.scaler.latency.architectures import measure_all
from catscale.scaler.latency.measure import Subject, measure
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency.runtimes import FILE_RUNTIMES, find_runtime
from catscale.scaler.latency.tensorrt_runtime import TensorRt
from catscale.scaler.onnx_graph import timed_graph, write_timed_graph

from .small_detector import small_detector

SIZE = 64
CPU = Protocol(device="cpu", threads=1, size=SIZE, runs=5, most_runs=5, most_warm_up=3, widest_interval=100)
TRT = CPU.replace(runtime="tensorrt", device="cuda:0", threads=None, dtype="fp16", runs=25, most_runs=25)
FAKE = """\
#!{python} -SE
import json, sys
given = dict(word.partition("=")[::2] for word in sys.argv[1:])
print("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] #", *sys.argv)
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if "--onnx" in given:
    text = open(given["--onnx"], "rb").read()
    if text == b"large":
        print("[I] building")
        sys.exit("[11/25/2026-10:00:00] [E] Error[2]: [defaultAllocator.cpp::allocate::31] CUDA error 2: out of memory")
    if text == b"odd":
        print("[11/25/2026-10:00:00] [E] Error[4]: no converter for Odd")
        sys.exit(1)
    open(given["--saveEngine"], "wb").write(text)
elif "--loadEngine" in given:
    runs = int(given["--iterations"])
    times = [{{"computeMs": 100 if at < 10 else 2 + at / 100, "latencyMs": 9}} for at in range(runs)]
    if open(given["--loadEngine"], "rb").read() == b"mute":
        times = [{{"latencyMs": 9}}]
    json.dump(times, open(given["--exportTimes"], "w"))
"""


@pytest.fixture
def detector(tmp_path: Path) -> Architecture:
    return catscale.load(str(small_detector(tmp_path)))


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for NVIDIA's command, alone on the PATH; gives the file that its arguments are written to."""
    log = tmp_path / "arguments"
    executable(tmp_path / "trtexec", FAKE.format(python=sys.executable, log=str(log)))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpus, "BOARD", tmp_path / "no-board")
    return log


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_runtime_computes_the_boxes_of_the_detector_and_its_time(
    name: str, detector: Architecture, tmp_path: Path
) -> None:
    pytest.importorskip(name)
    pytest.importorskip("onnxscript")
    runtime, protocol = find_runtime(name), CPU.replace(runtime=name, batch=2)
    file = tmp_path / "small.onnx"
    write_timed_graph(detector, file, batch=2, size=SIZE)
    ready = runtime.open(file, protocol)  # type: ignore[attr-defined]
    assert ready.run() > 0
    if name == "onnxruntime":
        (made,) = ready.binding.copy_outputs_to_cpu()
    else:
        made = ready.request.get_output_tensor().data
    pixels = np.random.default_rng(0).random((2, 3, SIZE, SIZE), dtype=np.float32)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        wanted = catscale.build(detector, "deploy").eval()(torch.from_numpy(pixels))
    np.testing.assert_allclose(made, wanted.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_architectures_are_measured_and_the_stamp_says_by_what(name: str, detector: Architecture) -> None:
    package = pytest.importorskip(name)
    pytest.importorskip("onnxscript")
    (found,) = measure_all([detector], CPU.replace(runtime=name))
    assert (found.accepted, len(found.samples_ms)) == (True, 5)
    assert found.stamp.versions.startswith(f"{name} {package.__version__.partition('-')[0]}")
    assert (found.stamp.runtime, found.stamp.memory_format, found.stamp.threads) == (name, "contiguous", 1)


@pytest.mark.parametrize(
    ("runtime", "changes", "message"),
    [
        ("onnxruntime", {"dtype": "bf16"}, "--dtype bf16: onnxruntime on a CPU computes in fp32; use one of these"),
        ("onnxruntime", {"part": "nms"}, "--part nms: onnxruntime runs the forward pass alone"),
        ("onnxruntime", {"device": "mps"}, "--device mps: onnxruntime is measured on cpu, cuda or cuda:N"),
        ("onnxruntime", {"device": "cuda"}, "--device cuda: this onnxruntime has no CUDAExecutionProvider; install"),
        ("openvino", {"device": "cuda"}, "--device cuda: OpenVINO is measured on cpu"),
        ("openvino", {"dtype": "fp16"}, "--dtype fp16: openvino on this CPU computes in fp32"),
        ("tensorrt", {"device": "auto"}, "--runtime tensorrt: the command trtexec is not on the PATH; it comes with"),
        ("tensorrt", {"device": "cpu"}, "--device cpu: TensorRT is measured on cuda or cuda:N"),
    ],
)
def test_what_a_runtime_cannot_do_is_refused(
    runtime: str, changes: dict[str, str], message: str, detector: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if runtime != "tensorrt":
        pytest.importorskip(runtime)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=message):
        measure_all([detector], CPU.replace(runtime=runtime, **changes))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_runtime_that_is_not_installed_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [module for module in sys.modules if module.endswith(("onnx_runtime", "openvino_runtime"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=f"--runtime {name}: needs the package {name}; pip install {name}"):
        find_runtime(name)


def test_every_runtime_of_files_is_found() -> None:
    for name in ("onnxruntime", "openvino"):
        pytest.importorskip(name)
    assert all(hasattr(find_runtime(name), "open") for name in FILE_RUNTIMES)


def test_half_precision_is_in_the_file(detector: Architecture) -> None:
    onnx = pytest.importorskip("onnx")
    with timed_graph(detector, batch=1, size=SIZE, half=True) as path:
        graph = onnx.load(path).graph
        assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
        with pytest.raises(InputError, match=r"reads tensor\(float16\) .*; expected a fixed shape of tensor\(float\)"):
            find_runtime("onnxruntime").open(path, CPU.replace(runtime="onnxruntime"))  # type: ignore[attr-defined]


def test_tensorrt_is_timed_on_the_device_without_its_first_runs(tmp_path: Path, trtexec: Path) -> None:
    runtime = TensorRt()

    def subject(name: str) -> Subject:
        file = tmp_path / f"{name}.onnx"
        file.write_bytes(name.encode())
        return Subject(name, name, SIZE, partial(runtime.open, file))

    found = measure([subject(name) for name in ("good", "large", "odd", "mute")], TRT, runtime)
    good, large, odd, mute = found
    assert good.accepted
    # blocks of ten, the first three runs of which warmed up
    assert good.samples_ms[:9] == (2.13, 2.14, 2.15, 2.16, 2.17, 2.18, 2.19, 2.1, 2.11)
    assert set(good.samples_ms) == {2 + at / 100 for at in range(10, 20)}
    assert (good.stamp.device, good.stamp.versions) == ("CUDA device", "tensorrt 100300")
    assert large.failure == "out of memory"
    assert odd.failure == "trtexec failed: [11/25/2026-10:00:00] [E] Error[4]: no converter for Odd"
    assert mute.failure
    assert "wrote times in a form that is not known here" in mute.failure
    lines = trtexec.read_text().splitlines()
    built = next(line for line in lines if line.startswith("--onnx"))
    assert built.endswith(" --skipInference --fp16 --device=0")
    timed = [line for line in lines if line.startswith("--loadEngine")]
    assert "--iterations=20 --warmUp=0 --duration=0 --avgRuns=1 --noDataTransfers --useSpinWait" in timed[0]
    assert sum("good" not in line for line in timed) == len(timed)  # engines lie in folders of their own
    assert not Path(timed[0].split()[0].partition("=")[2]).parents[1].exists()  # and are gone afterwards


def test_trtexec_that_hardly_ran_is_an_error(tmp_path: Path) -> None:
    from catscale.scaler.latency.tensorrt_runtime import parse_times

    with pytest.raises(CatscaleError, match="trtexec wrote 1 times, not 20"):
        parse_times('[{"computeMs": 1}]')


def test_a_gpu_is_known_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(
        tmp_path / "nvidia-smi",
        f"#!{sys.executable} -SE\nprint('GPU-aa1, NVIDIA T4')\nprint('GPU-bb2, NVIDIA A100, 80GB')\n",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    with pytest.raises(InputError, match="this machine has unequal GPUs; set CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        gpus.find_gpu("cuda:0")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert gpus.find_gpu("cuda:1") == gpus.Gpu("NVIDIA A100, 80GB", "GPU-bb2")
    for visible in ("1,0", "GPU-bb,GPU-aa"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpus.find_gpu("cuda:1").uuid == "GPU-aa1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(InputError, match="--device cuda:1: there is no such device; this machine shows 1 GPUs"):
        gpus.find_gpu("cuda:1")
