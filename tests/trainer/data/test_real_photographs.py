"""Real sets, written in two formats by others, read as their own counts say."""

from pathlib import Path

import numpy as np
import pytest
from catscale.trainer.data.check import check_dataset
from catscale.trainer.data.convert import convert
from catscale.trainer.data.sources import open_dataset

pytestmark = pytest.mark.realdata

COUNTS = {  # images and boxes, from the README of each set
    "bccd": {"train": (205, 2804), "val": (87, 1137), "test": (72, 945)},
    "chess": {"train": (202, 2107), "val": (58, 386), "test": (29, 376)},
}


@pytest.mark.parametrize("name", COUNTS)
def test_both_formats_agree_box_for_box(real_data: Path, name: str) -> None:
    yolo, coco = open_dataset(real_data / name), open_dataset(real_data / name / "annotations")
    assert yolo.classes == coco.classes
    for split, (images, boxes) in COUNTS[name].items():
        records = {record.path.name: record for record in coco.split(split).images}
        assert len(yolo.split(split).images) == len(records) == images
        assert sum(len(record.boxes) for record in records.values()) == boxes
        for record in yolo.split(split).images:
            other = records[record.path.name]
            assert (record.width, record.height) == (other.width, other.height)
            ours, theirs = (np.lexsort([*np.round(r.boxes).T, r.labels]) for r in (record, other))
            assert record.labels[ours].tolist() == other.labels[theirs].tolist()
            np.testing.assert_allclose(record.boxes[ours], other.boxes[theirs], atol=0.01)


def test_bccd_passes_the_check_with_the_counts_of_its_readme(real_data: Path) -> None:
    check = check_dataset(real_data / "bccd" / "annotations")
    assert check.problems == ()
    assert check.notes == {}
    train = check.splits["train"]
    assert train.per_class == {"RBC": 2381, "WBC": 214, "Platelets": 209}
    assert (train.small, train.medium, train.large) == (23, 855, 1926)


@pytest.mark.parametrize("name", COUNTS)
def test_voc_made_of_yolo_is_the_coco_set(real_data: Path, tmp_path: Path, name: str) -> None:
    convert(open_dataset(real_data / name), tmp_path / "voc", "voc")
    voc, coco = open_dataset(tmp_path / "voc"), open_dataset(real_data / name / "annotations")
    for split in COUNTS[name]:
        boxes = {record.path.name: record.boxes for record in coco.split(split).images}
        for record in voc.split(split).images:
            ours, theirs = (found[np.lexsort(np.round(found).T)] for found in (record.boxes, boxes[record.path.name]))
            np.testing.assert_allclose(ours, theirs, atol=0.01)
