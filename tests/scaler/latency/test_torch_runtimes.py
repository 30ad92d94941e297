"""The torch runtimes on this machine's CPU; on CUDA where there is one."""

import os

import catscale
import pytest
import torch
from catscale.blocks.errors import CatscaleError, InputError
from catscale.scaler.architecture import Architecture
from catscale.scaler.latency.architectures import measure_all, measure_latency
from catscale.scaler.latency.clocks import CpuCaches, cpu_ms
from catscale.scaler.latency.protocol import PARTS, Protocol
from catscale.scaler.latency.torch_runtimes import CANDIDATES, CONF, IOU, MAX_DET, drawn_boxes
from catscale.scaler.suppression import suppress

QUICK = Protocol(size=64, threads=1, runs=5, most_runs=5, cap_s=0.2, widest_interval=10)


@pytest.fixture(scope="module")
def narrow() -> Architecture:
    return catscale.load("yolov7-tiny").scale(width=0.125, resolution=64)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_each_part_is_measured(part: str, dtype: str, narrow: Architecture) -> None:
    (found,) = measure_all([narrow], QUICK.replace(part=part, dtype=dtype, batch=2))
    assert found.failure is None
    assert found.summary.runs == 5
    assert (found.stamp.part, found.stamp.dtype, found.stamp.batch, found.stamp.size) == (part, dtype, 2, 64)
    assert f"torch {torch.__version__}" in found.stamp.versions


def test_the_drawn_boxes_are_as_many_as_the_deploy_graph_gives_and_keep_a_typical_number(narrow: Architecture) -> None:
    boxes = drawn_boxes(narrow, 2, 320)
    model = catscale.build(narrow, "deploy").eval()
    with torch.inference_mode():
        assert boxes.shape == model(torch.zeros(2, 3, 320, 320)).shape
    assert (boxes[..., 4] > CONF).sum(1).tolist() == [CANDIDATES] * 2
    for found in suppress(boxes, conf=CONF, iou=IOU, max_det=MAX_DET, multi_label=False):
        assert 15 <= len(found.boxes) <= 60  # thirty objects, some of which hide others
    assert torch.equal(boxes, drawn_boxes(narrow, 2, 320))


def test_threads_and_pinning_are_as_before_afterwards(narrow: Architecture) -> None:
    def state() -> object:
        return torch.get_num_threads(), os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before = state()
    measure_all([narrow], QUICK)
    after = state()
    torch.set_num_threads(threads)
    assert after == before


def test_empty_caches_are_emptied_before_a_run_and_not_timed(narrow: Architecture) -> None:
    emptying_ms = min(cpu_ms(CpuCaches().empty) for _ in range(3))
    (found,) = measure_all([narrow], QUICK.replace(part="nms", cold_cache=True))
    assert found.stamp.cold_cache
    assert min(found.samples_ms) < emptying_ms


def test_a_search_gets_a_figure_with_its_refusal_after_bounded_attempts(narrow: Architecture) -> None:
    found = measure_latency(narrow, QUICK.replace(widest_interval=1e-9))
    assert found.refusal
    assert found.summary.median_ms > 0


def test_no_memory_for_a_batch_is_a_failure_that_says_so(narrow: Architecture) -> None:
    with pytest.raises(CatscaleError, match="out of memory on cpu at 64 px, batch 100000000"):
        measure_latency(narrow, QUICK.replace(batch=100_000_000))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"device": "tpu"}, "no device 'tpu' here; there are auto, cpu"),
        ({"runtime": "tensorflow"}, "no runtime is called 'tensorflow'; known: "),
        ({"runtime": "cuda-graph"}, "--runtime cuda-graph: cpu has no CUDA graphs; use --runtime torch"),
        ({"dtype": "tf32"}, "--dtype tf32: cpu has no such numbers; use fp32 or bf16"),
        ({"size": 100}, "size 100 is not a multiple of the largest stride, 32; use 96"),
        ({"threads": 4096}, "4096 threads on"),
    ],
)
def test_what_cannot_be_measured_is_refused(choices: dict[str, object], message: str, narrow: Architecture) -> None:
    with pytest.raises(InputError) as refused:
        measure_all([narrow], QUICK.replace(**choices))
    assert message in str(refused.value)


@pytest.mark.slow
def test_a_compiled_graph_is_measured_beside_its_stamp(narrow: Architecture) -> None:
    (found,) = measure_all([narrow], QUICK.replace(runtime="compile"))
    assert found.failure is None, found.failure
    assert found.stamp.runtime == "compile"


@pytest.mark.gpu
@pytest.mark.parametrize("runtime", ["torch", "compile", "cuda-graph"])
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
def test_every_runtime_and_dtype_on_cuda(runtime: str, dtype: str, narrow: Architecture) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    (found,) = measure_all([narrow], QUICK.replace(runtime=runtime, dtype=dtype, device="cuda", threads=None))
    assert found.failure is None, found.failure
    assert found.stamp.threads is None
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
