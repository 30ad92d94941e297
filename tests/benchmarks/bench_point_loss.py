"""The losses of heads without anchors: ours, and with the assignment image by image as the sources have it, in one run.

Run by `make bench`. Forward, batch 16, 640 px, 80 classes, maps of N(0, 1), boxes log-uniform from 16 to 320 px, two
threads; beside it processor time on one thread, which a busy machine blurs less.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from catscale.trainer.atss import AtssAssigner
from catscale.trainer.loss import LossParts
from catscale.trainer.point_loss import PointLoss, Stages
from catscale.trainer.points import Answers, Chosen, Objects, PointAssigner, PointHead, Predictions
from catscale.trainer.simota import SimotaAssigner
from catscale.trainer.task_aligned import TaskAlignedAssigner
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, one_hot
from torchvision.ops import box_iou

from .bench_loss import BATCH, CLASSES, ORIGINAL_MS, SIZE_PX, peak_mb, targets_of

ROUNDS = 5
STRIDES = (8, 16, 32)
BINS = 17
SLOW = "image by image"

Rule = Callable[[Chosen, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class ImageByImage:
    """A rule that is asked for one image after the other: of all its points and objects the owners and qualities."""

    rule: Rule

    def __call__(self, predictions: Predictions, objects: Objects) -> Answers:
        points = len(predictions.corner)
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for image in range(predictions.images):
            rows = (objects.image == image).nonzero().flatten()
            if len(rows):
                place = torch.arange(image * points, (image + 1) * points)
                point, own, quality = self.rule(predictions.at(place), objects.corners[rows], objects.labels[rows])
                found.append((place[point], rows[own], quality))
        place, target, quality = (torch.cat(column) for column in zip(*found, strict=True))
        return Answers(place, target, quality, torch.ones_like(quality))


def _inside(middle: Tensor, corners: Tensor) -> Tensor:
    return ((middle > corners[:, None, :2]) & (middle < corners[:, None, 2:])).all(2)


def simota(chosen: Chosen, corners: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With a tensor of objects x candidates x classes."""
    middle = (corners[:, None, :2] + corners[:, None, 2:]) / 2
    inside = _inside(chosen.middle, corners)
    central = ((chosen.middle - middle).abs() < 2.5 * chosen.stride).all(2)
    point = (inside | central).any(0).nonzero().flatten()
    overlap = box_iou(corners, chosen.boxes()[point])
    q = chosen.classes[point].sigmoid()
    if chosen.objectness is not None:
        q = (q * chosen.objectness[point].sigmoid()).sqrt()
    q = q.expand(len(corners), -1, -1)
    label = one_hot(labels, CLASSES).float()[:, None].expand_as(q)
    cost = binary_cross_entropy(q, label, reduction="none").sum(2) - 3 * (overlap + 1e-8).log()
    cost = cost.double() + 100000.0 * ~(inside & central)[:, point]  # in float32 a hundredth would be lost
    counts = overlap.topk(min(10, overlap.shape[1])).values.sum(1).int().clamp(min=1)
    taken = torch.zeros_like(cost)
    for number, count in enumerate(counts):
        taken[number, cost[number].topk(int(count.item()), largest=False).indices] = 1
    disputed = taken.sum(0) > 1
    taken[:, disputed] = 0
    taken[cost[:, disputed].argmin(0), disputed.nonzero().flatten()] = 1
    column = taken.sum(0).nonzero().flatten()
    own = taken[:, column].argmax(0)
    return point[column], own, overlap[own, column]


def task_aligned(chosen: Chosen, corners: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Over all points of the image."""
    overlap = box_iou(corners, chosen.boxes())
    scores = chosen.classes.sigmoid()
    if chosen.objectness is not None:
        scores = scores * chosen.objectness.sigmoid()
    metric = scores.T[labels] * overlap**6
    inside = _inside(chosen.middle, corners)
    taken = torch.zeros_like(metric).scatter_(1, ((metric + 1e-30) * inside).topk(13, dim=1).indices, 1.0) * inside
    disputed = taken.sum(0) > 1
    taken = torch.where(disputed, one_hot(overlap.argmax(0), len(corners)).T.float(), taken)
    metric, most = metric * taken, (overlap * taken).amax(1)
    quality = (metric / (metric.amax(1, keepdim=True) + 1e-9) * most[:, None]).amax(0)
    point = taken.sum(0).nonzero().flatten()
    return point, taken[:, point].argmax(0), quality[point]


HEADS = {"decoupled": PointHead(STRIDES), "et": PointHead(STRIDES, BINS)}
ASSIGNERS: dict[str, tuple[PointAssigner, Rule | None]] = {
    "simota": (SimotaAssigner(), simota),
    "task-aligned": (TaskAlignedAssigner(), task_aligned),
    "atss": (AtssAssigner(), None),
}


def once(run: Callable[[], LossParts]) -> tuple[float, float, Tensor]:
    """Processor time of one call on one thread, in ms, the memory that it takes beside, in MB, and what it gives."""
    totals: list[Tensor] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    memory = peak_mb(lambda: totals.append(run().total))
    work = 1e3 * (time.process_time() - start)
    torch.set_num_threads(threads)
    return work, memory, totals[0]


@pytest.mark.timeout(1800)
def test_point_loss(capsys) -> None:  # type: ignore[no-untyped-def]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    lines: list[str] = []
    for kind, head in HEADS.items():
        fields = CLASSES + (5 if head.bins is None else 4 * BINS)
        maps = [torch.randn(BATCH, 1, SIZE_PX // s, SIZE_PX // s, fields).requires_grad_() for s in STRIDES]
        for objects in ORIGINAL_MS:
            targets = targets_of(objects)
            runs = {
                name: partial(PointLoss(head, Stages(assigner)), {"lead": maps}, targets)
                for name, (assigner, _) in ASSIGNERS.items()
            }
            times: dict[str, list[float]] = {name: [] for name in runs}
            for number in range(ROUNDS + 1):
                for name, run in runs.items():
                    start = time.perf_counter()
                    run()
                    if number:  # warm
                        times[name].append(1e3 * (time.perf_counter() - start))
            for name, (_, rule) in ASSIGNERS.items():
                work, memory, total = once(runs[name])
                wall = f"{statistics.median(times[name]):9.1f} {min(times[name]):8.1f}"
                line = f"{kind:10} {objects:4} {name:14} {wall} {work:8.1f} {memory:8.0f}"
                if rule:
                    plain = PointLoss(head, Stages(ImageByImage(rule)))
                    slow_work, slow_memory, expected = once(partial(plain, {"lead": maps}, targets))
                    torch.testing.assert_close(total, expected, rtol=1e-3, atol=0)
                    line += f" {slow_work:9.1f} {slow_memory:8.0f} {slow_work / work:6.1f}"
                lines.append(line)
    torch.set_num_threads(threads)
    with capsys.disabled():
        print(f"\nLoss forward, batch {BATCH}, {SIZE_PX} px, {CLASSES} classes, {ROUNDS} interleaved rounds, 2 threads")
        columns = ("least", "CPU ms", "peak MB")
        ours = f"{'head, objects an image':30} {'median ms':>9}" + "".join(f" {column:>8}" for column in columns)
        print(f"{ours} {'plain ms':>9} {'plain MB':>8} {'x':>6}  (plain: {SLOW})")
        print("\n".join(lines))
