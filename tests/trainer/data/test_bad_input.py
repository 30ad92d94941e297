"""Whatever is wrong with a data set: one message that says what, where and how to mend it, and exit code 2."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catscale
import numpy as np
import pytest
from catscale.cli import main
from PIL import Image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command line in this process, in a folder of its own: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["catscale", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


def put_image(path: Path, seed: int, size: tuple[int, int] = (80, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A good set of four images, as YOLO txt and, beside it, as COCO JSON."""
    root = tmp_path / "data"
    for number, (split, name) in enumerate((("train", "a"), ("train", "b"), ("val", "c"), ("val", "d"))):
        put_image(root / "images" / split / f"{name}.jpg", number)
        (root / "labels" / split).mkdir(parents=True, exist_ok=True)
        (root / "labels" / split / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.4 0.4 0.3 0.6\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    for split, names in (("train", "ab"), ("val", "cd")):
        document = {
            "images": [
                {"id": number, "file_name": f"{split}/{name}.jpg", "width": 80, "height": 60}
                for number, name in enumerate(names)
            ],
            "annotations": [{"id": n, "image_id": n, "category_id": 3, "bbox": [5, 5, 40, 40]} for n in range(2)],
            "categories": [{"id": 3, "name": "cat"}],
        }
        file = root / "coco" / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
    (root / "coco" / "images").symlink_to(root / "images")
    (tmp_path / "narrow.yaml").write_text(catscale.load("yolov7-tiny").scale(width=0.125).to_yaml())
    return root


def label(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "labels/train/b.txt").write_text(f"0 0.5 0.5 0.5 0.5\n{text}\n")


def picture(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def broken(root: Path) -> None:
        path = root / "images/train/b.jpg"
        path.write_bytes(change(path.read_bytes()))

    return broken


def coco(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def broken(root: Path) -> None:
        file = root / "coco/annotations/instances_train.json"
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))

    return broken


def huge(root: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(root / "images/train/b.jpg", format="PNG")


def empty_split(root: Path) -> None:
    for path in (root / "images/val").iterdir():
        path.unlink()


YOLO, COCO = "data", "data/coco"
CASES: dict[str, tuple[str, Callable[[Path], object], tuple[str, str, str]]] = {  # what is named, what, where, how
    "broken JPEG": (YOLO, picture(lambda it: b"?" * len(it)), ("cannot be decoded", "train/b.jpg: ", "; replace it")),
    "truncated JPEG": (YOLO, picture(lambda it: it[: len(it) // 2]), ("truncated", "train/b.jpg: ", "; replace it")),
    "zero bytes": (YOLO, picture(lambda it: b""), ("file is empty", "train/b.jpg: ", "; replace it")),
    "huge image": (YOLO, huge, ("more than 178 megapixels", "train/b.jpg: ", "; scale it down, or cut it")),
    "tiny image": (
        YOLO,
        lambda root: put_image(root / "images/train/b.jpg", 9, (80, 7)),
        ("80 x 7 px", "train/b.jpg: ", "; replace it"),
    ),
    "NaN": (YOLO, label("0 nan 0.5 0.1 0.1"), ("not finite", "train/b.txt:2: ", "; correct or remove")),
    "negative": (YOLO, label("0 -0.5 0.5 0.1 0.1"), ("px out of its image", "train/b.txt:2: ", "; correct or remove")),
    "above 1": (YOLO, label("0 1.5 0.5 0.1 0.1"), ("px out of its image", "train/b.txt:2: ", "; correct or remove")),
    "pixels": (YOLO, label("0 40 30 10 10"), ("40 is no fraction", "train/b.txt:2: ", "; write fractions")),
    "missing column": (YOLO, label("0 0.5 0.5 0.1"), ("4 columns", "train/b.txt:2: ", "; a box has 5")),
    "polygon of two points": (YOLO, label("0 .1 .1 .2 .2 .3"), ("6 columns", "train/b.txt:2: ", "a polygon 7, 9")),
    "class": (
        YOLO,
        label("2 0.5 0.5 0.1 0.1"),
        ("class 2, but", "train/b.txt:2: ", "; correct the row, or add the class"),
    ),
    "empty split": (YOLO, empty_split, ("the split has no images", "data.yaml: val", "; add some")),
    "annotation of no image": (
        COCO,
        coco(lambda it: it["annotations"][1].update(image_id=9)),
        ("no image with the id 9", "instances_train.json: annotation 1", "; add it, or correct"),
    ),
    "image that is gone": (
        COCO,
        lambda root: (root / "images/train/b.jpg").unlink(),
        ("no such file", "instances_train.json: image 1", "; put it in one of these places"),
    ),
    "duplicate image id": (
        COCO,
        coco(lambda it: (it["images"][1].update(id=0), it["annotations"][1].update(image_id=0))),
        ("image id 0 stands twice", "instances_train.json: images[1]", "; give each image an id"),
    ),
    "duplicate annotation id": (
        COCO,
        coco(lambda it: it["annotations"][1].update(id=0)),
        ("annotation id stands twice", "instances_train.json: annotation 0", "; give each annotation an id"),
    ),
    "another size than stated": (
        COCO,
        coco(lambda it: it["images"][1].update(width=81)),
        ("80 x 60 px, but its annotations state 81 x 60", "train/b.jpg: ", "; correct width and height"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_check_and_train_say_what_is_wrong_where_and_how_to_mend_it(data: Path, run: Run, case: str) -> None:
    named, break_it, words = CASES[case]
    break_it(data)
    code, out, err = run("data", "check", named)
    assert (code, err) == (2, "")
    (problem,) = (line for line in out.splitlines() if line.startswith("problem: "))
    for word in words:
        assert word in problem
    code, out, err = run("train", "narrow.yaml", "--data", named, "--recipe", "quick", "--size", 64, "--device", "cpu")
    assert code == 2
    assert err == f"error: {problem.removeprefix('problem: ')}\n"


def test_a_good_set_has_no_problem_in_either_format(data: Path, run: Run) -> None:
    put_image(data / "images/val/d.jpg", 9, (31, 12))  # smaller than a stride: it is enlarged
    document = json.loads((data / "coco/annotations/instances_val.json").read_text())
    document["images"][1] |= {"width": 31, "height": 12}
    document["annotations"][1]["bbox"] = [5, 5, 7, 7]
    (data / "coco/annotations/instances_val.json").write_text(json.dumps(document))
    for named in (YOLO, COCO):
        code, out, err = run("data", "check", named)
        assert (code, err) == (0, "")
        assert "problem: " not in out
        assert "warning: " not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--recipe mine.yaml --size 64", "anchors: 2 levels of anchors for 3 levels of the pyramid; give a list"),
        ("--anchors new --size 64", "p5.yaml with overrides: anchors: give auto, keep, or for each level its widths"),
        ("--size 16", "size 16 leaves a single cell; use 64 or more"),
    ],
)
def test_anchors_and_sizes_that_do_not_fit_are_refused(data: Path, run: Run, words: str, message: str) -> None:
    (data.parent / "mine.yaml").write_text("base: quick\nanchors: [[10, 13], [30, 61]]\n")
    code, out, err = run("train", "narrow.yaml", "--data", YOLO, *words.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert not (data.parent / "runs").exists()


def test_shared_images_are_a_warning_and_auto_anchors_are_the_runs(data: Path, run: Run) -> None:
    (data / "images/val/d.jpg").write_bytes((data / "images/train/b.jpg").read_bytes())
    for split, name in (("train", "a"), ("train", "b"), ("val", "c"), ("val", "d")):
        (data / f"labels/{split}/{name}.txt").write_text("0 0.5 0.5 0.02 0.9\n0 0.5 0.5 0.9 0.02\n")
    warning = "train and val share 1 image (b.jpg = d.jpg); the AP on val is too high with them: remove them from one"
    code, out, _ = run("data", "check", YOLO)
    assert code == 0
    assert f"warning: {YOLO}: {warning}" in out
    place = ["--data", YOLO, "--size", 64, "--device", "cpu", "--batch", 2, "--epochs"]
    code, out, err = run("train", "narrow.yaml", *place, 1, "--recipe", "quick", "--anchors", "auto", "--folder", "run")
    assert (code, err) == (0, f"warning: {YOLO}: {warning}\n")
    assert "anchors changed: 0.0000 of the objects find one before, 1.0000 after" in out
    fitted = catscale.load("run/architecture.yaml").anchors
    assert fitted != catscale.load("narrow.yaml").anchors
    code, out, _ = run("train", "--resume", "run", "--epochs", 2, "--device", "cpu")
    assert code == 0
    assert "anchors" not in out
    assert catscale.load("run/architecture.yaml").anchors == fitted
    _, _, err = run("train", "narrow.yaml", *place, 1, "--recipe", "quick", "--folder", "kept")
    assert "warning: only 0.0% of the objects find an anchor; --anchors auto fits new ones" in err
