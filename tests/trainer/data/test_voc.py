"""Pascal VOC XML becomes records, and each mistake in it one message; no entity is ever expanded."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.trainer.data.check import check_dataset
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.data.xml_tree import Element, read_xml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

DOG = "<name>dog</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>35</ymax></bndbox>"
CAT = "<name>cat</name><difficult>1</difficult>"
CAT += "<bndbox><ymin>1</ymin><xmin>1</xmin><ymax>40</ymax><xmax>60</xmax></bndbox>"


def put_image(path: Path, size: tuple[int, int] = (60, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def annotation(*objects: str, filename: str = "a.jpg", size: str = "") -> str:
    rows = "\n".join(f"<object>{item}</object>" for item in objects)
    return f"<annotation>\n<filename>{filename}</filename>{size}\n{rows}\n</annotation>\n"


def devkit(root: Path, text: str, name: str = "a", split: str = "train") -> Path:
    put_image(root / "JPEGImages" / f"{name}.jpg")
    put(root / "Annotations" / f"{name}.xml", text)
    with put(root / "ImageSets" / "Main" / f"{split}.txt", "").open("a") as file:
        file.write(f"{name}\n")
    return root


def test_corners_count_from_one_and_the_last_pixel_is_in(tmp_path: Path) -> None:
    dataset = open_dataset(devkit(tmp_path, annotation(DOG, CAT)))
    assert (dataset.classes, dataset.category_ids) == (("cat", "dog"), (1, 2))  # by the alphabet, as VOC's own twenty
    (record,) = dataset.split("train").images
    assert (record.width, record.height, record.path.name) == (60, 40, "a.jpg")
    np.testing.assert_array_equal(record.boxes, [[10, 5, 30, 35], [0, 0, 60, 40]])
    assert record.labels.tolist() == [1, 0]
    assert record.crowd.tolist() == [False, True]  # difficult: neither learnt from nor missed
    assert record.area.tolist() == [600, 2400]
    assert check_dataset(tmp_path).notes == {"difficult objects, ignored as VOC does": 1}


LAYOUTS = {  # images and annotations by place; and the split in which each image is
    "devkit": ({"JPEGImages/a.jpg": "Annotations/a.xml"}, "train"),
    "images beside": ({"images/a.jpg": "Annotations/a.xml"}, "train"),
    "one folder": ({"a.jpg": "a.xml"}, "train"),
    "annotations alone": ({"Annotations/a.jpg": "Annotations/a.xml"}, "train"),
    "a folder for each split": ({"valid/a.jpg": "valid/a.xml"}, "val"),
    "folders in folders": ({"test/JPEGImages/a.jpg": "test/Annotations/a.xml"}, "test"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_usual_layouts_are_found(tmp_path: Path, layout: str) -> None:
    files, split = LAYOUTS[layout]
    for image, labels in files.items():
        put_image(tmp_path / image)
        put(tmp_path / labels, annotation(DOG))
    dataset = open_dataset(tmp_path)
    assert list(dataset.splits) == [split]
    assert len(dataset.split(split).images[0].boxes) == 1


def test_lists_name_the_splits_and_trainval_serves_as_train(tmp_path: Path) -> None:
    for name, split in (("a", "trainval"), ("b", "trainval"), ("c", "test")):
        devkit(tmp_path, annotation(DOG, filename=f"{name}.jpg"), name)
        put(tmp_path / f"ImageSets/Main/{split}.txt", "a.jpg\nb\n" if split == "trainval" else "c\n")
    (tmp_path / "ImageSets/Main/train.txt").unlink()
    dataset = open_dataset(tmp_path)
    names = {split: [record.path.name for record in part.images] for split, part in dataset.splits.items()}
    assert names == {"train": ["a.jpg", "b.jpg"], "test": ["c.jpg"]}
    assert [record.image_id for part in dataset.splits.values() for record in part.images] == [1, 2, 3]


def test_a_label_map_gives_the_order_of_the_classes(tmp_path: Path) -> None:
    put(tmp_path / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nfox:::\ndog:1,2,3::\ncat:::\n")
    assert open_dataset(devkit(tmp_path, annotation(DOG, CAT))).classes == ("fox", "dog", "cat")


@pytest.mark.parametrize("filename", ["", "other.jpg", "C:\\mine\\a.jpg", "/home/me/a.jpg"])
def test_a_name_that_leads_nowhere_gives_way_to_the_annotations_own(tmp_path: Path, filename: str) -> None:
    devkit(tmp_path, annotation(DOG, filename=filename))
    assert open_dataset(tmp_path).split("train").images[0].path.name == "a.jpg"
    (tmp_path / "JPEGImages/a.jpg").rename(tmp_path / "JPEGImages/a.JPG")
    assert open_dataset(tmp_path).split("train").images[0].path.suffix.lower() == ".jpg"


def test_a_size_that_is_stated_is_held_against_the_image(tmp_path: Path) -> None:
    size = "<size><width>{}</width><height>40</height></size>".format
    devkit(tmp_path, annotation(DOG, size=size(0)))  # as some tools write it
    assert check_dataset(tmp_path).problems == ()
    devkit(tmp_path, annotation(DOG, size=size(61)))
    assert "a.jpg: the image is 60 x 40 px, but its annotations state 61 x 40" in check_dataset(tmp_path).problems[0]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (annotation(DOG.replace("11", "left")), r"a\.xml:3: dog: bndbox: xmin 'left' is not a number"),
        (
            annotation(DOG.replace("<ymax>35</ymax>", "")),
            r"a\.xml:3: dog: bndbox: ymax is missing; a box has",
        ),
        (annotation(DOG.replace("30", "70")), r"a\.xml:3: the box .* reaches 10 px out of its image, which is 60 x 40"),
        (annotation(DOG.replace("11", "nan")), r"a\.xml:3: .* is no finite number"),
        (annotation(DOG.replace("30", "3")), r"a\.xml:3: .* has a negative width or height"),
        (annotation(DOG, "<bndbox/>"), r"a\.xml:4: the object's class is ''; name one .*\(known: dog\)"),
        (annotation(), r"no class at all; annotate some objects, or name the classes in labelmap\.txt"),
        ("<kitti/>", r"a\.xml: not a VOC annotation: it begins with <kitti>"),
        ("<annotation>\n<object>", r"a\.xml:2: not valid XML: no element found"),
        ("", r"a\.xml:1: not valid XML: no element found"),
        ("<?xml version='1.0' encoding='klingon'?><annotation/>", r"a\.xml(:1)?: not valid XML: unknown encoding"),
        (
            f'<!DOCTYPE x [\n<!ENTITY l0 "ha">{LAUGHS}]><annotation>&l29;</annotation>',
            r"a\.xml:2: declares an",
        ),
        (
            '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hosts">]><annotation>&e;</annotation>',
            r"a\.xml:1: declares an",
        ),
        ("<a>" * 5000, r"a\.xml:1: elements nest deeper than 32"),
    ],
)
def test_a_mistake_has_a_message_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    devkit(tmp_path, text)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda root: (root / "Annotations/a.xml").unlink(),
            r"train\.txt:1: there is no .*/a\.xml; write one",
        ),
        (
            lambda root: (root / "JPEGImages/a.jpg").unlink(),
            r"a\.xml: there is no image for it: looked for .*JPEG",
        ),
        (lambda root: put(root / "ImageSets/Main/val.txt", "\n"), r"val\.txt: the split has no images; list some"),
        (lambda root: put_image(root / "JPEGImages/a.jpg", (60, 9)), r"a\.jpg: the image is 60 x 9 px, and nothing is"),
    ],
)
def test_a_broken_set_has_a_message(tmp_path: Path, break_it: Callable[[Path], object], message: str) -> None:
    devkit(tmp_path, annotation(DOG))
    devkit(tmp_path, annotation(DOG, filename="b.jpg"), "b", "val")
    break_it(tmp_path)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)


def test_the_folder_above_is_told_where_the_set_is(tmp_path: Path) -> None:
    devkit(tmp_path / "VOC2012", annotation(DOG))
    with pytest.raises(InputError, match=r"did you mean .*VOC2012\?"):
        open_dataset(tmp_path)


TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=8)
TREES = st.recursive(
    st.tuples(st.sampled_from("abc"), TEXTS, st.just(())),
    lambda below: st.tuples(st.sampled_from("abc"), TEXTS, st.lists(below, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(tree=TREES)
def test_xml_is_read_as_the_standard_library_reads_it(tmp_path_factory: pytest.TempPathFactory, tree: tuple) -> None:
    def built(node: tuple) -> ElementTree.Element:
        element = ElementTree.Element(node[0])
        element.text = node[1]
        element.extend(built(child) for child in node[2])
        return element

    def plain(element: Element) -> tuple:
        return element.tag, element.text, [plain(child) for child in element.children]

    def theirs(element: ElementTree.Element) -> tuple:
        return element.tag, element.text or "", [theirs(child) for child in element]

    file = tmp_path_factory.mktemp("xml") / "a.xml"
    file.write_bytes(ElementTree.tostring(built(tree), encoding="utf-8", xml_declaration=True))
    assert plain(read_xml(file)) == theirs(ElementTree.parse(file).getroot())
