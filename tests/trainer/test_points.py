"""Points that answer for objects, against a plain evaluation: image by image, in float64 (`slow_points.py`)."""

from dataclasses import replace

import pytest
import torch
from catscale.trainer.atss import AtssAssigner
from catscale.trainer.points import Answers, Objects, PointAssigner, PointHead, Predictions
from catscale.trainer.simota import SimotaAssigner
from catscale.trainer.task_aligned import TaskAlignedAssigner
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from .largest import Largest
from .slow_loss import random_targets
from .slow_points import BINS, SLOW, points_of, random_point_maps, things_of

STRIDES = (8, 16, 32)
HEADS = {"decoupled": PointHead(STRIDES), "et": PointHead(STRIDES, BINS)}
ASSIGNERS: dict[str, PointAssigner] = {
    "simota": SimotaAssigner(),
    "task-aligned": TaskAlignedAssigner(),
    "atss": AtssAssigner(),
}

Found = dict[tuple[int, int], tuple[int, float]]  # by image and point: row of the targets, quality


def answers_of(assigner: PointAssigner, kind: str, maps: list[Tensor], targets: Tensor) -> Answers:
    with torch.no_grad():
        predictions = Predictions.of(maps, HEADS[kind])
        return assigner(predictions, Objects.of(targets, predictions))


def found(assigner: PointAssigner, kind: str, maps: list[Tensor], targets: Tensor) -> Found:
    answers = answers_of(assigner, kind, maps, targets)
    points = sum(level.shape[2] * level.shape[3] for level in maps)
    columns = (answers.place, answers.target, answers.quality, answers.weight)
    rows = [row for row in zip(*(column.tolist() for column in columns), strict=True) if row[3]]
    assert len({place for place, *_ in rows}) == len(rows)
    return {divmod(place, points): (target, quality) for place, target, quality, _ in rows}


def expected(name: str, kind: str, maps: list[Tensor], targets: Tensor) -> Found:
    height, width = (side * STRIDES[0] for side in maps[0].shape[2:4])
    slow: Found = {}
    for image in range(len(maps[0])):
        points = points_of(maps, STRIDES, image, kind)
        for index, (thing, quality) in SLOW[name](points, things_of(targets, image, width, height)).items():
            slow[image, index] = thing.row, quality
    return slow


def assert_is_the_slow_one(name: str, kind: str, maps: list[Tensor], targets: Tensor) -> Found:
    slow, assigner = expected(name, kind, maps, targets), ASSIGNERS[name]
    variants = [assigner]
    if isinstance(assigner, SimotaAssigner | TaskAlignedAssigner):
        variants += [replace(assigner, compact=compact, chunk=chunk) for compact, chunk in ((True, 1), (False, 3000))]
    for variant in variants:
        fast = found(variant, kind, maps, targets)
        assert {place: target for place, (target, _) in fast.items()} == {
            place: target for place, (target, _) in slow.items()
        }
        for place, (_, quality) in slow.items():
            assert fast[place][1] == pytest.approx(quality, rel=1e-4, abs=1e-6)
    return slow


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize(("count", "batch", "classes"), [(0, 2, 3), (1, 1, 1), (9, 3, 4), (40, 2, 2)])
def test_random_batches(name: str, kind: str, count: int, batch: int, classes: int) -> None:
    maps = random_point_maps(kind, 128, batch, classes, seed=count)
    assert_is_the_slow_one(name, kind, maps, random_targets(count, batch, classes, seed=count))


CASES: dict[str, list[list[float]]] = {
    "images without objects between others": [[1, 0, 0.3, 0.3, 0.2, 0.2], [4, 1, 0.6, 0.6, 0.3, 0.2]],
    "images out of order": [[4, 0, 0.3, 0.3, 0.2, 0.2], [0, 1, 0.6, 0.6, 0.3, 0.2], [4, 1, 0.3, 0.3, 0.3, 0.2]],
    "middles on the borders": [[0, 0, x, y, 0.2, 0.3] for x in (0, 1) for y in (0, 1)],
    "sides through points": [[0, 0, 0.5, 0.5, 0.125, 0.1875], [0, 1, 0.5625, 0.5625, 0.25, 0.25]],
    "the same object many times": [[0, 0, 0.41, 0.4, 0.2, 0.2]] * 7,
    "one box of two classes": [[0, 0, 0.41, 0.4, 0.2, 0.2], [0, 1, 0.41, 0.4, 0.2, 0.2]],
    "tiny objects": [[0, 0, 0.3, 0.31, 0.002, 0.002], [0, 1, 0.7, 0.71, 0.005, 0.3]],
    "objects larger than the image": [[0, 1, 0.51, 0.52, 1.4, 1.2], [0, 1, 0.48, 0.5, 0.9, 0.9]],
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("case", CASES)
def test_awkward_objects(name: str, kind: str, case: str) -> None:
    maps = random_point_maps(kind, 64, 5, 2, seed=3)
    assert_is_the_slow_one(name, kind, maps, torch.tensor(CASES[case]))


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("kind", HEADS)
def test_more_objects_than_points(name: str, kind: str) -> None:
    targets = random_targets(100, 1, 3, seed=6)
    assert assert_is_the_slow_one(name, kind, random_point_maps(kind, 64, 1, 3, seed=6), targets)


@pytest.mark.parametrize("name", SLOW)
def test_an_input_that_is_not_square(name: str) -> None:
    maps = [level[:, :, : level.shape[2] // 2] for level in random_point_maps("et", 128, 2, 3, seed=5)]
    assert_is_the_slow_one(name, "et", maps, random_targets(12, 2, 3, seed=5))


@pytest.mark.parametrize("name", SLOW)
def test_predictions_that_are_right_already(name: str) -> None:
    """Every point predicts its object: SimOTA takes ten, the task-aligned rule thirteen, all of quality 1."""
    targets = torch.tensor([[0, 0, 0.4375, 0.4375, 0.5, 0.5]])
    maps = [torch.full((1, 1, 128 // s, 128 // s, 6), 5.0) for s in STRIDES]
    for level, stride in zip(maps, STRIDES, strict=True):
        for row in range(128 // stride):
            for column in range(128 // stride):
                level[0, 0, row, column, :2] = 56 / stride - torch.tensor([column, row])
        level[..., 2:4] = torch.tensor(64 / stride).log()
    answers = found(ASSIGNERS[name], "decoupled", maps, targets)
    if name != "atss":  # just below ten whole ones, rounding being what it is
        assert len(answers) in {"simota": (9, 10), "task-aligned": (13,)}[name]
    assert all(quality == pytest.approx(1, abs=1e-4) for _, quality in answers.values())


@pytest.mark.parametrize("name", SLOW)
@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(0, 12), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_an_image_is_assigned_as_if_it_were_alone(name: str, counts: list[int], seed: int) -> None:
    maps = random_point_maps("et", 64, len(counts), 2, seed)
    targets = random_targets(sum(counts), 1, 2, seed)
    targets[:, 0] = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    together = found(ASSIGNERS[name], "et", maps, targets)
    for image in range(len(counts)):
        rows = (targets[:, 0] == image).nonzero().flatten()
        own = targets[rows].clone()
        own[:, 0] = 0
        alone = found(ASSIGNERS[name], "et", [level[image : image + 1] for level in maps], own)
        ours = {point: answer for (of, point), answer in together.items() if of == image}
        assert {point: target for point, (target, _) in ours.items()} == {
            point: int(rows[target]) for (_, point), (target, _) in alone.items()
        }
        for (_, point), (_, quality) in alone.items():
            assert ours[point][1] == pytest.approx(quality, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("assigner", [SimotaAssigner(chunk=2**15), TaskAlignedAssigner(chunk=2**15)])
def test_memory_is_that_of_the_candidates_and_a_chunk(assigner: PointAssigner) -> None:
    objects, classes = 300, 4
    maps = [level.detach() for level in random_point_maps("decoupled", 256, 1, classes, seed=2)]
    targets = random_targets(objects, 1, classes, seed=2)
    points = sum(level.shape[2] * level.shape[3] for level in maps)
    with Largest() as largest:
        answers_of(assigner, "decoupled", maps, targets)
    assert largest.numbers <= 2 * max(2**15, (points + 1) * (5 + classes))
    assert largest.numbers < objects * points / 4
