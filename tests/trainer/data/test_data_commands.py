"""`catscale data`: every mistake of a data set at once, with its place and exit code 2."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from catscale.trainer.data.check import check_dataset
from catscale.trainer.data.shapes import make_shapes
from PIL import Image

CommandLine = Callable[..., "CompletedProcess[str]"]


def yolo_set(root: Path, labels: dict[str, str], val: dict[str, str] | None = None) -> Path:
    for split, files in {"train": labels, "val": val or {"v": "0 0.5 0.5 0.5 0.5"}}.items():
        for name, rows in files.items():
            for kind in ("images", "labels"):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (100, 50)).save(root / "images" / split / f"{name}.jpg")
            (root / "labels" / split / f"{name}.txt").write_text(rows)
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    return root


def test_every_problem_is_listed_with_its_place(tmp_path: Path, cli: CommandLine) -> None:
    root = yolo_set(
        tmp_path,
        {"a": "0 0.5 0.5 0.5 0.5\n2 0.5 0.5 0.5 0.5\n0 0.9 0.5 0.5 0.5", "b": "0 0.5", "c": "", "d": "1 0.5 0.5 1 1"},
    )
    (root / "images/train/c.jpg").write_bytes(b"")
    broken = root / "images/train/d.jpg"
    broken.write_bytes(broken.read_bytes()[:-100])
    result = cli("data", "check", root, "--json")
    assert result.returncode == 2, result.stderr
    report = json.loads(result.stdout)
    places = ("a.txt:2: class 2", "a.txt:3: the box", "b.txt:1: 2 columns", "c.jpg: the image file", "d.jpg: the image")
    for place in places:
        assert any(place in problem for problem in report["problems"]), place
    assert len(report["problems"]) == 5
    assert "Traceback" not in result.stderr


def test_a_good_set_is_counted(tmp_path: Path, cli: CommandLine) -> None:
    root = yolo_set(
        tmp_path,
        {
            "a": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 1 1",
            "b": "",
            "c": "1 0.5 0.5 0.5 0.5\n" * 2 + "1 0.2 0.2 0 0.1",
        },
    )
    (root / "labels/train/b.txt").unlink()
    result = cli("data", "check", root / "data.yaml", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert report["problems"] == []
    assert report["splits"]["train"] == {
        "images": 3,
        "background": 1,
        "boxes": 3,
        "crowds": 0,
        "small": 1,  # 20 x 10
        "medium": 2,  # 50 x 25 and 100 x 50
        "large": 0,
        "per_class": {"cat": 1, "dog": 2},
    }
    assert report["notes"] == {
        "images without a label file, taken as background": 1,
        "rows that repeat another one, left out": 1,
        "boxes without an area, left out": 1,
    }
    text = cli("data", "check", root, "-o", tmp_path / "report.json").stdout
    written = json.loads((tmp_path / "report.json").read_text())
    assert {key: written[key] for key in ("splits", "notes")} == {key: report[key] for key in ("splits", "notes")}
    assert [line.split() for line in text.splitlines()[:2]] == [
        ["split", "images", "background", "boxes", "crowds", "small", "medium", "large"],
        ["train", "3", "1", "3", "0", "1", "2", "0"],
    ]
    assert "no problems" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: nowhere: there is no such file or folder"),
        (["data.yaml"], "error: data.yaml: unknown key 'nams'; did you mean 'names'?"),
        (["empty"], "error: empty: neither data.yaml nor annotations/instances_<split>.json is in this folder"),
    ],
)
def test_what_is_no_data_set_is_one_message(
    tmp_path: Path, cli: CommandLine, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.yaml").write_text("train: empty\nnams: [a]\nnames: [a]\n")
    result = cli("data", "check", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1


def test_a_split_without_images_does_not_hide_the_other_problems(tmp_path: Path) -> None:
    root = yolo_set(tmp_path, {"a": "7 0.5 0.5 0.5 0.5"})
    (root / "images/val/v.jpg").unlink()
    problems = check_dataset(root).problems
    for text in ("class 7", "val: the split has no images"):
        assert any(text in problem for problem in problems), text


def test_a_coco_file_that_is_broken_does_not_hide_the_other_splits(tmp_path: Path) -> None:
    root = make_shapes(tmp_path / "set", train=2, val=1, test=0, size_px=64)
    (root / "annotations" / "instances_train.json").write_text("{")
    (root / "images" / "val" / "000001.jpg").write_bytes(b"?")
    check = check_dataset(root)
    assert len(check.problems) == 2
    assert "not valid JSON" in check.problems[0]
    assert "000001.jpg" in check.problems[1]


def test_an_image_in_two_splits_is_a_warning(tmp_path: Path) -> None:
    root = yolo_set(tmp_path, {"a": "0 0.5 0.5 0.5 0.5", "b": ""})
    (root / "data.yaml").write_text("train: images/train\nval: [images/val, images/train]\nnames: [cat, dog]\n")
    check = check_dataset(root)
    assert check.problems == ()
    (warning,) = check.warnings
    assert "train and val share 3 images (a.jpg, b.jpg, a.jpg = v.jpg); the AP on val is too high" in warning


@pytest.mark.parametrize("place", [0, 20_000, -1])
def test_images_of_one_size_that_differ_anywhere_are_not_shared(tmp_path: Path, place: int) -> None:
    root = yolo_set(tmp_path, {"a": "0 0.5 0.5 0.5 0.5"})
    pixels = np.zeros((100, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "images/train/a.jpg", format="BMP")
    pixels.reshape(-1)[place] = 9
    Image.fromarray(pixels).save(root / "images/val/v.jpg", format="BMP")
    assert check_dataset(root).warnings == ()
    (root / "images/val/v.jpg").write_bytes((root / "images/train/a.jpg").read_bytes())
    assert len(check_dataset(root).warnings) == 1


def test_make_shapes_draws_a_set_that_passes_the_check(tmp_path: Path, cli: CommandLine) -> None:
    size = ["--train", 2, "--val", 1, "--test", 0, "--size", 64]
    made = cli("data", "make-shapes", tmp_path / "set", *size, "--seed", 3)
    assert (made.returncode, made.stderr) == (0, "")
    assert "2 train, 1 val and 0 test images of 64 px, seed 3" in made.stdout
    assert cli("data", "check", tmp_path / "set").returncode == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    refused = cli("data", "make-shapes", tmp_path / "mine", *size)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
