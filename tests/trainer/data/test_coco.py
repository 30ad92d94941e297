"""COCO JSON becomes records, and each mistake in it one message."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.trainer.data.sources import open_dataset
from PIL import Image

Document = dict[str, list[dict[str, Any]]]


def document() -> Document:
    """Two images, two classes whose ids have a gap, three annotations."""
    return {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 60, "height": 40},
            {"id": 3, "file_name": "b.jpg", "width": 60, "height": 40},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 90, "bbox": [10, 5, 20, 30], "area": 450.5, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0.5, 1.5, 4, 2]},
            {"id": 3, "image_id": 7, "category_id": 1, "bbox": [0, 0, 60, 40], "area": 2000, "iscrowd": 1},
        ],
        "categories": [{"id": 90, "name": "brush"}, {"id": 1, "name": "person"}],
    }


def write(root: Path, text: str | Document, *, images: str = "images", split: str = "train") -> Path:
    for name in ("a.jpg", "b.jpg"):
        (root / images).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(root / images / name)
    file = root / "annotations" / f"instances_{split}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text if isinstance(text, str) else json.dumps(text))
    return file


def test_an_image_has_its_boxes_classes_crowds_and_areas(tmp_path: Path) -> None:
    write(tmp_path, document())
    dataset = open_dataset(tmp_path)
    assert (dataset.classes, dataset.category_ids) == (("person", "brush"), (1, 90))
    first, second = dataset.split("train").images
    assert (first.image_id, first.width, first.height, first.path.name) == (7, 60, 40, "a.jpg")
    np.testing.assert_array_equal(first.boxes, [[10, 5, 30, 35], [0.5, 1.5, 4.5, 3.5], [0, 0, 60, 40]])
    assert first.labels.tolist() == [1, 0, 0]
    assert first.crowd.tolist() == [False, False, True]
    assert first.area.tolist() == [450.5, 8, 2000]  # as stated; that of the box where nothing is
    assert second.boxes.shape == (0, 4)
    assert (first.boxes.dtype, first.labels.dtype, first.area.dtype) == (np.float32, np.int64, np.float32)
    assert (second.boxes.dtype, second.labels.dtype, second.crowd.dtype) == (np.float32, np.int64, bool)


@pytest.mark.parametrize("images", ["images", "images/train", "train", "images/train2017", "train2017", "."])
def test_images_are_found_in_every_usual_place(tmp_path: Path, images: str) -> None:
    write(tmp_path, document(), images=images, split="train2017")
    record = open_dataset(tmp_path).split("train").images[0]
    assert record.path.resolve() == (tmp_path / images / "a.jpg").resolve()


def test_a_missing_image_lists_every_place_looked_at(tmp_path: Path) -> None:
    write(tmp_path, document())
    (tmp_path / "images" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"instances_train\.json: image 3: no such file: ") as caught:
        open_dataset(tmp_path)
    for place in ("images", "images/train", "train"):
        assert str(tmp_path / place / "b.jpg") in str(caught.value)


def test_the_file_itself_is_one_split_and_its_folder_all_of_them(tmp_path: Path) -> None:
    file = write(tmp_path, document(), split="val")
    write(tmp_path, document(), split="train")
    assert list(open_dataset(file).splits) == ["val"]
    for folder in (tmp_path, tmp_path / "annotations"):
        assert list(open_dataset(folder).splits) == ["train", "val"]
    with pytest.raises(InputError, match=r"there is no split 'test' in this data set; known: train, val"):
        open_dataset(tmp_path).split("test")


def test_a_box_is_clipped_within_a_pixel_of_its_image_and_one_without_area_left_out(tmp_path: Path) -> None:
    edited = document()
    edited["annotations"][0]["bbox"] = [-0.9, 5, 61.5, 30]  # 0.9 px out to the left, 0.6 to the right
    edited["annotations"][1]["bbox"] = [5, 5, 0, 3]
    write(tmp_path, edited)
    record = open_dataset(tmp_path).split("train").images[0]
    np.testing.assert_array_equal(record.boxes, [[0, 5, 60, 35], [0, 0, 60, 40]])
    assert record.labels.tolist() == [1, 0]


def annotation(**change: Any) -> Callable[[Document], None]:
    return lambda edited: edited["annotations"][1].update(change)


def image(**change: Any) -> Callable[[Document], None]:
    return lambda edited: edited["images"][1].update(change)


def category(**change: Any) -> Callable[[Document], None]:
    return lambda edited: edited["categories"][1].update(change)


def without(part: str, key: str) -> Callable[[Document], Any]:
    return lambda edited: edited[part][1].pop(key)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda edited: edited.pop("annotations"), r"not COCO detection JSON: 'annotations' must be a list"),
        (lambda edited: edited.update(images=[]), r"instances_train\.json: the split has no images; add some"),
        (lambda edited: edited.update(categories=[]), r"'categories' is empty; list each class"),
        (without("images", "width"), r"images\[1\]: 'width' is missing"),
        (without("annotations", "image_id"), r"annotation 2: 'image_id' is missing"),
        (without("annotations", "bbox"), r"annotation 2: 'bbox' is missing"),
        (without("categories", "name"), r"categories\[1\]: needs a whole number as 'id' and a text as 'name'"),
        (image(id=7), r"images\[1\]: image id 7 stands twice; give each image an id of its own"),
        (image(id="b"), r"images\[1\]: needs a whole number as 'id'"),
        (image(height=0), r"images\[1\]: 'width' and 'height' must be whole numbers of pixels above 0"),
        (category(id=90), r"categories\[1\]: category id 90 stands twice"),
        (category(name="brush"), r"categories\[1\]: the name 'brush' stands for two category ids"),
        (annotation(image_id=8), r"annotation 2: there is no image with the id 8; add it, or correct 'image_id'"),
        (annotation(category_id=2), r"annotation 2: there is no category with the id 2; .*\(known ids: 1, 90\)"),
        (annotation(category_id=[1]), r"annotation 2: there is no category with the id \[1\]"),
        (annotation(bbox=[1, 2, 3]), r"annotation 2: 'bbox' must be four numbers: x, y, width, height"),
        (annotation(bbox=[1, 2, float("nan"), 3]), r"annotation 2: the box .* has a coordinate that is no finite"),
        (annotation(bbox=[9, 2, -3, 3]), r"annotation 2: the box x 9 to 6, y 2 to 5 px has a negative width or height"),
        (annotation(bbox=[30, 2, 32, 3]), r"annotation 2: .* reaches 2 px out of its image, which is 60 x 40 px"),
        (annotation(bbox=[1, 2, 10**400, 3]), r"annotation 2: 'bbox' must be four numbers"),
        (annotation(area=-1), r"annotation 2: 'area' must be a number of square pixels from 0, not -1"),
    ],
)
def test_a_mistake_has_a_message_with_its_place(
    tmp_path: Path, break_it: Callable[[Document], Any], message: str
) -> None:
    edited = document()
    break_it(edited)
    write(tmp_path, edited)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', r"instances_train\.json:1:13: not valid JSON"),
        ("[]", r"instances_train\.json: not COCO detection JSON: 'images' must be a list of objects"),
        ("[" * 100_000, r"instances_train\.json: not COCO detection JSON"),
        ('{"images": ' + "9" * 5000 + "}", r"instances_train\.json: not COCO detection JSON"),
    ],
)
def test_a_file_that_is_no_coco_json_is_named(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)


def test_a_category_has_one_name_in_all_splits(tmp_path: Path) -> None:
    edited = document()
    edited["categories"][0]["name"] = "broom"
    write(tmp_path, document(), split="train")
    write(tmp_path, edited, split="val")
    with pytest.raises(InputError, match=r"instances_val\.json: .*category 90 is 'broom' here and 'brush' in another"):
        open_dataset(tmp_path)


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path, document(), split="val2014")
    write(tmp_path, document(), split="val2017")
    with pytest.raises(InputError, match=r"instances_val2017\.json: a second file for the split 'val', beside"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"there is no such file or folder; name a data\.yaml, COCO JSON"),
        (lambda path: path.mkdir(), r"neither data\.yaml nor annotations/instances_<split>\.json is in this folder"),
        (lambda path: path.write_text(""), r"not a data set; name a data\.yaml"),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path / "data")
