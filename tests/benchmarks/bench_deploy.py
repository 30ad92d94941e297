"""What deploying gains: the folded deploy model against the train-form model with its decoding, in one run.

Run by `make bench`. The two take turns, batch 1, on this machine's CPU.
"""

import statistics
import time
from collections.abc import Callable

import catscale
import torch
from catscale.blocks.modules import decode

ROUNDS = 15
MODELS = [("yolov7-tiny", 640), ("yolov7", 320)]


def test_deploy(capsys) -> None:  # type: ignore[no-untyped-def]
    rows: list[str] = []
    for name, size in MODELS:
        architecture = catscale.load(name)
        train = catscale.build(architecture).eval()
        fast = catscale.deploy(train)
        plain = catscale.deploy(train).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        images = torch.rand(1, 3, size, size)
        fast_images = images.to(memory_format=torch.channels_last)

        def unfolded(model: torch.nn.Module, x: torch.Tensor, a: catscale.Architecture = architecture) -> torch.Tensor:
            return decode(model(x)["lead"], a.anchors, a.strides)

        forms: dict[str, Callable[[], torch.Tensor]] = {
            "train form": lambda m=train, x=images, f=unfolded: f(m, x),
            "deploy, channels-first": lambda m=plain, x=images: m(x),
            "deploy": lambda m=fast, x=fast_images: m(x),
        }
        times: dict[str, list[float]] = {form: [] for form in forms}
        with torch.inference_mode():
            for round_ in range(ROUNDS + 2):
                for form, run in forms.items():
                    start = time.perf_counter()
                    run()
                    if round_ >= 2:  # warm
                        times[form].append(1e3 * (time.perf_counter() - start))
        base = statistics.median(times["train form"])
        for form, samples in times.items():
            median = statistics.median(samples)
            rows.append(f"{name:12} {size:5} px  {form:24} {median:8.1f} ms  {base / median:5.2f} x")
    with capsys.disabled():
        print(f"\nForward at batch 1, median of {ROUNDS} interleaved rounds, {torch.get_num_threads()} threads")
        print("\n".join(rows))
