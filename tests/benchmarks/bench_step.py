"""Where a training step's time goes, and what is gained over its plain eager form, in one run.

Run by `make bench`: yolov7-tiny at 320 px, batch 8, on this machine's CPU, on real batches of the embedded shapes, with
an update after each. The forms take turns. Plain: channels first, float32, SGD and the average tensor by tensor, as
torch has them by default. The original takes 1.04 s on two cores of such a machine (data 7 %, forward 32 %, loss 3 %,
backward 55 %, optimiser and average 2 %; 7.7 images/s). CATSCALE_BENCH_COMPILE=1 adds the compiled form, which takes
minutes to compile.
"""

import os
import statistics
from pathlib import Path

import catscale
import pytest
import torch
from catscale.trainer.data.loader import Batch
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.ema import Ema
from catscale.trainer.optimiser import parameter_groups
from catscale.trainer.recipe import load_recipe
from catscale.trainer.step import Stepper
from catscale.trainer.step_profile import TITLES, endless, timed
from catscale.trainer.threads import sharing_cores
from torch import nn

SIZE_PX, BATCH, ROUNDS, WARM = 320, 8, 9, 2
FORMS = {"ours, float32": "fp32", "ours": "auto", "ours, bfloat16 throughout": "bf16"}


class PlainEma(Ema[nn.Module]):
    """The average tensor by tensor."""

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        for average, value in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(value, 0.001)


class PlainStepper(Stepper):
    """A step as eager torch makes it when nothing is asked of it."""

    def __init__(self, *arguments: object, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]
        self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        groups = [{"params": parameters} for parameters in parameter_groups(self.model).values()]
        self.optimiser = torch.optim.SGD(groups, lr=0.001, momentum=0.9, nesterov=True, foreach=False)
        self.ema = PlainEma(self.model, decay=0.999, tau=1)  # type: ignore[assignment]

    def images(self, batch: Batch, size_px: int | None = None) -> torch.Tensor:
        return super().images(batch, size_px).contiguous()


def test_step(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = open_dataset(str(make_shapes(tmp_path / "shapes", train=32, val=1, test=0, size_px=SIZE_PX)))
    arch = catscale.load("yolov7-tiny").replace(classes=len(data.classes))
    recipes = {form: load_recipe("tiny", {"batch": BATCH, "amp": amp}) for form, amp in FORMS.items()}
    if os.environ.get("CATSCALE_BENCH_COMPILE"):
        recipes["ours, compiled"] = load_recipe("tiny", {"batch": BATCH, "compile": True})
    cpu = torch.device("cpu")
    steps: dict[str, Stepper] = {
        "plain": PlainStepper(arch, load_recipe("tiny", {"amp": "fp32"}), device=cpu, size_px=SIZE_PX)
    }
    steps |= {form: Stepper(arch, recipe, device=cpu, size_px=SIZE_PX) for form, recipe in recipes.items()}
    batches = endless(data.splits["train"], load_recipe("tiny", {"batch": BATCH}), SIZE_PX)
    times: dict[str, list[tuple[float, ...]]] = {form: [] for form in steps}
    with sharing_cores("cpu"):
        for round_ in range(ROUNDS + WARM):
            for form, step in steps.items():
                step.model.train()
                took = timed(step, batches, cpu)
                if round_ >= WARM:
                    times[form].append(took)
        threads = torch.get_num_threads()
    batches.close()
    base = statistics.median(map(sum, times["plain"]))
    with capsys.disabled():
        print(
            f"\nA training step of yolov7-tiny, {SIZE_PX} px, batch {BATCH}, {threads} compute threads: ms, medians of"
        )
        print(
            f"{ROUNDS} interleaved rounds{' ' * 14}{''.join(f'{title:>18}' for title in TITLES.values())}{'a step':>9}"
        )
        for form, rows in times.items():
            parts = [1e3 * statistics.median(part) for part in zip(*rows, strict=True)]
            whole = statistics.median(map(sum, rows))
            cells = "".join(f"{part:10.1f} ({part / sum(parts):4.0%})" for part in parts)
            print(f"{form:32}{cells}{1e3 * whole:9.1f} {BATCH / whole:6.1f} images/s {base / whole:5.2f} x")
    assert base / statistics.median(map(sum, times["ours"])) > 1
