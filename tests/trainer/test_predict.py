"""Prediction: which images are found, what is detected, and what the pictures show."""

import json
from pathlib import Path

import catscale
import cv2
import numpy as np
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.scaler.build import build
from catscale.trainer.predict import PALETTE, Detection, Prediction, draw, find_images, predict_images
from catscale.trainer.prediction_files import coco_results, write_yolo
from catscale.trainer.recipe import load_recipe
from catscale.trainer.run_folder import Run, RunFacts
from PIL import Image

CLASSES = ("Zelle", "Größe µ")


@pytest.fixture(scope="module")
def run() -> Run:
    """A detector that finds something everywhere: untrained, its objectness high, its second class likelier."""
    torch.manual_seed(0)
    arch = catscale.load("yolov7-tiny").scale(width=0.125).replace(classes=len(CLASSES))
    model = build(arch).eval()
    with torch.no_grad():
        for name, bias in model.named_parameters():
            if name.startswith("detect.lead") and name.endswith("bias"):
                fields = bias.view(3, 7)
                fields[:, 4:] = torch.tensor([3.0, 1.0, 3.0])
    facts = RunFacts("tiny", arch.fingerprint, CLASSES, (1, 2), "a test", 64, 0, "cpu", {})
    return Run(Path("a-run"), arch, load_recipe("quick"), facts, model, epoch=1)


def write_image(path: Path, width: int = 90, height: int = 60, grey: int = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (grey,) * 3).save(path)
    return path


def test_files_folders_and_patterns_give_each_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.png", "a.JPG", "deep/c.jpg", "deep/d.webp"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    found = find_images(["b.png", ".", "deep/*.jpg", str(tmp_path / "*" / "*.webp")])
    assert [path.name for path in found] == ["b.png", "a.JPG", "c.jpg", "d.webp"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.jpg", "none.jpg: no such image, video or folder"),
        ("empty", r"empty: no images there; known: \.avi, \.bmp, "),
        ("*.gif", r"\*\.gif: no images there"),
    ],
)
def test_a_source_without_images_is_refused(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        find_images([tmp_path / source])


def test_pictures_are_written_and_boxes_lie_within_the_image(run: Run, tmp_path: Path) -> None:
    images = [write_image(tmp_path / "one" / "cell.png"), write_image(tmp_path / "two" / "cell.jpg", 50, 200)]
    counts: list[tuple[int, int]] = []
    predictions = predict_images(run, images, tmp_path / "out", on_image=lambda *count: counts.append(count))
    assert counts == [(1, 2), (2, 2)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cell-2.jpg", "cell.jpg"]
    for prediction, (width, height) in zip(predictions, [(90, 60), (50, 200)], strict=True):
        assert prediction.detections
        assert prediction.picture is not None
        with Image.open(prediction.picture) as picture:
            assert picture.size == (width, height)
            assert np.ptp(np.asarray(picture).reshape(-1, 3), axis=0).max() > 50  # something is drawn on the grey
        for found in prediction.detections:
            left, top, right, bottom = found.box
            assert 0 <= left <= right <= width
            assert 0 <= top <= bottom <= height
            assert found.label == "Größe µ"
            assert 0.25 < found.score <= 1


def test_fewer_are_found_above_a_higher_confidence(run: Run, tmp_path: Path) -> None:
    image = write_image(tmp_path / "cell.png")
    (low,), (high,) = (predict_images(run, [image], None, conf=conf) for conf in (0.25, 0.95))
    assert low.picture is None
    assert len(low.detections) > len(high.detections)


def test_no_picture_replaces_its_own_image(run: Run, tmp_path: Path) -> None:
    image = write_image(tmp_path / "cell.jpg")
    before = image.read_bytes()
    with pytest.raises(InputError, match=r"cell\.jpg: its picture would replace it; choose another folder"):
        predict_images(run, [image], tmp_path)
    assert image.read_bytes() == before


def test_a_broken_image_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    image = write_image(tmp_path / "cell.jpg")
    image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(InputError, match=r"cell\.jpg: the image cannot be decoded"):
        predict_images(run, [image], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def write_film(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for number in range(frames):
        writer.write(np.full((64, 96, 3), 40 * number, dtype=np.uint8))
    writer.release()
    return path


def test_a_video_is_detected_frame_by_frame_and_drawn(run: Run, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.avi", frames=4)
    still = write_image(tmp_path / "film.png")
    counts: list[tuple[int, int]] = []
    found = predict_images(run, find_images([tmp_path]), tmp_path / "out", on_image=lambda *count: counts.append(count))
    assert [one.image for one in found] == [film, film, film, film, still]
    assert [one.frame for one in found] == [1, 2, 3, 4, None]
    assert counts[-1] == (5, 5)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["film-2.jpg", "film.mp4"]
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "film.mp4"))
    pictures = [drawn.read()[1] for _ in range(4)]
    assert not drawn.read()[0]
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert all(picture.shape == (64, 96, 3) and np.ptp(picture) > 50 for picture in pictures)  # boxes on the grey


def test_a_file_that_is_no_video_is_named(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "film.mp4").write_bytes(b"no film")
    with pytest.raises(InputError, match=r"film\.mp4: OpenCV reads no video there; convert it to MP4"):
        predict_images(run, [tmp_path / "film.mp4"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def prediction(path: str, *found: Detection, frame: int | None = None) -> Prediction:
    return Prediction(Path(path), Path(path).stem, 200, 100, None, found, frame)


CELL = Detection("Zelle", 1, 0.987654321, (20.0, 10.0, 60.0, 90.0))


def test_labels_are_written_as_yolo_has_them(tmp_path: Path) -> None:
    write_yolo(tmp_path, [prediction("a/cell.jpg", CELL, CELL), prediction("none.jpg")], with_scores=False)
    write_yolo(tmp_path, [prediction("film.avi", CELL, frame=7)], with_scores=True)
    line = "1 0.200000 0.500000 0.200000 0.800000"
    assert (tmp_path / "labels" / "cell.txt").read_text() == f"{line}\n{line}\n"
    assert (tmp_path / "labels" / "none.txt").read_text() == ""
    assert (tmp_path / "labels" / "film_7.txt").read_text() == f"{line} 0.987654\n"


@pytest.mark.parametrize(
    ("names", "ids"), [(["000139", "000285"], [139, 285]), (["139", "cat"], [1, 2]), (["1", "01"], [1, 2])]
)
def test_results_are_written_as_coco_has_them(names: list[str], ids: list[int]) -> None:
    rows = coco_results([prediction(f"{name}.jpg", CELL) for name in names], category_ids=(5, 90))
    assert [row["image_id"] for row in rows] == ids
    assert json.loads(json.dumps(rows[0])) == {
        "image_id": ids[0],
        "file_name": f"{names[0]}.jpg",
        "category_id": 90,
        "bbox": [20, 10, 40, 80],
        "score": 0.98765,
    }


def test_a_box_is_drawn_in_its_class_colour_where_it_lies() -> None:
    image = np.full((200, 300, 3), 255, dtype=np.uint8)
    picture = np.asarray(draw(image, [Detection("cell", 4, 0.9, (100, 80, 200, 150))]))
    for x, y in [(100, 120), (200, 120), (150, 150)]:
        assert tuple(picture[y, x]) == PALETTE[4]
    assert tuple(picture[120, 150]) == (255, 255, 255)  # the inside stays visible
    assert tuple(picture[180, 250]) == (255, 255, 255)


@pytest.mark.parametrize("box", [(0, 0, 299, 199), (290, 0, 299, 9), (0, 190, 5, 199), (120, 60, 120, 60)])
def test_labels_stay_within_the_image(box: tuple[float, float, float, float]) -> None:
    image = np.full((200, 300, 3), 255, dtype=np.uint8)
    picture = np.asarray(draw(image, [Detection("a long class name", 0, 0.5, box)]))
    label = (picture == np.array(PALETTE[0])).all(axis=2)
    assert label.sum() > 500
    assert (picture < 60).all(axis=2).sum() > 50  # its text, dark on the light colour
