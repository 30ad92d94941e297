"""The training loss: the plain one, ours with OTA, and OTA image by image as the source has it, in one run.

Run by `make bench`. Forward, batch 16, 640 px, 80 classes, maps of N(0, 1), boxes log-uniform from 16 to 320 px, two
threads; beside it processor time on one thread, which a busy machine blurs less. The original's figures are quoted,
from a machine of this kind.
"""

import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import catscale
import torch
from catscale.scaler.suppression import xyxy_from_cxcywh
from catscale.trainer.anchor_loss import AnchorLoss, Assignment
from catscale.trainer.assigners import Head, Positives, SimpleAssigner, level_candidates
from catscale.trainer.boxes import decode
from catscale.trainer.ota import OtaAssigner
from catscale.trainer.recipe import load_recipe
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, one_hot
from torchvision.ops import box_iou

BATCH, SIZE_PX, CLASSES, ROUNDS = 16, 640, 80, 15
SLOW = "image by image"
ORIGINAL_MS = {5: 46, 20: 94, 60: 490, 120: 4890}


class ImageByImage:
    """The source's form: loops over images and objects, and a tensor of objects x candidates x classes."""

    def __call__(self, maps: Sequence[Tensor], targets: Tensor, head: Head) -> list[Positives]:
        places = level_candidates(maps, targets, head, anchor_t=4.0, reach=0.5)
        owners = [torch.full_like(level.target, -1) for level in places]
        for image in range(len(maps[0])):
            objects = (targets[:, 0] == image).nonzero().flatten()
            chosen = [(level.image == image).nonzero().flatten() for level in places]
            boxes: list[Tensor] = []
            logits: list[Tensor] = []
            for logit, level, rows, anchors, stride in zip(
                maps, places, chosen, head.anchors, head.strides, strict=True
            ):
                anchor, row, column = level.anchor[rows], level.row[rows], level.column[rows]
                logits.append(logit[image, anchor, row, column])
                box = decode(logits[-1], anchors[anchor])
                boxes.append(stride * torch.cat((box[:, :2] + torch.stack((column, row), dim=1), box[:, 2:]), dim=1))
            read = torch.cat(logits)
            wanted = xyxy_from_cxcywh(SIZE_PX * targets[objects, 2:6])
            overlap = box_iou(wanted, xyxy_from_cxcywh(torch.cat(boxes)))
            q = (read[:, 5:].sigmoid() * read[:, 4:5].sigmoid()).sqrt().expand(len(objects), -1, -1)
            label = one_hot(targets[objects, 1].long(), CLASSES).float()[:, None].expand_as(q)
            cost = binary_cross_entropy(q, label, reduction="none").sum(dim=2) - 3 * (overlap + 1e-8).log()
            counts = overlap.topk(min(10, overlap.shape[1])).values.sum(dim=1).int().clamp(min=1)
            taken = torch.zeros_like(cost)
            for number, count in enumerate(counts):
                taken[number, cost[number].topk(int(count.item()), largest=False).indices] = 1
            disputed = taken.sum(dim=0) > 1
            taken[:, disputed] = 0
            taken[cost[:, disputed].argmin(dim=0), disputed.nonzero().flatten()] = 1
            owner = objects[taken.argmax(dim=0)].where(taken.sum(dim=0) > 0, -1)
            for level_owner, rows, own in zip(owners, chosen, owner.split([len(rows) for rows in chosen]), strict=True):
                level_owner[rows] = own
        return [
            replace(level, target=owner.clamp(min=0), weight=(owner >= 0).float())
            for level, owner in zip(places, owners, strict=True)
        ]


def targets_of(objects: int) -> Tensor:
    targets = torch.rand(BATCH * objects, 6, generator=torch.Generator().manual_seed(objects))
    targets[:, 0] = torch.arange(BATCH).repeat_interleave(objects)
    targets[:, 1] = (targets[:, 1] * CLASSES).floor()
    targets[:, 4:] = 16 * (320 / 16) ** targets[:, 4:] / SIZE_PX
    return targets


def peak_mb(run: Callable[[], object]) -> float:
    """What a call takes beside what was there, at its highest: resident memory, as Linux counts it."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")

    def status(key: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key))

    before = status("VmRSS")
    run()
    return (status("VmHWM") - before) / 1024


def processor_ms(run: Callable[[], object], runs: int = 3) -> float:
    """Processor time of a call on one thread, the least of a few: what others do on the machine counts little."""
    torch.set_num_threads(1)
    samples: list[float] = []
    for _ in range(runs):
        start = time.process_time()
        run()
        samples.append(1e3 * (time.process_time() - start))
    torch.set_num_threads(2)
    return min(samples)


def test_loss(capsys) -> None:  # type: ignore[no-untyped-def]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    arch = catscale.load("yolov7")
    maps = [torch.randn(BATCH, 3, SIZE_PX // s, SIZE_PX // s, 5 + CLASSES).requires_grad_() for s in arch.strides]
    assignments = {
        "plain": Assignment(SimpleAssigner()),
        "OTA": Assignment(OtaAssigner(top_k=10)),
        "OTA, coarse": Assignment(OtaAssigner(top_k=20, reach=1.0)),
        SLOW: Assignment(ImageByImage()),
    }
    recipe = load_recipe("p5")
    losses = {
        name: AnchorLoss(Head.of(arch), classes=CLASSES, size_px=SIZE_PX, recipe=recipe, assignment=assignment)
        for name, assignment in assignments.items()
    }
    lines: list[str] = []
    ratios: list[float] = []
    for objects, original in ORIGINAL_MS.items():
        targets = targets_of(objects)
        times: dict[str, list[float]] = {name: [] for name in losses}
        for number in range(ROUNDS + 2):
            for name, loss in losses.items():
                if name == SLOW and number != 2:  # once is enough, and takes as long as all else
                    continue
                start = time.perf_counter()
                loss({"lead": maps}, targets)
                if number >= 2:  # warm
                    times[name].append(1e3 * (time.perf_counter() - start))
        plain = statistics.median(times["plain"])
        work = {
            name: processor_ms(lambda chosen=loss, t=targets: chosen({"lead": maps}, t))
            for name, loss in losses.items()
        }
        for name, samples in times.items():
            median = statistics.median(samples)
            memory = peak_mb(lambda chosen=losses[name], t=targets: chosen({"lead": maps}, t))
            wall = f"{median:9.1f} {min(samples):8.1f} {median / plain:8.2f}"
            lines.append(
                f"{objects:4} {name:16} {wall} {work[name]:8.1f} {work[name] / work['plain']:8.2f} {memory:8.0f}"
            )
        lines.append(f"{objects:4} {'the original':16} {original:9.1f} (quoted)")
        totals = [losses[name]({"lead": maps}, targets).total for name in ("OTA", SLOW)]
        torch.testing.assert_close(*totals, rtol=1e-3, atol=0)
        ratios.append(work["OTA"] / work["plain"])
    torch.set_num_threads(threads)
    with capsys.disabled():
        print(f"\nLoss forward, batch {BATCH}, {SIZE_PX} px, {CLASSES} classes, {ROUNDS} interleaved rounds, 2 threads")
        columns = ("least", "x plain", "CPU ms", "x plain", "peak MB")
        print(f"{'objects an image':21} {'median ms':>9}" + "".join(f" {column:>8}" for column in columns))
        print("\n".join(lines))
    assert max(ratios) <= 2
