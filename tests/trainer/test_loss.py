"""The loss against a slow one: plain loops over images, levels, anchors and targets, written from the description."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.trainer.assigners import Head, Positives, SimpleAssigner, candidates
from catscale.trainer.loss import Loss, last_written, level_weights
from catscale.trainer.recipe import Recipe, load_recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

Place = tuple[int, int, int, int, int]  # image, anchor, row, column, target

P5_ANCHORS = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)
P6_ANCHORS = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
TWO_LEVELS = (((10, 10), (30, 15)), ((60, 60), (90, 200)))
HEADS = {
    "p5": (P5_ANCHORS, (8, 16, 32)),
    "p6": (P6_ANCHORS, (8, 16, 32, 64)),
    "two levels of two anchors": (TWO_LEVELS, (8, 16)),
}


def slow_candidates(
    targets: list[list[float]], anchors: Sequence[tuple[float, float]], stride: int, grid: tuple[int, int], reach: float
) -> list[Place]:
    """Cells that answer for each target on one level, in the order of emission; anchors in pixels."""
    columns, rows = grid
    places: list[Place] = []
    for shift in range(5):
        for index, anchor in enumerate(anchors):
            for number, (image, _, x, y, w, h) in enumerate(targets):
                x, y, w, h = x * columns, y * rows, w * columns, h * rows
                wide, high = anchor[0] / stride, anchor[1] / stride
                if not w or not h or max(w / wide, wide / w, h / high, high / h) >= 4.0:
                    continue
                moved = [
                    (True, x, y),
                    (math.modf(x)[0] < reach and x > 1, x - reach, y),
                    (math.modf(y)[0] < reach and y > 1, x, y - reach),
                    (math.modf(columns - x)[0] < reach and columns - x > 1, x + reach, y),
                    (math.modf(rows - y)[0] < reach and rows - y > 1, x, y + reach),
                ]
                answers, column, row = moved[shift]
                if answers:
                    column, row = min(max(int(column), 0), columns - 1), min(max(int(row), 0), rows - 1)
                    places.append((int(image), index, row, column, number))
    return places


def slow_ciou(box: Sequence[float], other: Sequence[float], eps: float = 1e-7) -> float:
    (x1, y1, w1, h1), (x2, y2, w2, h2) = box, other

    def overlap(low: float, high: float, other_low: float, other_high: float) -> float:
        return max(min(high, other_high) - max(low, other_low), 0)

    def span(low: float, high: float, other_low: float, other_high: float) -> float:
        return max(high, other_high) - min(low, other_low)

    across = (x1 - w1 / 2, x1 + w1 / 2, x2 - w2 / 2, x2 + w2 / 2)
    down = (y1 - h1 / 2, y1 + h1 / 2, y2 - h2 / 2, y2 + h2 / 2)
    h1, h2 = h1 + eps, h2 + eps
    inner = overlap(*across) * overlap(*down)
    iou = inner / (w1 * h1 + w2 * h2 - inner + eps)
    v = 4 / math.pi**2 * (math.atan(w2 / (h2 + eps)) - math.atan(w1 / (h1 + eps))) ** 2
    diagonal = span(*across) ** 2 + span(*down) ** 2 + eps
    return iou - ((x1 - x2) ** 2 + (y1 - y2) ** 2) / diagonal - v / (v - iou + 1 + eps) * v


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def cross_entropy(logit: float, wanted: float) -> float:
    return max(logit, 0) - logit * wanted + math.log1p(math.exp(-abs(logit)))


def slow_terms(
    maps: list[Any], targets: list[list[float]], head: tuple[Any, Any], classes: int, smoothing: float
) -> tuple[float, float, float]:
    """Box, objectness and class terms before their gains; maps are nested lists."""
    anchors, strides = head
    weights = {3: (4.0, 1.0, 0.4)}.get(len(strides), (4.0, 1.0, 0.25, 0.06, 0.02))
    box = obj = cls = 0.0
    for level, maps_of_level in enumerate(maps):
        rows, columns = len(maps_of_level[0][0]), len(maps_of_level[0][0][0])
        places = slow_candidates(targets, anchors[level], strides[level], (columns, rows), 0.5)
        wanted: dict[tuple[int, int, int, int], float] = {}
        box_of_level = cls_of_level = 0.0
        for image, anchor, row, column, number in places:
            logits = maps_of_level[image][anchor][row][column]
            x, y, w, h = (2 * sigmoid(value) for value in logits[:4])
            wide, high = (side / strides[level] for side in anchors[level][anchor])
            _, label, tx, ty, tw, th = targets[number]
            found = (x - 0.5, y - 0.5, w**2 * wide, h**2 * high)
            overlap = slow_ciou(found, (tx * columns - column, ty * rows - row, tw * columns, th * rows))
            box_of_level += 1 - overlap
            wanted[image, anchor, row, column] = max(overlap, 0)
            for kind in range(classes):
                hit = 1 - smoothing / 2 if kind == int(label) else smoothing / 2
                cls_of_level += cross_entropy(logits[5 + kind], hit)
        if places:
            box += box_of_level / len(places)
            cls += cls_of_level / len(places) / classes if classes > 1 else 0
        cells = [
            cross_entropy(logits[4], wanted.get((image, anchor, row, column), 0.0))
            for image, kinds in enumerate(maps_of_level)
            for anchor, grid in enumerate(kinds)
            for row, line in enumerate(grid)
            for column, logits in enumerate(line)
        ]
        obj += weights[level] * sum(cells) / len(cells)
    return box, obj, cls


def random_maps(head: str, size_px: int, batch: int, classes: int, seed: int) -> list[Tensor]:
    anchors, strides = HEADS[head]
    random = torch.Generator().manual_seed(seed)
    shapes = [(batch, len(a), size_px // s, size_px // s, 5 + classes) for a, s in zip(anchors, strides, strict=True)]
    return [(2 * torch.randn(shape, generator=random)).requires_grad_() for shape in shapes]


def random_targets(count: int, batch: int, classes: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    targets = torch.rand((count, 6), generator=random)
    targets[:, 0] = (targets[:, 0] * batch).floor()
    targets[:, 1] = (targets[:, 1] * classes).floor()
    targets[:, 4:] = 0.01 + targets[:, 4:] ** 2
    return targets


def loss_of(head: str, recipe: Recipe, classes: int, size_px: int) -> Loss:
    return Loss(Head.from_pixels(*HEADS[head]), classes=classes, size_px=size_px, recipe=recipe)


def assert_is_the_slow_one(head: str, targets: Tensor, *, batch: int, classes: int, smoothing: float = 0.0) -> None:
    size_px = 128
    recipe = load_recipe("p5", {"label_smoothing": smoothing})
    maps = random_maps(head, size_px, batch, classes, seed=7)
    parts = loss_of(head, recipe, classes, size_px)({"lead": maps, "aux": []}, targets)

    slow_maps = [level.tolist() for level in maps]
    box, obj, cls = slow_terms(slow_maps, targets.tolist(), HEADS[head], classes, smoothing)
    share = 3 / len(maps)
    box, obj, cls = 0.05 * share * box, 0.7 * share * (size_px / 640) ** 2 * obj, 0.3 * share * classes / 80 * cls
    assert [part.item() for part in parts[1:]] == pytest.approx([box, obj, cls], rel=2e-5, abs=1e-7)
    assert parts.total.item() == pytest.approx(batch * (box + obj + cls), rel=2e-5)

    parts.total.backward()
    gradients = [level.grad for level in maps]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("count", "batch", "classes"), [(0, 2, 3), (1, 1, 1), (9, 3, 4), (150, 2, 2)])
def test_loss_of_random_batches(head: str, count: int, batch: int, classes: int) -> None:
    assert_is_the_slow_one(head, random_targets(count, batch, classes, seed=count), batch=batch, classes=classes)


def test_loss_with_label_smoothing() -> None:
    assert_is_the_slow_one("p5", random_targets(12, 2, 5, seed=3), batch=2, classes=5, smoothing=0.1)


CASES = {
    "centres on the borders": [[0, 0, x, y, 0.2, 0.3] for x in (0, 1) for y in (0, 1)],
    "centres on cell lines": [[0, 1, 0.5, 0.25, 0.2, 0.2], [0, 1, 0.0625, 0.9375, 0.1, 0.1]],
    "the same object twice": [[0, 0, 0.4, 0.4, 0.2, 0.2], [0, 0, 0.4, 0.4, 0.2, 0.2]],
    "objects of two classes and sizes in one cell": [[0, 0, 0.41, 0.4, 0.2, 0.2], [0, 1, 0.4, 0.41, 0.25, 0.15]],
    "objects without width or height": [[0, 0, 0.5, 0.5, 0, 0.2], [0, 1, 0.5, 0.5, 0.2, 0], [0, 1, 0.3, 0.3, 0, 0]],
    "an object that no anchor fits": [[0, 0, 0.5, 0.5, 0.001, 0.9]],
    "an object larger than the image": [[0, 1, 0.5, 0.5, 1.4, 1.2]],
}


@pytest.mark.parametrize("case", CASES)
def test_loss_of_awkward_objects(case: str) -> None:
    assert_is_the_slow_one("p5", torch.tensor(CASES[case], dtype=torch.float32), batch=1, classes=2)


# Multiples of 1/256: exact in float32 and in the reference's float64, so that no cell depends on rounding.
fraction = st.integers(0, 256).map(lambda value: value / 256)
side = st.integers(1, 300).map(lambda value: value / 256)
target = st.tuples(st.integers(0, 1), st.integers(0, 2), fraction, fraction, side, side)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(target, max_size=12),
    level=st.integers(0, 2),
    grid=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    reach=st.sampled_from([0.5, 1.0]),
)
def test_candidates_are_the_slow_ones_in_their_order(
    rows: list[tuple[float, ...]], level: int, grid: tuple[int, int], reach: float
) -> None:
    anchors, stride = P5_ANCHORS[level], (8, 16, 32)[level]
    targets = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    found = candidates(targets, torch.tensor(anchors) / stride, grid, anchor_t=4.0, reach=reach)
    places = torch.stack((found.image, found.anchor, found.row, found.column, found.target), dim=1)
    expected = slow_candidates(targets.tolist(), anchors, stride, grid, reach)
    assert [tuple(place) for place in places.tolist()] == expected


@pytest.mark.parametrize(("reach", "cells"), [(0.5, 3), (1.0, 5)])
def test_an_object_inside_the_map_has_so_many_cells_for_each_anchor(reach: float, cells: int) -> None:
    target = torch.tensor([[0, 0, 0.51, 0.52, 0.1, 0.1]])
    found = candidates(target, torch.tensor([[1.0, 1.0], [30.0, 30.0]]), (10, 10), anchor_t=4.0, reach=reach)
    assert found.anchor.tolist() == [0] * cells  # the second anchor does not fit


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1, width=32)), max_size=20))
def test_the_last_value_written_to_a_cell_counts(writes: list[tuple[int, float]]) -> None:
    cells = torch.tensor([cell for cell, _ in writes], dtype=torch.int64)
    written = last_written(6, cells, torch.tensor([value for _, value in writes], dtype=torch.float32))
    assert written.tolist() == [dict(writes).get(cell, 0.0) for cell in range(6)]


def test_objectness_learns_from_the_overlap_but_does_not_move_the_box() -> None:
    recipe = load_recipe("p5", {"box": 0, "cls": 0})
    maps = random_maps("p5", 128, 2, 3, seed=1)
    loss_of("p5", recipe, 3, 128)({"lead": maps}, random_targets(10, 2, 3, seed=1)).total.backward()
    gradients = [level.grad for level in maps if level.grad is not None]
    assert all(gradient[..., 4].any() for gradient in gradients)
    assert not any(gradient[..., :4].any() for gradient in gradients)


@pytest.mark.parametrize(
    ("head", "size_px", "classes", "recipe", "gains"),
    [  # effective gains of box, objectness and class as the source states them
        ("p5", 640, 80, "p5", (0.05, 0.7, 0.3)),
        ("p5", 640, 80, "tiny", (0.05, 1.0, 0.5)),
        ("p6", 1280, 80, "p6", (0.0375, 2.1, 0.225)),
    ],
)
def test_gains_follow_levels_size_and_classes(
    head: str, size_px: int, classes: int, recipe: str, gains: tuple[float, float, float]
) -> None:
    loss = loss_of(head, load_recipe(recipe), classes, size_px)
    assert (loss.box_gain, loss.obj_gain, loss.cls_gain) == pytest.approx(gains)


def test_auxiliary_maps_add_a_quarter_of_their_own_terms() -> None:
    recipe, targets = load_recipe("p6"), random_targets(10, 2, 3, seed=1)
    lead, aux = (random_maps("p6", 128, 2, 3, seed) for seed in (1, 2))
    loss = loss_of("p6", recipe, 3, 128)
    alone, other = (loss({"lead": maps, "aux": []}, targets).total for maps in (lead, aux))
    both = loss({"lead": lead, "aux": aux}, targets).total
    torch.testing.assert_close(both, alone + 0.25 * other)


def test_auxiliary_heads_may_have_an_assigner_of_their_own_which_sees_the_lead_maps() -> None:
    seen: list[Sequence[Tensor]] = []

    class Coarse:
        def __call__(self, maps: Sequence[Tensor], targets: Tensor, head: Head) -> list[Positives]:
            seen.append(maps)
            return SimpleAssigner(reach=1.0)(maps, targets, head)

    recipe, targets = load_recipe("p6"), random_targets(10, 2, 3, seed=1)
    lead, aux = (random_maps("p6", 128, 2, 3, seed) for seed in (1, 2))
    head = Head.from_pixels(*HEADS["p6"])
    coarse = Loss(head, classes=3, size_px=128, recipe=recipe, assigner=Coarse())
    expected = (
        loss_of("p6", recipe, 3, 128)({"lead": lead}, targets).total + 0.25 * coarse({"lead": aux}, targets).total
    )
    seen.clear()
    mixed = Loss(head, classes=3, size_px=128, recipe=recipe, aux_assigner=Coarse())
    torch.testing.assert_close(mixed({"lead": lead, "aux": aux}, targets).total, expected)
    assert all(level is own for level, own in zip(seen[0], lead, strict=True))


def test_half_precision_maps_give_the_loss_of_their_values() -> None:
    targets = random_targets(10, 2, 3, seed=1)
    maps = [level.detach().half() for level in random_maps("p5", 128, 2, 3, seed=1)]
    loss = loss_of("p5", load_recipe("p5"), 3, 128)
    half = loss({"lead": maps, "aux": []}, targets)
    full = loss({"lead": [level.float() for level in maps], "aux": []}, targets)
    assert half.total.dtype == torch.float32
    torch.testing.assert_close(half.total, full.total)


def test_five_levels_have_weights_and_six_do_not() -> None:
    assert level_weights(5) == (4.0, 1.0, 0.25, 0.06, 0.02)
    with pytest.raises(InputError, match="6 levels cannot be trained: objectness has weights for 5"):
        level_weights(6)
