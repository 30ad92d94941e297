"""`catscale train`, `val` and `predict` as a user runs them, on a data set that is drawn for it."""

import contextlib
import csv
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import catscale
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.scaler.number_formats import computes_bf16
from catscale.trainer.data.records import Dataset
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.terminal import DtypeName, dtype_of
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

TRAIN = "train narrow.yaml --data shapes/ --recipe quick --epochs 12 --size 128 --device cpu"
CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a narrow detector and 96 drawn images to learn from."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "narrow.yaml").write_text(catscale.load("yolov7-tiny").scale(width=0.25).to_yaml())
    make_shapes(folder / "shapes", train=96, val=24, test=8, size_px=128, seed=1)
    return folder


@pytest.fixture(scope="module")
def training(cli: CommandLine, place: Path) -> "subprocess.CompletedProcess[str]":
    return cli(*TRAIN.split(), cwd=place)


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open() as file:
        return list(csv.DictReader(file))


def coco_of(data: Dataset, path: Path) -> Path:
    """The test split of a data set as COCO has it."""
    images = data.split("test").images
    rows = [(image, *row) for image in images for row in zip(image.boxes.tolist(), image.labels.tolist(), strict=True)]
    annotations = [
        {
            "id": number,
            "image_id": image.image_id,
            "category_id": data.category_ids[label],
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": 0,
        }
        for number, (image, (left, top, right, bottom), label) in enumerate(rows, start=1)
    ]
    document = {
        "images": [{"id": image.image_id} for image in images],
        "categories": [{"id": number} for number in data.category_ids],
        "annotations": annotations,
    }
    path.write_text(json.dumps(document))
    return path


def test_training_learns_and_says_so(training: "subprocess.CompletedProcess[str]", place: Path) -> None:
    assert training.returncode == 0, training.stderr
    rows = metrics(place / "runs" / "train" / "exp")
    first, last = ([float(row[name]) for name in ("box", "cls")] for row in (rows[0], rows[-1]))
    assert len(rows) == 12
    assert last[0] < first[0]
    assert last[1] < first[1]
    assert float(rows[-1]["ap50"]) > 0.01
    assert float(rows[-1]["ap"]) > 0

    lines = training.stdout.splitlines()
    assert lines[0].startswith("catscale 0.1.0, torch ")
    assert lines[1].startswith("80 classes become 6, as in shapes/: circle, ")
    assert " params, " in lines[2]
    assert lines[4].split() == ["epoch", "box", "obj", "cls", "instances", "size", "AP50", "AP", "seconds", "data"]
    assert [line.split()[0] for line in lines[5:17]] == [f"{epoch}/12" for epoch in range(1, 13)]
    assert lines[-1] == "Results saved to runs/train/exp"
    assert training.stderr == ""  # no progress bar where there is no terminal


def test_validation_gives_the_figures_of_the_best_epoch(
    training: "subprocess.CompletedProcess[str]", cli: CommandLine, place: Path
) -> None:
    result = cli("val", "runs/train/exp", "--json", "--device", "cpu", cwd=place)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    best = metrics(place / "runs" / "train" / "exp")[figures["epoch"] - 1]
    assert (figures["ap"], figures["ap50"]) == pytest.approx((float(best["ap"]), float(best["ap50"])), abs=1e-6)
    assert set(figures["per_class"]) == {"circle", "square", "triangle", "star", "cross", "ring"}

    half = ["--half"] if computes_bf16(torch.device("cpu")) else []
    flags = (*half, "--device", "cpu", "--iou", 0.7, "--max-dets", 50, "--save", "saved")  # as in the paper's Table 10
    table = cli("val", "runs/train/exp", "--data", "shapes/", "--split", "test", *flags, cwd=place)
    assert table.returncode == 0, table.stderr
    assert "on shapes/ (test) at 128 px" in table.stdout
    assert "8 images in " in table.stdout
    assert re.search(r"ms an image at batch 8: pre-process [\d.]+, forward [\d.]+, NMS [\d.]+$", table.stdout, re.M)
    saved = json.loads((place / "saved" / "metrics.json").read_text())
    assert (saved["max_dets"], saved["images"]) == (50, 8)
    # Detections that were written are those that were scored: pycocotools finds the same in them.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(coco_of(open_dataset(place / "shapes"), place / "truth.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(place / "saved" / "predictions.json")), "bbox")
        evaluation.params.maxDets = [1, 10, 50]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]
    assert saved["ap"] == pytest.approx(precision[precision > -1].mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("val runs/train/exp --save lacking --runtime cuda-graph", "cpu has no CUDA graphs; use --runtime torch or"),
        ("predict runs/train/exp shapes -o lacking --dtype fp16", "--dtype fp16: slower than fp32 on cpu; use "),
    ],
)
def test_what_the_device_lacks_is_refused_before_anything_is_written(
    training: "subprocess.CompletedProcess[str]", cli: CommandLine, place: Path, command: str, message: str
) -> None:
    result = cli(*command.split(), "--device", "cpu", cwd=place)
    assert result.returncode == 2
    assert message in result.stderr
    assert not (place / "lacking").exists()


def test_a_number_format_is_named_once() -> None:
    with pytest.raises(InputError, match="--half: chooses a number format, as --dtype does; give one of them"):
        dtype_of(DtypeName.fp32, half=True, device="cpu")


PICTURES = (
    "results.png labels.png train_batch0.jpg val_batch0_labels.jpg val_batch0_pred.jpg PR_curve.png F1_curve.png "
    "P_curve.png R_curve.png confusion_matrix.png confusion_matrix_normalized.png"
)


def test_a_run_has_its_pictures_and_the_figures_of_its_best_weights(
    training: "subprocess.CompletedProcess[str]", place: Path
) -> None:
    run = place / "runs" / "train" / "exp"
    for name in PICTURES.split():
        with Image.open(run / name) as picture:
            assert min(picture.size) >= 128, name
            assert len(picture.convert("L").getcolors(256) or ()) > 20, name  # something is on it
    figures = json.loads((run / "metrics.json").read_text())
    assert figures["ap"] == pytest.approx(max(float(row["ap"]) for row in metrics(run)), abs=0.02)
    assert f"all{'':21}" in training.stdout  # the table of classes


def test_predictions_are_drawn_and_printed(
    training: "subprocess.CompletedProcess[str]", cli: CommandLine, place: Path
) -> None:
    images = place / "shapes" / "images" / "test"
    result = cli("predict", "runs/train/exp", images, "-o", "found", "--conf", 0.05, "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    predictions = json.loads(result.stdout)
    assert len(predictions) == 8
    assert any(prediction["detections"] for prediction in predictions)
    assert all((place / prediction["picture"]).is_file() for prediction in predictions)

    save = ("--no-pictures", "--save-txt", "--save-conf", "--save-json", "--conf", 0.05)
    result = cli("predict", "runs/train/exp", f"{images}/00000[12].jpg", "-o", "two", *save, cwd=place)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (place / "two").iterdir()) == ["labels", "predictions.json"]
    rows = json.loads((place / "two" / "predictions.json").read_text())
    lines = [path.read_text().splitlines() for path in sorted((place / "two" / "labels").iterdir())]
    assert [row["image_id"] for row in rows] == [1] * len(lines[0]) + [2] * len(lines[1])
    assert all(len(line.split()) == 6 for image in lines for line in image)
    assert result.stdout.endswith("Results saved to two\n")


def test_a_profile_of_steps_prints_the_parts_and_writes_nothing(cli: CommandLine, place: Path) -> None:
    before = sorted(place.rglob("*"))
    arguments = "train narrow.yaml --data shapes/ --recipe quick --batch auto --size 64 --device cpu --profile-steps 2"
    result = cli(*arguments.split(), cwd=place)
    assert result.returncode == 0, result.stderr
    parts = [line.rsplit("ms", 1)[0].rstrip("0123456789. ").strip() for line in result.stdout.splitlines()[-6:]]
    assert parts == ["waiting for data", "forward", "assignment + loss", "backward", "optimiser + EMA", "a step"]
    shares = [float(line.rsplit(" ", 1)[1].rstrip("%")) for line in result.stdout.splitlines()[-6:-1]]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert "images/s; the first one took" in result.stdout
    assert sorted(place.rglob("*")) == before


def test_a_complete_run_goes_on_with_more_epochs_only(
    training: "subprocess.CompletedProcess[str]", cli: CommandLine, place: Path
) -> None:
    refused = cli("train", "--resume", "runs/train/exp", cwd=place)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is complete, 12 of 12 epochs; ask for more epochs to extend it" in refused.stderr
    extended = cli("train", "--resume", "runs/train/exp", "--epochs", 13, cwd=place)
    assert extended.returncode == 0, extended.stderr
    assert "13/13" in extended.stdout


BAD = {
    "an unknown recipe key": (
        "train narrow.yaml --data shapes/ --recipe bad.yaml",
        "error: bad.yaml: unknown key 'learning_rate'; known: ",
    ),
    "a misspelt recipe key": (
        "train narrow.yaml --data shapes/ --recipe worse.yaml",
        "error: worse.yaml: unknown key 'momentun'; did you mean 'momentum'?",
    ),
    "an unknown recipe": ("train narrow.yaml --data shapes/ --recipe fast", "error: no recipe 'fast'"),
    "an unknown architecture": ("train yolov8 --data shapes/", "yolov8"),
    "a size off the stride": (
        "train narrow.yaml --data shapes/ --size 200",
        "error: yolov7-tiny-width0.25: size 200 is not a multiple of the largest stride, 32; use 192",
    ),
    "a batch of none": (
        "train narrow.yaml --data shapes/ --batch 0",
        "error: --batch 0: give a number of images from 1",
    ),
    "an assigner of points where there are anchors": (
        "train narrow.yaml --data shapes/ --recipe yolox",
        "error: yolov7-tiny-width0.25: assigner: simota chooses among points, and its head, anchor, has anchors; say",
    ),
    "an unknown assigner": (
        "train narrow.yaml --data shapes/ --assigner sim",
        "assigner: input should be 'simple', 'ota', 'simota' or 'task-aligned', not 'sim'",
    ),
    "anchors for a head without": (
        "data anchors shapes --arch yolox-s",
        "error: yolox-s: anchors: its head, decoupled, has none to fit",
    ),
    "an unknown precision": (
        "train narrow.yaml --data shapes/ --amp fp8",
        "amp: input should be 'auto', 'fp32', 'bf16'",
    ),
    "no data": ("train narrow.yaml", "error: train: name an architecture and its data, as in: catscale train "),
    "data that is not there": ("train narrow.yaml --data nowhere", "error: nowhere: there is no such file or folder"),
    "a device that is not there": (
        "train narrow.yaml --data shapes/ --device cuda:99",
        "error: no device 'cuda:99' here; there are auto, cpu",
    ),
    "an unknown device": ("train narrow.yaml --data shapes/ --device gpu", "error: no device 'gpu' here; there are"),
    "a folder that is taken": (
        "train narrow.yaml --data shapes/ --recipe quick --size 64 --folder shapes",
        "error: shapes: is there and not empty; take another folder, or --resume it",
    ),
    "a name and a folder": ("train narrow.yaml --data shapes/ --name a --folder b", "give one"),
    "a resume with another recipe": (
        "train --resume runs/train/exp --recipe p5",
        "error: --resume runs/train/exp: goes on as the run began; leave out --recipe",
    ),
    "a resume of no run": ("train --resume nowhere", "error: nowhere: no such run folder"),
    "a validation of no run": ("val nowhere", "error: nowhere: no such run folder"),
    "a folder that is no run": ("val shapes", "error: shapes: not a run folder: it has no run.json"),
    "a run without weights": ("val early", "error: early: no best.safetensors in it: no epoch has finished"),
    "weights that are none": ("val broken", "error: broken/best.safetensors: not a weights file"),
    "a split that is not there": ("val runs/train/exp --split tset", "no split 'tset'"),
    "data of other classes": (
        "val runs/train/exp --data cats",
        "error: cats: has 1 classes (cat), but runs/train/exp was trained on 6 (circle, square, triangle, star, cross,",
    ),
    "an image that is not there": ("predict runs/train/exp no.jpg", "error: no.jpg: no such image, video or folder"),
    "a broken image": ("predict runs/train/exp broken.jpg -o out", "error: broken.jpg: the image cannot be decoded"),
    "scores without labels": (
        "predict runs/train/exp whole.jpg --save-conf",
        "error: --save-conf: says what --save-txt writes; give that too",
    ),
    "an unknown logger": ("train narrow.yaml --data shapes/ --logger tensorbord", "did you mean 'tensorboard'"),
    "an export of no run": ("export nowhere", "error: nowhere: no such run folder"),
    "an export with what its format lacks": ("export runs/train/exp --format torch --nms", "error: --nms: torch gives"),
    "a prediction without a run": ("predict nowhere broken.jpg", "error: nowhere: no such run folder"),
}


@pytest.fixture(scope="module")
def bad_place(place: Path, training: "subprocess.CompletedProcess[str]") -> Path:
    """The working folder after a training, with all that can be wrong beside it."""
    run = place / "runs" / "train" / "exp"
    (place / "bad.yaml").write_text("base: quick\nlearning_rate: 0.1\n")
    (place / "worse.yaml").write_text("base: quick\nmomentun: 0.1\n")
    for name in ("early", "broken"):
        (place / name).mkdir()
        for file in ("run.json", "architecture.yaml", "recipe.yaml"):
            (place / name / file).write_bytes((run / file).read_bytes())
    (place / "broken" / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes()[:1000])
    Image.new("RGB", (300, 300)).save(place / "whole.jpg")
    (place / "broken.jpg").write_bytes((place / "whole.jpg").read_bytes()[:400])
    (place / "cats" / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(place / "cats" / "images" / "1.jpg")
    (place / "cats" / "labels").mkdir()
    (place / "cats" / "labels" / "1.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (place / "cats" / "data.yaml").write_text("train: images\nval: images\nnames: [cat]\n")
    return place


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_message_and_leaves_nothing(case: str, cli: CommandLine, bad_place: Path) -> None:
    arguments, message = BAD[case]
    before = sorted(bad_place.rglob("*"))
    result = cli(*arguments.split(), cwd=bad_place)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert sorted(bad_place.rglob("*")) == before
