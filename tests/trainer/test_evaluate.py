"""Average precision: perfect, empty and hand-made detections, and the way from network pixels to image pixels."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.trainer.data.images import Letterboxed
from catscale.trainer.data.records import Dataset, ImageRecord, Split
from catscale.trainer.evaluate import evaluate
from catscale.trainer.scoring import Found, score, to_coco
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn

CLASSES, CATEGORIES = ("cat", "dog"), (18, 17)


def record(image_id: int, boxes: list[list[float]], labels: list[int], **more: Any) -> ImageRecord:
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    area = (array[:, 2:] - array[:, :2]).prod(axis=1)
    facts = {"path": Path(f"{image_id}.png"), "width": 400, "height": 300, "crowd": np.zeros(len(array), dtype=bool)}
    facts |= {"area": area, **more}
    return ImageRecord(image_id=image_id, boxes=array, labels=np.array(labels, dtype=np.int64), **facts)


def dataset(*images: ImageRecord) -> tuple[Split, Dataset]:
    split = Split("val", images)
    return split, Dataset(CLASSES, CATEGORIES, {"val": split}, "a test")


def found(image_id: int, boxes: list[list[float]], scores: list[float], labels: list[int]) -> Found:
    return Found(
        image_id, np.array(boxes, dtype=np.float64).reshape(-1, 4), np.array(scores), np.array(labels, dtype=int)
    )


CAT, DOG = [10.0, 10.0, 110.0, 60.0], [200.0, 100.0, 260.0, 280.0]


def test_perfect_detections_have_precision_1_whatever_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    split, data = dataset(record(0, [CAT, DOG], [0, 1]), record(7, [], []), record(90, [DOG], [0]))
    truth = [found(0, [CAT, DOG], [0.9, 0.8], [0, 1]), found(7, [], [], []), found(90, [DOG], [0.7], [0])]
    metrics = score(truth, split, data)
    assert (metrics.ap, metrics.ap50, metrics.ap75, metrics.ar) == pytest.approx((1, 1, 1, 1))
    assert {name: row.instances for name, row in metrics.per_class.items()} == {"cat": 2, "dog": 1}
    assert [row.ap for row in metrics.per_class.values()] == pytest.approx([1, 1])
    assert (metrics.ap_small, metrics.ap_medium) == (None, pytest.approx(1))  # nothing small is annotated
    assert metrics.images == 3
    assert capsys.readouterr() == ("", "")


def test_no_detections_at_all_have_precision_0() -> None:
    split, data = dataset(record(1, [CAT], [0]))
    metrics = score([found(1, [], [], [])], split, data)
    assert (metrics.ap, metrics.ap50, metrics.ar) == (0, 0, 0)
    assert metrics.per_class["cat"].ap == 0
    assert metrics.per_class["dog"].ap is None


def test_a_shifted_box_counts_up_to_its_overlap() -> None:
    split, data = dataset(record(1, [[0, 0, 100, 100]], [0]))
    # IoU of 75 / 125 = 0.6: right at the thresholds 0.5, 0.55 and 0.6 of ten.
    metrics = score([found(1, [[0, 25, 100, 125]], [0.9], [0])], split, data)
    assert (metrics.ap50, metrics.ap75) == (pytest.approx(1), 0)
    assert metrics.ap == pytest.approx(0.3)


def test_a_false_positive_above_the_right_one_halves_precision() -> None:
    split, data = dataset(record(1, [CAT], [0]))
    metrics = score([found(1, [DOG, CAT], [0.9, 0.8], [0, 0])], split, data)
    assert metrics.ap == pytest.approx(0.5)


def test_detections_in_a_crowd_are_neither_right_nor_wrong() -> None:
    crowd = {"crowd": np.array([False, True])}
    split, data = dataset(record(1, [CAT, [150, 50, 390, 290]], [0, 0], **crowd))
    metrics = score([found(1, [DOG, CAT], [0.9, 0.8], [0, 0])], split, data)  # one within the crowd, a part of it
    assert metrics.ap == pytest.approx(1)
    assert metrics.per_class["cat"].instances == 1


def test_sizes_follow_the_annotated_area_not_the_box() -> None:
    split, data = dataset(record(1, [CAT], [0], area=np.array([100.0], dtype=np.float32)))
    metrics = score([found(1, [CAT], [0.9], [0])], split, data)
    assert (metrics.ap_small, metrics.ap_medium, metrics.ap_large) == (pytest.approx(1), None, None)


def test_figures_are_those_that_pycocotools_summarises(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    records, guesses = [], []
    for number in range(1, 21):
        corners = random.uniform(0, 250, (8, 2))
        boxes = np.concatenate((corners, corners + random.uniform(5, 140, (8, 2))), axis=1)
        labels = random.integers(0, 2, 8)
        moved = (boxes + random.normal(0, 5, boxes.shape)).clip(0, 400)
        guessed = np.where(random.random(8) < 0.9, labels, 1 - labels)
        records.append(record(number, boxes.tolist(), labels.tolist()))
        guesses.append(found(number, moved.tolist(), random.random(8).tolist(), guessed.tolist()))
    split, data = dataset(*records)
    metrics = score(guesses, split, data)

    truth: Any = COCO()
    images = [{"id": image.image_id} for image in records]
    rows = [
        (image.image_id, *row) for image in records for row in zip(image.boxes, image.labels, image.area, strict=True)
    ]
    truth.dataset = {
        "info": {},
        "images": images,
        "categories": [{"id": number} for number in CATEGORIES],
        "annotations": [
            {
                "id": number,
                "image_id": image_id,
                "category_id": CATEGORIES[label],
                "bbox": [*box[:2], *(box[2:] - box[:2])],
                "area": area,
                "iscrowd": 0,
            }
            for number, (image_id, box, label, area) in enumerate(rows, start=1)
        ],
    }
    truth.createIndex()
    evaluation = COCOeval(
        truth, truth.loadRes([entry for each in guesses for entry in to_coco(each, CATEGORIES)]), "bbox"
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    ours = (metrics.ap, metrics.ap50, metrics.ap75, metrics.ap_small, metrics.ap_medium, metrics.ap_large, metrics.ar)
    assert ours == pytest.approx([*evaluation.stats[:6], evaluation.stats[8]])
    assert 0.2 < metrics.ap < 0.9
    quick = score(guesses, split, data, by_size=False)
    assert (quick.ap, quick.ap50, quick.ap75, quick.ar) == (metrics.ap, metrics.ap50, metrics.ap75, metrics.ar)
    assert quick.per_class == metrics.per_class
    assert quick.ap_small is None


def test_a_split_without_objects_is_refused() -> None:
    split, data = dataset(record(1, [], []))
    with pytest.raises(InputError, match="a test: split 'val' has no objects; average precision needs some"):
        score([found(1, [], [], [])], split, data)


def test_results_are_written_with_the_data_sets_category_ids() -> None:
    assert to_coco(found(5, [DOG], [0.5], [1]), CATEGORIES) == [
        {"image_id": 5, "category_id": 17, "bbox": [200, 100, 60, 180], "score": 0.5}
    ]


class Oracle(nn.Module):
    """Knows the boxes of each image, in pixels of the network's input, by the image's mean colour."""

    def __init__(self, answers: dict[int, Tensor]) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, images: Tensor) -> Tensor:
        middle = images.shape[2] // 2
        return torch.stack([self.answers[round(image[0, middle, middle].item() * 255)] for image in images])


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_boxes_find_their_way_back_through_the_letterbox(tmp_path: Path, batch: int) -> None:
    size_px, answers, records = 160, {}, []
    for number, (width, height) in enumerate([(400, 300), (123, 457), (640, 64)], start=1):
        colour = 50 * number
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (width, height), (colour,) * 3).save(path)
        box = np.array([[0.1 * width, 0.2 * height, 0.9 * width, 0.8 * height]], dtype=np.float32)
        records.append(record(number, box.tolist(), [1], path=path, width=width, height=height))
        left, top, right, bottom = Letterboxed.of(width, height, size_px).place(box)[0]
        answers[colour] = torch.tensor(
            [[(left + right) / 2, (top + bottom) / 2, right - left, bottom - top, 0.9, 0.1, 0.8]], dtype=torch.float32
        )
    split, data = dataset(*records)
    metrics = evaluate(Oracle(answers), split, data, size_px=size_px, batch=batch, conf=0.2)
    assert metrics.ap == pytest.approx(1)
    assert metrics.seconds > 0
    assert math.isclose(metrics.per_class["dog"].ap or 0, 1)
