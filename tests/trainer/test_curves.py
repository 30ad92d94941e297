"""Curves and confusions: held against pycocotools' precision, and against pictures small enough to count by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from catscale.trainer.curves import CONFIDENCES, curves_of
from catscale.trainer.data.records import Dataset, ImageRecord, Split
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.matching import confusion, match_classes, overlaps
from catscale.trainer.scoring import Found, score
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import from_numpy
from torchvision.ops import box_iou

CLASSES = ("cat", "dog", "owl")


def guesses(dataset: Dataset, split: Split, seed: int) -> list[Found]:
    """Detections as a middling detector makes them: moved, doubled, of another class, of nothing; scores with ties."""
    random = np.random.default_rng(seed)
    found = []
    for image in split.images:
        nowhere = random.uniform(0, 40, (3, 4)) + np.array([0, 0, 40, 40])
        boxes = np.concatenate((image.boxes, image.boxes, nowhere))
        boxes = np.sort((boxes + random.normal(0, 4, boxes.shape)).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        labels = np.concatenate((image.labels, image.labels, random.integers(0, len(dataset.classes), 3)))
        wrong = random.random(len(labels)) < 0.2
        labels = np.where(wrong, random.integers(0, len(dataset.classes), len(labels)), labels)
        found.append(Found(image.image_id, boxes, random.random(len(labels)).round(2), labels))
    return found


def drawn(seed: int) -> tuple[Split, Dataset]:
    random = np.random.default_rng(seed)
    images = []
    for number in range(1, 9):
        count = int(random.integers(0, 7))
        corner = random.uniform(0, 200, (count, 2))
        boxes = np.concatenate((corner, corner + random.uniform(8, 90, (count, 2))), axis=1).astype(np.float32)
        labels, crowd = random.integers(0, 2, count), random.random(count) < 0.15  # no owl anywhere
        area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        images.append(ImageRecord(Path("no.png"), 300, 300, number, boxes, labels, crowd, area))
    split = Split("val", tuple(images))
    return split, Dataset(CLASSES, (3, 1, 2), {"val": split}, "drawn")


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_area_under_each_class_curve_is_pycocotools_ap50(seed: int) -> None:
    split, data = drawn(seed)
    if not any((~image.crowd).any() for image in split.images):
        return
    found = guesses(data, split, seed)
    metrics = score(found, split, data, by_size=False, max_dets=6, scorer="pycocotools")
    curves = curves_of(match_classes(found, split, data, max_dets=6), CLASSES)
    for row, name in enumerate(CLASSES):
        expected = metrics.per_class[name].ap50
        area = curves.precision_at_recall[row].mean()
        assert np.isnan(area) if expected is None else area == pytest.approx(expected, abs=1e-9)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["bccd", "chess"])
def test_hotcoco_gives_pycocotools_figures_on_real_data(name: str, real_data: Path) -> None:
    pytest.importorskip("hotcoco")
    data = open_dataset(real_data / name)
    for split in data.splits.values():
        found = guesses(data, split, seed=len(split.images))
        for max_dets in (100, 3):
            ours, theirs = (
                score(found, split, data, max_dets=max_dets, scorer=scorer).to_json()
                for scorer in ("hotcoco", "pycocotools")
            )
            for one in (ours, theirs):
                del one["seconds"], one["scorer"]
            classes, expected = ours.pop("per_class"), theirs.pop("per_class")
            assert ours == pytest.approx(theirs, abs=1e-12)
            assert 0.1 < ours["ap50"] < 0.99
            for label in data.classes:
                assert classes[label] == pytest.approx(expected[label], abs=1e-12)


@pytest.mark.realdata
def test_curves_agree_with_pycocotools_on_real_data(real_data: Path) -> None:
    data = open_dataset(real_data / "bccd")
    split = data.split("test")
    found = guesses(data, split, seed=1)
    metrics = score(found, split, data, by_size=False, scorer="pycocotools")
    curves = curves_of(match_classes(found, split, data), data.classes)
    areas = curves.precision_at_recall.mean(axis=1)
    assert areas == pytest.approx([row.ap50 for row in metrics.per_class.values()], abs=1e-9)


def small() -> tuple[Split, Dataset]:
    boxes = np.array([[0, 0, 100, 100], [200, 0, 300, 100], [0, 200, 100, 300], [150, 150, 290, 290]], np.float32)
    crowd = np.array([False, False, False, True])
    image = ImageRecord(Path("a.png"), 300, 300, 1, boxes, np.array([0, 1, 0, 0]), crowd, np.full(4, 1e4, np.float32))
    split = Split("val", (image,))
    return split, Dataset(CLASSES, (1, 2, 3), {"val": split}, "small")


FOUND = Found(
    1,
    np.array([[0, 0, 100, 90], [200, 0, 300, 100], [0, 0, 100, 100], [160, 160, 200, 200], [110, 0, 150, 40.0]]),
    np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
    np.array([0, 0, 0, 0, 2]),
)


def test_precision_recall_and_f1_counted_by_hand() -> None:
    split, data = small()
    # Of cat: right at 0.9; a dog at 0.8; the first cat once more at 0.7; a part of a crowd at 0.6. Two cats to find.
    cat, dog, owl = match_classes([FOUND], split, data)
    assert (cat.scores.tolist(), cat.right.tolist(), cat.objects) == ([0.9, 0.8, 0.7], [True, False, False], 2)
    assert (dog.objects, len(dog.scores), owl.objects, owl.right.tolist()) == (1, 0, 0, [False])
    curves = curves_of([cat, dog, owl], CLASSES)
    at = {confidence: int(np.searchsorted(CONFIDENCES, confidence)) for confidence in (0.5, 0.75, 0.85, 0.95)}
    assert curves.precision[0][list(at.values())] == pytest.approx([1 / 3, 1 / 2, 1, 1])
    assert curves.recall[0][list(at.values())] == pytest.approx([1 / 2, 1 / 2, 1 / 2, 0])
    assert curves.f1[0][at[0.85]] == pytest.approx(2 / 3)
    assert np.isnan(curves.f1[2]).all()
    # The mean F1 of cat and dog is best, 1/3, where the cat alone is claimed.
    confidence, f1 = curves.best
    assert (0.8 < confidence <= 0.9, f1) == (True, pytest.approx(1 / 3))
    plain = json.loads(json.dumps(curves.to_json(), allow_nan=False))
    assert plain["precision"][2][0] is None


def test_confusions_counted_by_hand() -> None:
    split, data = small()
    # Rows are found, columns true: cat, dog, owl, nothing. The full box takes the first cat from the surer partial one.
    assert confusion([FOUND], split, data, conf=0.25).tolist() == [
        [1, 1, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 1],
        [1, 0, 0, 0],
    ]
    sure = confusion([FOUND], split, data, conf=0.75)
    assert sure.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_overlaps_are_torchvisions() -> None:
    random = np.random.default_rng(0)
    one, other = np.sort(random.uniform(0, 50, (2, 7, 2, 2)), axis=2).reshape(2, 7, 4)
    assert overlaps(one, other) == pytest.approx(box_iou(from_numpy(one), from_numpy(other)).numpy())
    assert overlaps(one, one + np.array([0, 0, 100, 100]), of_first=True).diagonal() == pytest.approx(1)
