"""YOLO txt labels become records, and each mistake in them one message."""

from pathlib import Path

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.trainer.data.sources import open_dataset
from PIL import Image

NAMES = "names: [cat, dog]\n"


def put_image(path: Path, size: tuple[int, int] = (100, 50)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def one_image(root: Path, rows: str, yaml: str = f"train: images\n{NAMES}") -> Path:
    put_image(root / "images" / "a.png")
    put(root / "labels" / "a.txt", rows)
    return put(root / "data.yaml", yaml)


def test_a_row_is_centre_and_size_as_shares_of_the_image(tmp_path: Path) -> None:
    dataset = open_dataset(one_image(tmp_path, "1 0.5 0.5 0.2 0.4\n\n0  0.1 0.1\t0.1 0.1\n"))
    assert (dataset.classes, dataset.category_ids) == (("cat", "dog"), (1, 2))
    (record,) = dataset.split("train").images
    assert (record.width, record.height) == (100, 50)
    np.testing.assert_allclose(record.boxes, [[40, 15, 60, 35], [5, 2.5, 15, 7.5]], atol=1e-5)
    assert record.labels.tolist() == [1, 0]
    np.testing.assert_allclose(record.area, [400, 50], rtol=1e-5)
    assert not record.crowd.any()


def test_a_polygon_becomes_its_extent(tmp_path: Path) -> None:
    dataset = open_dataset(one_image(tmp_path, "0 0.3 0.8 0.5 0.2 0.1 0.4\n1 0.5 0.5 1 1"))
    np.testing.assert_allclose(dataset.split("train").images[0].boxes, [[10, 10, 50, 40], [0, 0, 100, 50]], atol=1e-4)


def test_a_repeated_row_counts_once(tmp_path: Path) -> None:
    dataset = open_dataset(one_image(tmp_path, "0 0.5 0.5 0.2 0.4\n0 0.5  0.5 0.2 0.4\n0 0.5 0.5 0.2 0.3"))
    assert len(dataset.split("train").images[0].boxes) == 2


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.png", "labels/a.txt"),
        ("images/train/deep/a.png", "labels/train/deep/a.txt"),
        ("train/images/a.png", "train/labels/a.txt"),
        ("images/set/images/a.png", "images/set/labels/a.txt"),  # the last folder of that name
        ("pictures/a.png", "pictures/a.txt"),
    ],
)
def test_labels_lie_where_the_usual_layouts_have_them(tmp_path: Path, image: str, label: str) -> None:
    put_image(tmp_path / image)
    put(tmp_path / label, "0 0.5 0.5 0.5 0.5")
    put(tmp_path / "data.yaml", f"train: {Path(image).parts[0]}\n{NAMES}")
    (record,) = open_dataset(tmp_path).split("train").images
    assert len(record.boxes) == 1


@pytest.mark.parametrize(
    "yaml",
    [
        f"train: images/train\nval: images/val\n{NAMES}",
        f"path: ..\ntrain: set/images/train\nval: set/images/val\n{NAMES}",
        f"train: lists/train.txt\nval: lists/val.txt\n{NAMES}",
        f"train: [images/train]\nval: [lists/val.txt]\nnc: 2\ndownload: https://example.org\n{NAMES}",
        "train: images/train\nval: images/val\nnames: {1: dog, 0: cat}\n",
    ],
)
def test_splits_are_folders_lists_or_both(tmp_path: Path, yaml: str) -> None:
    root = tmp_path / "set"
    for name in ("train/b", "train/a", "val/c"):
        put_image(root / f"images/{name}.png")
        put(root / f"labels/{name}.txt", "1 0.5 0.5 0.5 0.5")
    put(root / "lists/train.txt", "images/train/b.png\n\n../images/train/a.png\n")  # relative to root and to the list
    put(root / "lists/val.txt", "./../images/val/c.png\n")
    put(root / "data.yaml", yaml)
    dataset = open_dataset(root)
    names = {split: [record.path.name for record in part.images] for split, part in dataset.splits.items()}
    assert names == {"train": ["a.png", "b.png"], "val": ["c.png"]}  # by path, however they are listed
    assert dataset.classes == ("cat", "dog")
    ids = [record.image_id for part in dataset.splits.values() for record in part.images]
    assert ids == [1, 2, 3]


def test_an_image_without_labels_is_background_unless_all_are(tmp_path: Path) -> None:
    file = one_image(tmp_path, "0 0.5 0.5 0.5 0.5")
    put_image(tmp_path / "images" / "b.png")
    assert [len(record.boxes) for record in open_dataset(file).split("train").images] == [1, 0]
    (tmp_path / "labels" / "a.txt").unlink()
    with pytest.raises(
        InputError, match=r"train: none of the 2 images has a label file; .*looked for at .*labels/a\.txt"
    ):
        open_dataset(file)


def test_a_box_is_clipped_within_a_pixel_of_its_image(tmp_path: Path) -> None:
    record = open_dataset(one_image(tmp_path, "0 0.5 0.5 1.01 1.02")).split("train").images[0]  # 0.5 px on each side
    np.testing.assert_array_equal(record.boxes, [[0, 0, 100, 50]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2",
            r"labels/a\.txt:2: 4 columns; a box has 5 \(class cx cy w h\), a polygon 7",
        ),
        ("0 0.5 0.5 0.2 0.2 0.9", r"a\.txt:1: 6 columns"),
        ("0 0.5 0.5 0.2 0.2 0.9 0.1 0.1", r"a\.txt:1: 8 columns"),
        ("0 0.5 0.5 0.2 wide", r"a\.txt:1: 'wide' is not a number"),
        ("0 0.5 nan 0.2 0.2", r"a\.txt:1: a value is not finite"),
        ("0 0.5 0.5 0.2 inf", r"a\.txt:1: a value is not finite"),
        ("0.5 0.5 0.5 0.2 0.2", r"a\.txt:1: the class must be a whole number, not 0\.5"),
        ("2 0.5 0.5 0.2 0.2", r"a\.txt:1: class 2, but the data set has 2 classes, numbered from 0 to 1"),
        ("-1 0.5 0.5 0.2 0.2", r"a\.txt:1: class -1, but"),
        ("0 50 25 20 20", r"a\.txt:1: 50 is no fraction of the image's side; write fractions from 0 to 1, not pixels"),
        ("0 0.95 0.5 0.2 0.2", r"a\.txt:1: .* reaches 5 px out of its image, which is 100 x 50 px"),
        ("0 0.5 0.5 -0.2 0.2", r"a\.txt:1: .* has a negative width or height"),
    ],
)
def test_a_bad_row_has_a_message_with_file_and_line(tmp_path: Path, rows: str, message: str) -> None:
    file = one_image(tmp_path, rows)
    with pytest.raises(InputError, match=message):
        open_dataset(file)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        (f"trian: images\n{NAMES}", r"data\.yaml: unknown key 'trian'; did you mean 'train'\?"),
        (f"train: images\nkpt_shape: [17, 3]\n{NAMES}", r"data\.yaml: unknown key 'kpt_shape'"),
        ("train: images\n", r"data\.yaml: 'names' is missing"),
        (NAMES, r"data\.yaml: none of train, val, test is there"),
        (f"train: images\nnc: 3\n{NAMES}", r"data\.yaml: nc is 3, but 2 names are given"),
        (
            "train: images\nnames: {0: cat, 2: dog}\n",
            r"names: class numbers must run 0, 1, 2, \.\.\. without gaps, not 0, 2",
        ),
        ("train: images\nnames: [cat, cat]\n", r"names: 'cat' stands twice"),
        ("train: images\nnames: []\n", r"data\.yaml: names: give a list of class names, or a mapping"),
        ("train: images\nnames: two\n", r"data\.yaml: names: give a list of class names, or a mapping"),
        ("train: images\nnames: [yes, no]\n", r"data\.yaml: names: True is no class name; write it in quotes"),
        (f"train: 3\n{NAMES}", r"data\.yaml: train: give a folder of images, a \.txt list of images, or a list"),
        (f"path: nowhere\ntrain: images\n{NAMES}", r"data\.yaml: path: there is no folder .*nowhere"),
        (f"train: ../images\n{NAMES}", r"train: there is no folder or list .*; did you mean 'images'\?"),
        (f"train: images/a.png\n{NAMES}", r"images/a\.png is neither a folder of images nor a \.txt list"),
        (f"train: list.txt\n{NAMES}", r"list\.txt:2: no such image: .*images/z\.png; correct or remove the line"),
        (f"train: labels\n{NAMES}", r"data\.yaml: train: the split has no images in .*labels; add some"),
        (f"train: []\n{NAMES}", r"data\.yaml: train: the split has no images in an empty list"),
        ("- train\n", r"data\.yaml: expected `key: value` lines"),
    ],
)
def test_a_bad_data_file_has_a_message(tmp_path: Path, yaml: str, message: str) -> None:
    file = one_image(tmp_path, "0 0.5 0.5 0.2 0.2", yaml)
    put(tmp_path / "list.txt", "images/a.png\nimages/z.png\n")
    with pytest.raises(InputError, match=message):
        open_dataset(file)


def test_a_header_that_is_no_image_is_named(tmp_path: Path) -> None:
    file = one_image(tmp_path, "0 0.5 0.5 0.2 0.2")
    (tmp_path / "images" / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"images/a\.png: the image file is empty; replace it"):
        open_dataset(file)


def test_the_size_is_that_of_the_upright_image(tmp_path: Path) -> None:
    one_image(tmp_path, "0 0.25 0.5 0.5 1")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (100, 50)).save(tmp_path / "images" / "a.png", exif=exif)
    (record,) = open_dataset(tmp_path).split("train").images
    assert (record.width, record.height) == (50, 100)
    np.testing.assert_array_equal(record.boxes, [[0, 0, 25, 100]])
