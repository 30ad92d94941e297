"""The suppression by what it keeps."""

import pytest
import torch
from catscale.scaler.suppression import Detections, suppress


def row(x: float, obj: float, *classes: float, y: float = 50.0, side: float = 20.0) -> list[float]:
    return [x, y, side, side, obj, *classes]


def kept(rows: list[list[float]], *, conf: float = 0.1, iou: float = 0.5, **more: int | bool) -> Detections:
    settings = {"max_det": 300, "multi_label": True} | more
    (found,) = suppress(torch.tensor([rows]), conf=conf, iou=iou, **settings)  # pyright: ignore[reportArgumentType]
    return found


def test_of_two_that_overlap_the_weaker_goes_and_scores_are_products() -> None:
    found = kept([row(50, 0.5, 0.8, 0.0), row(52, 0.9, 0.9, 0.0), row(90, 0.5, 0.5, 0.0)])
    assert found.scores.tolist() == pytest.approx([0.81, 0.25])
    assert found.boxes.tolist() == [[42, 40, 62, 60], [80, 40, 100, 60]]


def test_boxes_of_different_classes_do_not_suppress_each_other() -> None:
    assert kept([row(50, 0.9, 0.9, 0.0), row(50, 0.9, 0.0, 0.8)]).labels.tolist() == [0, 1]


@pytest.mark.parametrize(("multi_label", "labels"), [(True, [1, 0]), (False, [1])])
def test_a_box_counts_for_every_class_or_for_its_best(multi_label: bool, labels: list[int]) -> None:
    assert kept([row(50, 1.0, 0.5, 0.8)], multi_label=multi_label).labels.tolist() == labels


@pytest.mark.parametrize(("obj", "cls", "count"), [(0.11, 0.95, 1), (0.11, 0.5, 0), (0.1, 1.0, 0)])
def test_objectness_and_score_must_both_lie_above_the_threshold(obj: float, cls: float, count: int) -> None:
    assert len(kept([row(50, obj, cls, 0.0)]).scores) == count


def test_with_one_class_the_score_is_the_objectness() -> None:
    assert kept([row(50, 0.7, 0.01)]).scores.tolist() == pytest.approx([0.7])


def test_only_the_best_enter_and_only_so_many_are_kept() -> None:
    rows = [row(50.0 * index, 0.2 + 0.01 * index, 1.0, 0.0) for index in range(20)]
    assert kept(rows, max_det=3).scores.tolist() == pytest.approx([0.39, 0.38, 0.37])
    assert len(kept(rows, top_k=5).scores) == 5


def test_images_without_detections_give_empty_ones() -> None:
    found = suppress(torch.zeros((2, 7, 8)), conf=0.1, iou=0.5, max_det=10, multi_label=True)
    assert [(len(each.boxes), len(each.scores), len(each.labels)) for each in found] == [(0, 0, 0)] * 2


def test_half_precision_boxes_beyond_2048_pixels_are_compared_in_single_precision() -> None:
    rows = torch.tensor([[row(4000, 0.9, 0.9, 0.0), row(4030, 0.8, 0.9, 0.0)]]).half()
    (found,) = suppress(rows, conf=0.1, iou=0.5, max_det=10, multi_label=True)
    assert found.boxes.dtype == torch.float32
    assert len(found.boxes) == 2
