"""What deploying gains: each form of a detector and each runtime against the train form as people run it, in one run.

Run by `make bench`. All take turns, batch 1, on this machine's CPU; OpenVINO where its package is installed.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catscale
import numpy as np
import pytest
import torch
from catscale.blocks.modules import decode
from catscale.scaler.number_formats import computes_bf16
from catscale.scaler.optimised import optimised
from torch import Tensor, fx

from ..scaler.trained_alike import trained_alike

WARM_UP = 2
SIZE = 640
MODELS = [("yolov7-tiny", 15), ("yolov7", 7)]  # and rounds


def onnx_file(model: fx.GraphModule, images: Tensor, path: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):  # torch's remarks to its own developers
        program = torch.onnx.export(model, (images,), dynamo=True, verbose=False, input_names=["images"])
    assert program is not None
    program.save(path)
    return path


def by_onnxruntime(path: Path, images: np.ndarray) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": images})[0]


def by_openvino(path: Path, images: np.ndarray, precision: str) -> Callable[[], Any] | None:
    try:
        import openvino
    except ImportError:
        return None
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.compile_model(path, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    return lambda: next(iter(request.infer([images]).values()))


def forms_of(name: str, path: Path) -> dict[str, Callable[[], Any]]:
    torch.manual_seed(0)
    architecture = catscale.load(name)
    train = catscale.build(architecture)
    trained_alike(train)  # with fresh weights activations fade before the head, and every form agrees
    train.eval()
    last = catscale.deploy(train)
    first = catscale.deploy(train).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    images = torch.rand(1, 3, SIZE, SIZE)
    images_last = images.to(memory_format=torch.channels_last)
    fast = optimised(last)
    compiled = optimised(last, runtime="compile")
    file = onnx_file(first, images, path / f"{name}.onnx")
    forms: dict[str, Callable[[], Any] | None] = {
        "train form": lambda: decode(train(images)["lead"], architecture.anchors, architecture.strides),
        "folded, channels-first": lambda: first(images),
        "folded, channels-last": lambda: last(images_last),
        "optimised": lambda: fast(images),
        "optimised, compile": lambda: compiled(images),
        "onnxruntime": by_onnxruntime(file, images.numpy()),
        "OpenVINO": by_openvino(file, images.numpy(), "f32"),
    }
    if computes_bf16(torch.device("cpu")):
        half = catscale.deploy(train).bfloat16()
        fast_half = optimised(last, dtype="bf16")
        compiled_half = optimised(last, dtype="bf16", runtime="compile")
        forms |= {
            "folded, channels-last, bf16": lambda: half(images_last.bfloat16()),
            "optimised, bf16": lambda: fast_half(images),
            "optimised, compile, bf16": lambda: compiled_half(images),
            "OpenVINO, bf16": by_openvino(file, images.numpy(), "bf16"),
        }
    return {form: run for form, run in forms.items() if run}


@pytest.mark.parametrize(("name", "rounds"), MODELS)
def test_deploy(name: str, rounds: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        forms = forms_of(name, tmp_path)
        wanted = np.asarray(forms["train form"]())
        apart = {form: np.abs(np.asarray(run()) - wanted) for form, run in forms.items()}
        times: dict[str, list[float]] = {form: [] for form in forms}
        for round_ in range(rounds + WARM_UP):
            for form, run in forms.items():
                start = time.perf_counter()
                run()
                if round_ >= WARM_UP:
                    times[form].append(1e3 * (time.perf_counter() - start))
    with capsys.disabled():
        print(
            f"\n{name}, forward at batch 1, {SIZE} px, {torch.get_num_threads()} threads: median (quartiles) of "
            f"{rounds} interleaved rounds, median of the rounds' ratios, largest differences to the train form"
        )
        for form, samples in times.items():
            low, median, high = np.percentile(samples, [25, 50, 75])
            ratio = statistics.median(base / one for base, one in zip(times["train form"], samples, strict=True))
            box, score = apart[form][..., :4].max(), apart[form][..., 4:].max()
            print(
                f"{form:28} {median:8.1f} ms ({low:.1f} to {high:.1f}) {ratio:6.2f} x   "
                f"boxes {box:.1g} px, scores {score:.1g}"
            )
