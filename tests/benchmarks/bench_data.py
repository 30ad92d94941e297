"""How fast samples are made: ours and a plain OpenCV pipeline (`tests/trainer/data/plain_pipeline.py`), in one run.

Run by `make bench`. Blood-cell photographs (640 x 480 px JPEG) at 640 px, one thread for each, the two taking turns,
timed by what they take of a processor, so that other work beside them counts little. With the augmentation of the
recipe p5 and without its mixup and paste-in, decoded images kept or not. Ours makes whole batches of 16, targets
included, that a network takes as they are; the peer single samples.
"""

import math
import platform
import statistics
import time
from pathlib import Path

import cv2
import pytest
from catscale.trainer.data.loader import train_batches
from catscale.trainer.data.records import Split
from catscale.trainer.data.settings import Augment
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.recipe import load_recipe

from ..trainer.data.plain_pipeline import PlainPipeline

ROUNDS, SIZE_PX, BATCH = 7, 640, 16
LEAST_RATIO = 2.0


@pytest.mark.realdata
def test_data(capsys: pytest.CaptureFixture[str], real_data: Path) -> None:
    split = open_dataset(real_data / "bccd").split("train")
    p5 = load_recipe("p5").augment
    cases = {"p5": p5, "p5 without mixup, paste-in": p5.model_copy(update={"mixup": 0.0, "paste_in": 0.0})}
    cv2.setNumThreads(1)
    rows: list[str] = []
    ratios: dict[tuple[str, bool], float] = {}
    for name, settings in cases.items():
        for kept in (True, False):
            ours, plain = measured(split, settings, kept=kept)
            ratios[name, kept] = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
            rows += [
                f"{name:27} {'kept' if kept else 'each time':10} {who:6} {figures(speeds)}"
                for who, speeds in (("ours", ours), ("plain", plain))
            ]
            rows[-1] += f"   ours is {ratios[name, kept]:.2f} x"
    with capsys.disabled():
        print(f"\nSamples of {SIZE_PX} px, images per CPU second: median (quartiles) of {ROUNDS} interleaved rounds")
        print(
            f"{platform.machine()}, OpenCV {cv2.__version__}, {len(split.images)} photographs; decoded: kept, each time"
        )
        print("\n".join(rows))
    for name in cases:
        assert ratios[name, True] >= LEAST_RATIO, name


def measured(split: Split, settings: Augment, *, kept: bool) -> tuple[list[float], list[float]]:
    """Images/s of ours and of the plain pipeline, a pair for each round; the first round fills the caches."""
    count = len(split.images) if kept else len(split.images) // 2
    some = split if kept else Split(split.name, split.images[:count])
    pipeline = PlainPipeline(some.images, SIZE_PX, settings, seed=0, keep=kept)
    ours: list[float] = []
    plain: list[float] = []
    for number in range(ROUNDS + 1):
        start = time.process_time()
        batches = train_batches(
            some,
            size_px=SIZE_PX,
            batch=BATCH,
            recipe_augment=settings,
            seed=0,
            epoch=number,
            cache="ram" if kept else "none",
            threads=1,
        )
        assert sum(1 for _ in batches) == math.ceil(count / BATCH)
        middle = time.process_time()
        for index in range(count):
            pipeline.sample(index)
        end = time.process_time()
        if number:
            ours.append(count / (middle - start))
            plain.append(count / (end - middle))
    return ours, plain


def figures(speeds: list[float]) -> str:
    low, _, high = statistics.quantiles(speeds, n=4)
    return f"{statistics.median(speeds):7.1f}  ({low:.1f} to {high:.1f})"
