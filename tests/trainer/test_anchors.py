"""Anchors: how many objects find one, by the assigner's own rule; and better ones where too few do."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import catscale
import numpy as np
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.scaler.architecture import Architecture
from catscale.trainer.anchors import Recall, fit_anchors, object_sizes, recall, settle_anchors
from catscale.trainer.assigners import Head, candidates
from catscale.trainer.data.records import ImageRecord, Split
from catscale.trainer.recipe import load_recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

CommandLine = Callable[..., "CompletedProcess[str]"]
TINY = catscale.load("yolov7-tiny")
NINE = [(8, 20), (20, 8), (25, 25), (30, 90), (90, 30), (100, 100), (90, 300), (300, 90), (320, 320)]  # px, by area


def split_of(sizes: np.ndarray, side_px: int = 640, crowd: bool = False) -> Split:
    """One image, longer side across, with a box of each size in its corner."""
    boxes = np.concatenate([np.zeros_like(sizes), sizes], axis=1).astype(np.float32)
    crowds = np.zeros(len(sizes), dtype=bool)
    crowds[:1] = crowd
    labels = np.zeros(len(sizes), dtype=np.int64)
    return Split(
        "train", (ImageRecord(Path("a"), side_px, side_px // 2, 1, boxes, labels, crowds, sizes.prod(axis=1)),)
    )


def log_uniform(count: int, low: float, high: float, seed: int = 0) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).uniform(np.log(low), np.log(high), (count, 2)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), anchor_t=st.sampled_from([1.5, 2.91, 4.0]))
def test_an_object_is_found_where_the_assigner_has_a_candidate_for_it(seed: int, anchor_t: float) -> None:
    sizes = log_uniform(40, 2, 640, seed)
    head = Head.of(TINY)
    targets = torch.tensor([[0, 0, 0.5, 0.5, *size] for size in sizes / 640], dtype=torch.float32)
    found, places = set(), 0
    for anchors, stride in zip(head.anchors, head.strides, strict=True):
        grid = (640 // stride, 640 // stride)
        positives = candidates(targets, anchors, grid, anchor_t=anchor_t, reach=0.5)
        pairs = set(zip(positives.target.tolist(), positives.anchor.tolist(), strict=True))
        found |= {target for target, _ in pairs}
        places += len(pairs)
    measured = recall(sizes, TINY.anchors, anchor_t)
    assert measured.found == pytest.approx(len(found) / 40)
    assert measured.anchors_per_object == pytest.approx(places / 40)


@pytest.mark.parametrize(
    ("size", "expected"),
    [  # beside anchors of 10 x 10 and 100 x 100 px: the worse ratio of sides, by hand
        ((10, 10), Recall(1, 1, 1)),
        ((10, 20), Recall(1, 0.5, 1)),
        ((5, 20), Recall(1, 0.5, 1)),
        ((39, 26), Recall(1, 0.26, 2)),
        ((2, 10), Recall(0, 0.2, 0)),
        ((40.1, 10), Recall(0, 10 / 40.1, 0)),
    ],
)
def test_the_worse_ratio_of_sides_decides(size: tuple[float, float], expected: Recall) -> None:
    measured = recall(np.array([size], dtype=float), (((10, 10),), ((100, 100),)), 4.0)
    values = (measured.found, measured.ratio, measured.anchors_per_object)
    assert values == pytest.approx((expected.found, expected.ratio, expected.anchors_per_object), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_as_many_sizes_as_anchors_are_found_exactly_and_in_order(seed: int) -> None:
    sizes = np.array(NINE * 20, dtype=float)
    fitted = fit_anchors(TINY, sizes, anchor_t=4.0, seed=seed)
    anchors = [anchor for level in fitted.arch.anchors for anchor in level]
    areas = [width * height for width, height in anchors]
    assert (sorted(anchors), areas) == (sorted(NINE), sorted(areas))
    assert [len(level) for level in fitted.arch.anchors] == [3, 3, 3]
    assert fitted.after == recall(sizes, fitted.arch.anchors, 4.0)
    assert fitted.after.ratio == pytest.approx(1)


@pytest.mark.parametrize(("low", "high"), [(2, 12), (8, 640), (300, 640)])
def test_fitted_anchors_are_found_by_more_objects_and_nearer_to_them(low: float, high: float) -> None:
    sizes = log_uniform(20_000, low, high)
    fitted = fit_anchors(TINY, sizes, anchor_t=4.0, seed=0)
    assert fitted.before == recall(sizes, TINY.anchors, 4.0)
    assert fitted.after.found >= 0.98
    assert fitted.after.ratio > fitted.before.ratio + 0.02


def test_a_seed_gives_the_same_anchors_again_and_another_seed_others() -> None:
    fitted = [fit_anchors(TINY, log_uniform(300, 8, 640), anchor_t=4.0, seed=seed) for seed in (0, 0, 1)]
    assert fitted[0] == fitted[1] != fitted[2]


def test_the_sizes_of_other_detectors_fit_too_and_few_objects_do_not_fail() -> None:
    p6 = catscale.load("yolov7-w6")
    assert [len(level) for level in fit_anchors(p6, log_uniform(99, 9, 99), anchor_t=4.0, seed=0).arch.anchors] == [
        3
    ] * 4
    for sizes in ([[30.0, 40.0]], [[0.5, 0.1]], [[1e-9, 640.0]]):
        anchors = fit_anchors(TINY, np.array(sizes), anchor_t=4.0, seed=0).arch.anchors
        assert all(side >= 2 for level in anchors for anchor in level for side in anchor)


def settle(sizes: np.ndarray, wanted: object = "auto") -> Architecture:
    recipe = load_recipe("p5", {"anchors": wanted})
    return settle_anchors(TINY, split_of(sizes), recipe.anchors, size_px=640, anchor_t=4.0, seed=0).arch


def test_auto_changes_anchors_only_where_too_few_objects_find_one() -> None:
    fits, thin = np.array([[30.0, 30.0]]), np.array([[3.0, 300.0]])
    assert settle(np.repeat(fits, 50, axis=0)) is TINY
    assert settle(np.concatenate([np.repeat(fits, 98, axis=0), np.repeat(thin, 2, axis=0)])) is TINY  # 98 %
    changed = settle(np.concatenate([np.repeat(fits, 97, axis=0), np.repeat(thin, 3, axis=0)]))
    assert (3.0, 300.0) in [anchor for level in changed.anchors for anchor in level]
    assert changed.replace(anchors=TINY.anchors) == TINY
    assert settle(np.repeat(thin, 50, axis=0), "keep") is TINY


def test_auto_keeps_the_anchors_where_fitted_ones_are_found_by_no_more() -> None:
    none_can = np.array([[0.1, 0.1], [640.0, 0.01]])  # anchors are no smaller than 2 px
    assert settle(none_can) is TINY


def test_given_anchors_are_taken() -> None:
    given_ = [[1, 2, 3, 4], [5, 6], [7, 8, 9, 10, 11, 12]]
    assert settle(np.array([[30.0, 30.0]]), given_).anchors == (
        ((1, 2), (3, 4)),
        ((5, 6),),
        ((7, 8), (9, 10), (11, 12)),
    )


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([[1, 2], [3, 4]], r"yolov7-tiny: anchors: 2 levels of anchors for 3 levels of the pyramid"),
        ([[1, 2, 3], [3, 4], [5, 6]], r"yolov7-tiny: anchors: \[1\.0, 2\.0, 3\.0\] is no list of widths and heights"),
        ([[1, -2], [3, 4], [5, 6]], r"yolov7-tiny: anchors: \[1\.0, -2\.0\] is no list of widths"),
        ("automatic", r"p5\.yaml with overrides: anchors: give auto, keep, or for each level its widths"),
        ([10, 13, 16, 30], r"anchors: give auto, keep, or for each level its widths"),
        ([[10, "x"]], r"anchors: give auto, keep"),
    ],
)
def test_anchors_of_the_wrong_count_or_kind_are_refused(wanted: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        settle(np.array([[30.0, 30.0]]), wanted)
    assert "literal" not in str(caught.value)


def test_sizes_are_those_in_the_input_without_crowds() -> None:
    sizes = np.array([[100.0, 50.0], [64.0, 32.0]])
    np.testing.assert_allclose(object_sizes(split_of(sizes, side_px=1280), 320), sizes / 4)
    np.testing.assert_allclose(object_sizes(split_of(sizes, crowd=True), 640), sizes[1:])
    with pytest.raises(InputError, match=r"anchors: split 'train' has no objects"):
        object_sizes(split_of(np.empty((0, 2))), 640)


def test_the_verb_shows_recall_before_and_after_and_writes_the_architecture(tmp_path: Path, cli: CommandLine) -> None:
    boxes = "".join(f"0 0.5 0.5 {0.002 * n:.3f} {0.01 * n:.2f}\n" for n in range(2, 60))
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    Image.new("RGB", (320, 320)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text(boxes)
    (tmp_path / "data.yaml").write_text("train: images\nnames: [thin]\n")
    place = ["data", "anchors", tmp_path, "--arch", "yolov7-tiny", "--size", 320]
    done = cli(*place, "-o", tmp_path / "mine.yaml", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["before"]["found"] < said["after"]["found"] == 1
    mine = catscale.load(str(tmp_path / "mine.yaml"))
    assert [[side for anchor in level for side in anchor] for level in mine.anchors] == said["anchors"]
    assert mine.replace(anchors=TINY.anchors) == TINY
