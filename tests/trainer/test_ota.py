"""The batched assignment against a plain one: image by image, object by object, in float64 (`slow_loss.py`)."""

from typing import Any

import pytest
import torch
from catscale.trainer.anchor_loss import AnchorLoss, Assignment
from catscale.trainer.assigners import Head, Positives
from catscale.trainer.ota import OtaAssigner
from catscale.trainer.recipe import load_recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from .largest import Largest
from .slow_loss import HEADS, Place, random_maps, random_targets, slow_level_candidates, slow_ota


def found(assigner: OtaAssigner, maps: list[Tensor], targets: Tensor, head: str) -> list[list[Place]]:
    with torch.no_grad():
        levels = assigner(maps, targets, Head.from_pixels(*HEADS[head]))
    return [rows(level) for level in levels]


def rows(level: Positives) -> list[Place]:
    table = torch.stack((level.image, level.anchor, level.row, level.column, level.target), dim=1)
    if level.weight is not None:
        table = table[level.weight > 0]
    return [tuple(row) for row in table.tolist()]  # type: ignore[misc]


def assert_is_the_slow_one(
    maps: list[Tensor],
    targets: Tensor,
    head: str = "p5",
    *,
    top_k: int = 10,
    reach: float = 0.5,
    span: float = 2.0,
    chunks: tuple[int | None, ...] = (None, 1, 5000),
) -> list[list[Place]]:
    places = slow_level_candidates(maps, targets, HEADS[head], reach)
    expected = slow_ota(maps, targets, HEADS[head], places, top_k, span)
    for chunk in chunks:
        assert found(OtaAssigner(top_k, reach=reach, span=span, chunk=chunk), maps, targets, head) == expected
    return expected


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("count", "batch", "classes"), [(0, 2, 3), (1, 1, 1), (9, 3, 4), (80, 5, 2), (25, 1, 80)])
@pytest.mark.parametrize(("top_k", "reach", "span"), [(10, 0.5, 2.0), (20, 1.0, 3.0)])
def test_random_batches(head: str, count: int, batch: int, classes: int, top_k: int, reach: float, span: float) -> None:
    maps = random_maps(head, 128, batch, classes, seed=count)
    targets = random_targets(count, batch, classes, seed=count)
    assert_is_the_slow_one(maps, targets, head, top_k=top_k, reach=reach, span=span)


def test_an_input_that_is_not_square() -> None:
    maps = [level[:, :, : level.shape[2] // 2] for level in random_maps("p5", 256, 2, 3, seed=5)]
    assert_is_the_slow_one(maps, random_targets(30, 2, 3, seed=5))


CASES: dict[str, list[list[float]]] = {
    "images without objects between others": [[1, 0, 0.3, 0.3, 0.2, 0.2], [4, 1, 0.6, 0.6, 0.3, 0.2]],
    "images out of order": [[4, 0, 0.3, 0.3, 0.2, 0.2], [0, 1, 0.6, 0.6, 0.3, 0.2], [4, 1, 0.3, 0.3, 0.3, 0.2]],
    "centres on the borders": [[0, 0, x, y, 0.2, 0.3] for x in (0, 1) for y in (0, 1)],
    "the same object many times": [[0, 0, 0.4, 0.4, 0.2, 0.2]] * 7,
    "one box of two classes": [[0, 0, 0.4, 0.4, 0.2, 0.2], [0, 1, 0.4, 0.4, 0.2, 0.2]],
    "objects without extent among others": [
        [0, 0, 0.5, 0.5, 0, 0],
        [0, 1, 0.5, 0.5, 0.2, 0],
        [0, 1, 0.4, 0.4, 0.2, 0.2],
    ],
    "an object that no anchor fits, alone": [[0, 0, 0.5, 0.5, 0.001, 0.9]],
    "an object that no anchor fits takes another's place": [[0, 0, 0.1, 0.1, 0.001, 0.9], [0, 1, 0.8, 0.8, 0.2, 0.2]],
    "an object larger than the image": [[0, 1, 0.5, 0.5, 1.4, 1.2], [0, 1, 0.5, 0.5, 0.9, 0.9]],
    "objects that do not touch": [[0, 0, x / 8, 0.5, 1 / 16, 1 / 16] for x in range(1, 8)],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_awkward_objects(case: str, scale: float) -> None:
    """On maps of zeros (every place of an anchor ties with others), on likely ones, and on saturated probabilities."""
    maps = [scale * level.detach() for level in random_maps("p5", 128, 5, 2, seed=3)]
    assert_is_the_slow_one(maps, torch.tensor(CASES[case]))


def test_five_hundred_objects_in_one_image() -> None:
    targets = random_targets(520, 1, 3, seed=6)
    targets[500:, 0] = 1  # and twenty in another
    targets[:, 4:] = 0.02 + targets[:, 4:] / 5
    places = assert_is_the_slow_one(random_maps("p5", 256, 2, 3, seed=6), targets, chunks=(None, 2**18))
    assert sum(map(len, places)) > 500


def test_an_image_of_dear_places_beside_a_larger_one() -> None:
    """Sure of every class and touching nothing, a place costs far more than one that says nothing."""
    maps = [level.detach() for level in random_maps("p5", 128, 2, 8, seed=4)]
    for level in maps:
        level[1, ..., :4] = -20
        level[1, ..., 4:] += 20
    targets = random_targets(30, 1, 8, seed=4)
    targets[20:, 0] = 1
    assert_is_the_slow_one(maps, targets)


def test_predictions_that_are_right_already() -> None:
    """Every candidate predicts its object: IoU 1, so that each object takes as many places as it has, up to ten."""
    size = 128
    targets = torch.tensor([[0, 0, 0.39, 0.42, 0.25, 0.25]])
    maps = [torch.full((1, 3, size // s, size // s, 6), 9.0) for s in HEADS["p5"][1]]
    for level, anchors, stride in zip(maps, *HEADS["p5"], strict=True):
        for anchor, sides in enumerate(anchors):
            for row in range(size // stride):
                for column in range(size // stride):
                    x, y = 0.39 * size / stride - column, 0.42 * size / stride - row
                    centre = (torch.tensor([x, y]) + 0.5) / 2
                    extent = (torch.tensor([32, 32]) / torch.tensor(sides)).sqrt() / 2
                    level[0, anchor, row, column, :4] = torch.cat((centre, extent)).clamp(1e-4, 1 - 1e-4).logit()
    everything = sum(map(len, slow_level_candidates(maps, targets, HEADS["p5"])))
    assert everything > 10
    # Just above one whole, rounding being what it is: the sum of ten IoUs of nearly 1 may be 9.9999.
    assert sum(map(len, found(OtaAssigner(10), maps, targets, "p5"))) in (9, 10)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    chunk=st.integers(1, 4000),
)
def test_an_image_is_assigned_as_if_it_were_alone(counts: list[int], seed: int, chunk: int) -> None:
    maps = random_maps("two levels of two anchors", 64, len(counts), 2, seed)
    targets = random_targets(sum(counts), 1, 2, seed)
    targets[:, 0] = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    together = found(OtaAssigner(10, chunk=chunk), maps, targets, "two levels of two anchors")
    for image in range(len(counts)):
        rows = (targets[:, 0] == image).nonzero().flatten()
        own = targets[rows].clone()
        own[:, 0] = 0
        alone = found(OtaAssigner(10), [level[image : image + 1] for level in maps], own, "two levels of two anchors")
        for level, places in zip(together, alone, strict=True):
            assert [p for p in level if p[0] == image] == [(image, *p[1:4], int(rows[p[4]])) for p in places]


def test_places_that_answer_for_nothing_may_stay_without_effect() -> None:
    targets = random_targets(60, 2, 3, seed=1)
    gradients: list[list[Any]] = []
    for compact in (True, False):
        maps = random_maps("p5", 128, 2, 3, seed=1)
        head, assignment = Head.from_pixels(*HEADS["p5"]), Assignment(OtaAssigner(10, compact=compact))
        loss = AnchorLoss(head, classes=3, size_px=128, recipe=load_recipe("p5"), assignment=assignment)
        loss({"lead": maps}, targets).total.backward()
        gradients.append([level.grad for level in maps])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_broken_predictions_are_no_error() -> None:
    """They end in a loss that is not finite, which the loop counts."""
    maps = [torch.full_like(level, torch.nan) for level in random_maps("p5", 128, 2, 3, seed=1)]
    loss = AnchorLoss(Head.from_pixels(*HEADS["p5"]), classes=3, size_px=128, recipe=load_recipe("p5"))
    assert not loss({"lead": maps}, random_targets(60, 2, 3, seed=1)).total.isfinite()


def test_memory_is_that_of_the_candidates_and_a_chunk() -> None:
    objects, classes, chunk = 400, 80, 2**16
    maps = [level.detach() for level in random_maps("p5", 256, 1, classes, seed=2)]
    targets = random_targets(objects, 1, classes, seed=2)
    width = sum(map(len, slow_level_candidates(maps, targets, HEADS["p5"])))
    with Largest() as largest:
        OtaAssigner(10, chunk=chunk)(maps, targets, Head.from_pixels(*HEADS["p5"]))
    assert largest.numbers <= max(chunk, (width + 1) * (5 + classes), maps[0].numel())
    assert largest.numbers < objects * width
