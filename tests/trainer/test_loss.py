"""The loss against a slow one: plain loops over images, levels, anchors and targets (`slow_loss.py`)."""

import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.trainer.anchor_loss import AnchorLoss, Assignment, last_written, level_weights
from catscale.trainer.assigners import Head, candidates
from catscale.trainer.ota import OtaAssigner
from catscale.trainer.recipe import Recipe, load_recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from .slow_loss import (
    HEADS,
    P5_ANCHORS,
    random_maps,
    random_targets,
    slow_candidates,
    slow_level_candidates,
    slow_ota,
    slow_terms,
)


def loss_of(head: str, recipe: Recipe, classes: int, size_px: int) -> AnchorLoss:
    return AnchorLoss(Head.from_pixels(*HEADS[head]), classes=classes, size_px=size_px, recipe=recipe)


def assert_is_the_slow_one(head: str, targets: Tensor, *, batch: int, classes: int, smoothing: float = 0.0) -> None:
    size_px = 128
    recipe = load_recipe("p5", {"label_smoothing": smoothing, "assigner": "simple"})
    maps = random_maps(head, size_px, batch, classes, seed=7)
    parts = loss_of(head, recipe, classes, size_px)({"lead": maps, "aux": []}, targets)

    slow_maps = [level.tolist() for level in maps]
    places = slow_level_candidates(maps, targets, HEADS[head])
    box, obj, cls = slow_terms(slow_maps, targets.tolist(), HEADS[head], classes, places, smoothing)
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


@pytest.mark.parametrize("constraint", [True, False])
@pytest.mark.parametrize("mode", ["independent", "lead", "coarse-to-fine"])
@pytest.mark.parametrize("assigner", ["simple", "ota"])
def test_auxiliary_heads_learn_what_table_6_and_7_say(assigner: str, mode: str, constraint: bool) -> None:
    """The released loss, term by term: lead at the fine places, a quarter of aux at its own."""
    settings = {"assigner": assigner, "aux_assignment": mode, "aux_constraint": constraint}
    recipe, geometry, targets = load_recipe("p6", settings), HEADS["p6"], random_targets(10, 2, 3, seed=1)
    lead, aux = (random_maps("p6", 128, 2, 3, seed) for seed in (1, 2))
    parts = loss_of("p6", recipe, 3, 128)({"lead": lead, "aux": aux}, targets)

    span = 2.0 if constraint else 3.0
    fine, coarse = (slow_level_candidates(lead, targets, geometry, reach) for reach in (0.5, 1.0))
    aux_places = {"independent": fine, "lead": fine, "coarse-to-fine": coarse}[mode]
    if assigner == "ota":
        places = slow_ota(lead, targets, geometry, fine, top_k=20)
        aux_places = {
            "independent": slow_ota(aux, targets, geometry, fine, top_k=20, span=span),
            "lead": places,
            "coarse-to-fine": slow_ota(lead, targets, geometry, coarse, top_k=20),
        }[mode]
    else:
        places = fine
    rows = targets.tolist()
    lead_terms = slow_terms([level.tolist() for level in lead], rows, geometry, 3, places)
    aux_terms = slow_terms([level.tolist() for level in aux], rows, geometry, 3, aux_places, span=span)
    gains = (0.05 * 3 / 4, 0.7 * 3 / 4 * (128 / 640) ** 2, 0.3 * 3 / 4 * 3 / 80)
    expected = [gain * (term + 0.25 * more) for gain, term, more in zip(gains, lead_terms, aux_terms, strict=True)]
    assert [part.item() for part in parts[1:]] == pytest.approx(expected, rel=2e-5)
    assert parts.total.item() == pytest.approx(2 * sum(expected), rel=2e-5)


@pytest.mark.parametrize(("constraint", "reach"), [(True, (-0.5, 1.5)), (False, (-1.0, 2.0))])
def test_the_constraint_bounds_the_overlap_by_the_distance_from_the_centre(
    constraint: bool, reach: tuple[float, float]
) -> None:
    """An object of 4 x 4 cells at (0.75, 0.75) of its cell, predicted as well as the decoder can from five places.

    From the cells on its left and above, its centre lies at 1.75.
    """
    recipe = load_recipe("p5", {"assigner": "simple", "aux_constraint": constraint, "obj": 0, "cls": 0, "aux": 1})
    loss = AnchorLoss(Head.from_pixels([[(32, 32)]], [8]), classes=1, size_px=128, recipe=recipe)
    targets = torch.tensor([[0, 0, 8.75 / 16, 8.75 / 16, 4 / 16, 4 / 16]])
    lead, aux = torch.zeros(1, 1, 16, 16, 6), torch.zeros(1, 1, 16, 16, 6)
    low, high = reach
    for row, column in ((8, 8), (8, 7), (7, 8), (8, 9), (9, 8)):
        share = (torch.tensor([8.75 - column, 8.75 - row]) - low) / (high - low)
        aux[0, 0, row, column, :2] = share.clamp(1e-6, 1 - 1e-6).logit()
    lost = loss({"lead": [lead], "aux": [aux]}, targets).box - loss({"lead": [lead]}, targets).box
    # 1.75 is a quarter of a cell out of the constrained reach: IoU 15 / 17, less the distance term.
    best = 15 / 17 - 0.25**2 / (4.25**2 + 4**2) if constraint else 1.0
    assert lost.item() / loss.box_gain == pytest.approx(2 / 5 * (1 - best), abs=1e-4)


def test_the_published_recipes_train_as_released() -> None:
    released = {"p5": 10, "tiny": 10, "p6": 20}
    for name, top_k in released.items():
        lead, aux, reads, span = Assignment.of(load_recipe(name))
        assert lead == OtaAssigner(top_k=top_k, anchor_t=4.0, reach=0.5)
        assert aux == OtaAssigner(top_k=top_k, anchor_t=4.0, reach=1.0)
        assert (reads, span) == ("lead", 2.0)


@pytest.mark.parametrize("assigner", ["simple", "ota"])
def test_nothing_waits_for_the_device_of_the_maps(assigner: str) -> None:
    """The meta device holds no numbers: whoever asks it for one, or for a size that depends on one, fails."""
    for mode in ("independent", "lead", "coarse-to-fine"):
        recipe = load_recipe("p6", {"assigner": assigner, "aux_assignment": mode})
        outputs = {
            name: [level.detach().to("meta").requires_grad_() for level in random_maps("p6", 128, 2, 3, seed=1)]
            for name in ("lead", "aux")
        }
        total = loss_of("p6", recipe, 3, 128)(outputs, random_targets(10, 2, 3, seed=1)).total
        total.backward()
        assert total.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["independent", "lead", "coarse-to-fine"])
def test_a_gpu_gives_the_loss_of_the_cpu_without_being_waited_for(mode: str) -> None:
    recipe, targets = load_recipe("p6", {"aux_assignment": mode}), random_targets(60, 2, 3, seed=1)
    maps = {name: [m.detach() for m in random_maps("p6", 128, 2, 3, seed)] for seed, name in enumerate(("lead", "aux"))}
    loss = loss_of("p6", recipe, 3, 128)
    there = {name: [level.cuda() for level in levels] for name, levels in maps.items()}
    loss(there, targets)  # the first call loads kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        parts = loss(there, targets)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close([part.cpu() for part in parts], list(loss(maps, targets)))


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
