"""The losses of heads without anchors against plain loops (`slow_points.py`), and that they are learnt from."""

from dataclasses import replace
from itertools import product
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.blocks.heads import HEAD_WORDS, HEADS
from catscale.trainer.atss import AtssAssigner
from catscale.trainer.data.loader import val_batches
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.loss import LossParts
from catscale.trainer.loss_choice import loss_of, stages_of
from catscale.trainer.pairings import ASSIGNERS, MEANINGFUL, AssignerWord, check_pairing
from catscale.trainer.point_loss import PointLoss, Stages, distribution_focal_loss
from catscale.trainer.points import PointHead
from catscale.trainer.preflight import check_trainable
from catscale.trainer.recipe import load_recipe
from catscale.trainer.simota import SimotaAssigner
from catscale.trainer.step import Stepper
from catscale.trainer.task_aligned import TaskAlignedAssigner
from torch import Tensor

from .slow_loss import random_targets
from .slow_points import (
    BINS,
    SLOW,
    points_of,
    random_point_maps,
    slow_decoupled_terms,
    slow_distribution_terms,
    things_of,
)

STRIDES = (8, 16, 32)
POINT_HEADS = {"decoupled": PointHead(STRIDES), "et": PointHead(STRIDES, BINS)}
STAGES = {
    "simota": Stages(SimotaAssigner()),
    "task-aligned": Stages(TaskAlignedAssigner()),
    "atss": Stages(AtssAssigner()),
}
PAIRS = [(HEAD_WORDS[kind], assigner) for kind, assigners in MEANINGFUL.items() for assigner in assigners]


def slow_parts(name: str, kind: str, maps: list[Tensor], targets: Tensor, *, raw: bool) -> list[float]:
    """Box, objectness and class parts of a batch; the whole is divided by how many answer, or by their qualities."""
    sums, divisor = [0.0, 0.0, 0.0], 0.0
    for image in range(len(maps[0])):
        points = points_of(maps, STRIDES, image, kind)
        assigned = SLOW[name](points, things_of(targets, image, 128, 128))
        if kind == "decoupled":
            terms, divisor = slow_decoupled_terms(points, assigned, raw=raw), divisor + len(assigned)
        else:
            terms = slow_distribution_terms(points, assigned)
            divisor += sum(quality for _, quality in assigned.values())
        sums = [part + term for part, term in zip(sums, terms, strict=True)]
    return [part / max(divisor, 1) for part in sums]


@pytest.mark.parametrize(("kind", "raw"), [("decoupled", False), ("decoupled", True), ("et", False)])
@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize(("count", "batch", "classes"), [(0, 2, 3), (1, 1, 1), (9, 3, 4), (40, 2, 2)])
def test_loss_of_random_batches(kind: str, raw: bool, name: str, count: int, batch: int, classes: int) -> None:
    maps, targets = random_point_maps(kind, 128, batch, classes, seed=count), random_targets(count, batch, classes, 1)
    if count > 5:
        targets[0, 4:] = 0.004  # a tiny one; and one whose sides no distribution reaches
        targets[1, 2:] = torch.tensor([0.5, 0.5, 2.4, 2.6])
    loss = PointLoss(POINT_HEADS[kind], replace(STAGES[name], raw=lambda epoch: raw))
    parts, expected = loss({"lead": maps}, targets), slow_parts(name, kind, maps, targets, raw=raw)
    assert [part.item() for part in parts[1:]] == pytest.approx(expected, rel=5e-5, abs=1e-6)
    assert parts.total.item() == pytest.approx(sum(expected) * batch / 64, rel=5e-5)
    parts.total.backward()
    gradients = [level.grad for level in maps]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("kind", POINT_HEADS)
@pytest.mark.parametrize("name", SLOW)
def test_the_sums_of_a_batch_are_those_of_its_images(kind: str, name: str) -> None:
    maps, targets = random_point_maps(kind, 64, 3, 2, seed=1), random_targets(20, 3, 2, seed=1)
    loss = PointLoss(POINT_HEADS[kind], STAGES[name])
    loss.divisor = torch.ones_like
    whole, single = loss({"lead": maps}, targets), torch.zeros(3)
    for image in range(3):
        own = targets[targets[:, 0] == image].clone()
        own[:, 0] = 0
        single += torch.stack(loss({"lead": [level[image : image + 1] for level in maps]}, own)[1:])
    torch.testing.assert_close(torch.stack(whole[1:]), single)


@pytest.mark.parametrize("kind", POINT_HEADS)
def test_shares_of_a_batch_that_divide_by_their_part_of_the_whole_add_up_to_it(kind: str) -> None:
    """As several processes do: each has the whole's sum, times its share of the images (`step.Stepper.measure`)."""
    maps, targets = random_point_maps(kind, 64, 4, 2, seed=1), random_targets(20, 4, 2, seed=1)
    loss, sums = PointLoss(POINT_HEADS[kind], STAGES["simota"]), list[Tensor]()
    loss.divisor = lambda total: sums.append(total) or total.clamp(min=1)  # type: ignore[func-returns-value]
    whole = loss({"lead": maps}, targets).total
    loss.divisor = lambda total: sums[0].clamp(min=1) * share
    shares: list[Tensor] = []
    for first, last in ((0, 1), (1, 4)):
        share = (last - first) / 4
        own = targets[(targets[:, 0] >= first) & (targets[:, 0] < last)].clone()
        own[:, 0] -= first
        shares.append(loss({"lead": [level[first:last] for level in maps]}, own).total)
    torch.testing.assert_close(sum(shares), whole)


@pytest.mark.parametrize("kind", POINT_HEADS)
@pytest.mark.parametrize("name", SLOW)
def test_nothing_waits_for_the_device_of_the_maps(kind: str, name: str) -> None:
    """The meta device holds no numbers: whoever asks it for one, or for a size that depends on one, fails."""
    maps = [level.detach().to("meta").requires_grad_() for level in random_point_maps(kind, 128, 2, 3, seed=1)]
    stages = replace(STAGES[name], raw=lambda epoch: True)
    total = PointLoss(POINT_HEADS[kind], stages)({"lead": maps}, random_targets(10, 2, 3, seed=1)).total
    total.backward()
    assert total.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.parametrize("kind", POINT_HEADS)
@pytest.mark.parametrize("name", SLOW)
def test_a_gpu_gives_the_loss_of_the_cpu_without_being_waited_for(kind: str, name: str) -> None:
    maps, targets = [m.detach() for m in random_point_maps(kind, 128, 2, 3, 1)], random_targets(60, 2, 3, seed=1)
    loss, there = PointLoss(POINT_HEADS[kind], STAGES[name]), [level.cuda() for level in maps]
    loss({"lead": there}, targets)  # the first call loads kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        parts = loss({"lead": there}, targets)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close([part.cpu() for part in parts], list(loss({"lead": maps}, targets)))


@pytest.mark.parametrize("kind", POINT_HEADS)
@pytest.mark.parametrize("assigner", [SimotaAssigner, TaskAlignedAssigner])
def test_points_that_answer_for_nothing_may_stay_without_effect(kind: str, assigner: Any) -> None:
    """Not even where what they predict is infinite."""
    targets = random_targets(60, 2, 3, seed=1)
    targets[0] = torch.tensor([0, 0, 0.5, 0.5, 1, 1])  # so that every point is a candidate
    gradients: list[list[Tensor | None]] = []
    totals: list[Tensor] = []
    for compact in (True, False):
        maps = random_point_maps(kind, 128, 2, 3, seed=1)
        with torch.no_grad():
            maps[0][0, 0, 3, 3, :4] = 200.0
        loss = PointLoss(POINT_HEADS[kind], Stages(assigner(compact=compact), raw=lambda epoch: True))
        totals.append(loss({"lead": maps}, targets).total)
        totals[-1].backward()
        gradients.append([level.grad for level in maps])
    torch.testing.assert_close(*totals)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients[0])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("kind", POINT_HEADS)
@pytest.mark.parametrize("name", SLOW)
def test_broken_predictions_are_no_error(kind: str, name: str) -> None:
    """They end in a loss that is not finite, which the loop counts."""
    maps = [torch.full_like(level, torch.nan) for level in random_point_maps(kind, 128, 2, 3, seed=1)]
    assert not PointLoss(POINT_HEADS[kind], STAGES[name])({"lead": maps}, random_targets(60, 2, 3, 1)).total.isfinite()


def test_sides_beyond_the_bins_are_learnt_as_far_as_these_reach() -> None:
    """Of 17 bins 15.99 cells: a hundredth of bin 15, the rest of bin 16; a side behind the point is 0."""
    logits = torch.randn(1, 4, 17, generator=torch.Generator().manual_seed(0))
    loss = -logits.log_softmax(2)[0]
    expected = [
        loss[0, 3] * 0.75 + loss[0, 4] * 0.25,
        loss[1, 15] * 0.01 + loss[1, 16] * 0.99,
        loss[2, 0],
        loss[3, 16] * 0.99 + loss[3, 15] * 0.01,
    ]
    found = distribution_focal_loss(logits, torch.tensor([[3.25, 16.0, -2.0, 40.0]]))
    torch.testing.assert_close(found[0], torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_half_precision_maps_give_the_loss_of_their_values() -> None:
    targets, maps = random_targets(10, 2, 3, seed=1), [m.detach().half() for m in random_point_maps("et", 128, 2, 3, 1)]
    loss = PointLoss(POINT_HEADS["et"], STAGES["task-aligned"])
    half, full = loss({"lead": maps}, targets), loss({"lead": [level.float() for level in maps]}, targets)
    assert half.total.dtype == torch.float32
    torch.testing.assert_close(half.total, full.total)


def test_what_is_learnt_follows_the_epoch() -> None:
    """ATSS first, then the task-aligned rule; raw boxes in the epochs without mosaic, which are the last."""
    stages = stages_of(
        load_recipe("p5", {"assigner": "task-aligned", "epochs": 6, "atss_epochs": 2, "close_mosaic": 1})
    )
    assert [type(stages.of(epoch)) for epoch in range(6)] == [AtssAssigner] * 2 + [TaskAlignedAssigner] * 4
    assert [stages.raw(epoch) for epoch in range(6)] == [False] * 5 + [True]
    assert stages_of(load_recipe("p5", {"assigner": "simota", "ota_top_k": 7})).of(0) == SimotaAssigner(7)


@pytest.mark.parametrize(("kind", "assigner"), list(product(HEADS, ASSIGNERS)))
def test_a_pairing_is_meaningful_or_refused_by_name(kind: str, assigner: AssignerWord) -> None:
    arch = catscale.load({"anchor": "yolov7-tiny", "decoupled": "yolox-s", "et": "pp-yoloe-s"}[kind])
    if (kind, assigner) in PAIRS:
        loss = loss_of(arch, load_recipe("quick", {"assigner": assigner}), size_px=64)
        assert isinstance(loss, PointLoss) == (kind != "anchor")
        return
    has = "has anchors" if kind == "anchor" else "has none"
    fits = " or ".join(rf"{word}( \(as published\))?" for word in MEANINGFUL[HEADS[kind]])
    with pytest.raises(InputError, match=rf"{arch.name}: assigner: {assigner} chooses .* {kind}, {has}; say .* {fits}"):
        check_pairing(arch, assigner)


@pytest.mark.parametrize(
    ("head", "changes", "words"),
    [
        ("decoupled", {"anchors": [[10, 13], [30, 61], [116, 90]]}, r"anchors: its head, decoupled, has none; leave"),
        ({"et": {"bins": 1}}, {}, r"head: a side of 1 bin has no length; give it 2 or more"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(head: Any, changes: dict[str, Any], words: str) -> None:
    arch = catscale.load("yolov7-tiny").scale(head=head)
    with pytest.raises(InputError, match=words):
        check_trainable(arch, load_recipe("quick", {"assigner": "simota", **changes}), 64)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return open_dataset(make_shapes(tmp_path_factory.mktemp("data") / "shapes", train=8, val=2, test=0, size_px=64))


@pytest.mark.parametrize(("kind", "assigner"), [pair for pair in PAIRS if pair[0] != "anchor"])
def test_a_narrow_detector_learns_its_images(shapes: Any, kind: str, assigner: str) -> None:
    """Boxes come nearer, objectness knows better; classes at first have the more to say, the better the boxes are."""
    torch.manual_seed(0)
    arch = catscale.load("yolov7-tiny").scale(width=0.125, head=kind).replace(classes=len(shapes.classes))
    recipe = load_recipe("quick", {"assigner": assigner, "atss_epochs": 4, "warmup_epochs": 0, "lr0": 0.1})
    step = Stepper(arch, recipe, device=torch.device("cpu"), size_px=64)
    step.model.train()
    (batch,) = val_batches(shapes.splits["train"], size_px=64, batch=8)
    rows: list[LossParts] = []
    for epoch in range(20):
        step.loss.begin(epoch)
        rows.append(step.measure(step.forward(step.images(batch)), batch, 8))
        step.backward(rows[-1].total)
        step.update()
    first, last = rows[0], rows[-1]
    assert last.box < 0.85 * first.box
    assert last.obj < 0.85 * first.obj if kind == "decoupled" else not last.obj
