"""A data set written in another format is the same data set."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.trainer.data.convert import convert
from catscale.trainer.data.records import Dataset, ImageRecord, Split
from catscale.trainer.data.sources import open_dataset
from PIL import Image
from pycocotools.coco import COCO

CommandLine = Callable[..., "CompletedProcess[str]"]
CLASSES = ("yes", "2", "a <b> & 'c': d", "никто")
FORMATS = ("coco", "yolo", "voc")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two splits with names in common, boxes at odd places, crowds, background, ids with gaps."""
    rng = np.random.default_rng(0)

    def record(path: Path, number: int, boxes: int) -> ImageRecord:
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = (int(side) for side in rng.integers(40, 90, 2))
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        corners = np.sort(rng.random((boxes, 2, 2)), axis=1) * (width, height)
        array = corners.reshape(-1, 4).astype(np.float32)
        area = rng.random(boxes).astype(np.float32) * 100
        crowd = np.arange(boxes) == 1
        return ImageRecord(path, width, height, number, array, rng.integers(0, 4, boxes), crowd, area)

    places = {"train": ("p/a.png", "q/a.png", "q/A.jpg", "p/b c.jpg"), "val": ("p/v.png", "r/a.png")}
    splits = {
        name: Split(name, tuple(record(tmp_path / place, 10 + 3 * i, 3 * i) for i, place in enumerate(files)))
        for name, files in places.items()
    }
    return Dataset(CLASSES, (1, 7, 8, 90), splits, "made")


def same(one: Dataset, other: Dataset, *, crowds: bool = True) -> None:
    assert one.classes == other.classes
    assert list(one.splits) == list(other.splits)
    for name, split in one.splits.items():
        theirs = {record.path.resolve(): record for record in other.split(name).images}
        assert len(theirs) == len(split.images)
        for record in split.images:
            its, kept = theirs[record.path.resolve()], ~record.crowd | crowds
            assert (its.width, its.height) == (record.width, record.height)
            np.testing.assert_allclose(its.boxes, record.boxes[kept], atol=1e-3)
            assert its.labels.tolist() == record.labels[kept].tolist()
            assert its.crowd.tolist() == record.crowd[kept].tolist()


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_a_round_trip_changes_no_box(tmp_path: Path, dataset: Dataset, first: str, second: str) -> None:
    assert convert(dataset, tmp_path / "once", first).images == {"train": 4, "val": 2}
    read = open_dataset(tmp_path / "once")
    same(dataset, read, crowds=first != "yolo")
    convert(read, tmp_path / "twice", second)
    same(dataset, open_dataset(tmp_path / "twice"), crowds="yolo" not in (first, second))


def test_coco_keeps_ids_and_areas_and_others_read_it(
    tmp_path: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(dataset, tmp_path / "coco", "coco")
    again = open_dataset(tmp_path / "coco")
    assert again.category_ids == dataset.category_ids
    theirs = COCO(tmp_path / "coco" / "annotations" / "instances_train.json")
    assert "index created" in capsys.readouterr().out
    for record, its in zip(dataset.split("train").images, again.split("train").images, strict=True):
        assert its.image_id == record.image_id
        np.testing.assert_allclose(its.area, record.area, atol=1e-3)
        rows = theirs.loadAnns(theirs.getAnnIds(imgIds=[record.image_id]))
        x, y, width, height = np.array([row["bbox"] for row in rows]).reshape(-1, 4).T
        np.testing.assert_allclose(np.stack([x, y, x + width, y + height], axis=1), record.boxes, atol=1e-3)
        assert [row["category_id"] for row in rows] == [dataset.category_ids[label] for label in record.labels]


def test_images_with_one_name_get_their_own_and_what_cannot_be_said_is_counted(
    tmp_path: Path, dataset: Dataset
) -> None:
    yolo = convert(dataset, tmp_path / "yolo", "yolo")
    names = sorted(path.name for path in (tmp_path / "yolo" / "images" / "train").iterdir())
    assert names == ["a.png", "b c.jpg", "train_A_2.jpg", "train_a.png"]  # told apart also where case makes none
    assert yolo.renamed == 2
    crowds = sum(int(image.crowd.sum()) for split in dataset.splits.values() for image in split.images)
    assert yolo.left_out == {"crowds": crowds}
    assert crowds > 0
    assert convert(dataset, tmp_path / "voc", "voc").renamed == 3  # one folder for all splits


def test_images_are_linked_unless_copies_are_asked_for(tmp_path: Path, dataset: Dataset) -> None:
    for copy in (False, True):
        folder = tmp_path / f"copy-{copy}"
        convert(dataset, folder, "coco", copy=copy)
        image = folder / "images" / "train" / "a.png"
        assert image.is_symlink() is not copy
        assert image.read_bytes() == dataset.split("train").images[0].path.read_bytes()


@pytest.mark.parametrize(
    ("classes", "split", "to", "message"),
    [
        (CLASSES, "train", "kitti", r"--to kitti: no such format; known: coco, voc, yolo"),
        (CLASSES, "mini", "yolo", r"made: split 'mini': yolo has the splits train, val, test; use coco"),
        (("a\nb", "c", "d", "e"), "train", "voc", r"made: VOC cannot name a class 'a\\nb'; rename it, or use coco"),
        (("background", "c", "d", "e"), "train", "voc", r"made: VOC cannot name a class 'background'"),
    ],
)
def test_what_a_format_cannot_say_is_refused_and_nothing_is_left(
    tmp_path: Path, dataset: Dataset, classes: tuple[str, ...], split: str, to: str, message: str
) -> None:
    splits = {split: Split(split, dataset.split("train").images)}
    with pytest.raises(InputError, match=message):
        convert(Dataset(classes, dataset.category_ids, splits, "made"), tmp_path / "out" / "set", to)
    assert not list((tmp_path / "out").rglob("*"))


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, dataset: Dataset, cli: CommandLine) -> None:
    convert(dataset, tmp_path / "coco", "coco")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    refused = cli("data", "convert", tmp_path / "coco", "-o", tmp_path / "mine", "--to", "yolo")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"error: {tmp_path / 'mine'}: is there and not empty; name a new or empty folder")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    done = cli("data", "convert", tmp_path / "coco", "-o", tmp_path / "yolo", "--to", "yolo", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == {"train": 4, "val": 2}
