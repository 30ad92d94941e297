"""The embedded set is the same for the same seed, looks as its labels say, and replaces nothing of the user's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.trainer.data import shapes
from catscale.trainer.data.scenes import CLASSES, MOST_SHAPES, draw_scene, visible_boxes
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    small = {"train": 3, "val": 2, "test": 1, "size_px": 96}
    first = contents(make_shapes(tmp_path / "a", **small))
    assert first == contents(make_shapes(tmp_path / "b", **small))
    assert first.keys() == {
        *(f"annotations/instances_{split}.json" for split in ("train", "val", "test")),
        *(f"images/{name}.jpg" for name in ("train/000001", "train/000002", "train/000003")),
        *(f"images/{name}.jpg" for name in ("val/000001", "val/000002", "test/000001")),
    }
    assert first["images/train/000001.jpg"] != first["images/val/000001.jpg"] != first["images/test/000001.jpg"]
    other = contents(make_shapes(tmp_path / "c", **small, seed=1))
    assert all(first[name] != other[name] for name in first)
    more = contents(make_shapes(tmp_path / "d", **small | {"train": 5}))
    assert all(first[name] == more[name] for name in first if name.startswith("images/"))


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    dataset = open_dataset(make_shapes(tmp_path / "set", train=12, val=2, test=0, size_px=128))
    assert dataset.classes == CLASSES
    assert {name: len(split.images) for name, split in dataset.splits.items()} == {"train": 12, "val": 2}
    ids = [record.image_id for split in dataset.splits.values() for record in split.images]
    assert len(set(ids)) == len(ids)
    for record in dataset.split("train").images:
        assert (record.width, record.height) == (128, 128)
        assert 1 <= len(record.boxes) <= MOST_SHAPES
        sides = record.boxes[:, 2:] - record.boxes[:, :2]
        assert (record.area <= sides.prod(axis=1)).all()  # pixels seen, within the box


def test_there_are_all_classes_sizes_and_overlaps() -> None:
    scenes = [draw_scene(np.random.default_rng((0, number)), 256) for number in range(60)]
    labels = np.concatenate([scene.labels for scene in scenes])
    area = np.concatenate([scene.area for scene in scenes])
    assert (np.bincount(labels, minlength=len(CLASSES)) > len(labels) / len(CLASSES) / 2).all()
    assert 0.25 < (area < 32**2).mean() < 0.65
    assert (area > 96**2).mean() > 0.04
    overlapping = 0
    for scene in scenes:
        low = np.maximum(scene.boxes[:, None, :2], scene.boxes[None, :, :2])
        high = np.minimum(scene.boxes[:, None, 2:], scene.boxes[None, :, 2:])
        overlapping += int((high > low).all(axis=2).sum() > len(scene.boxes))
    assert overlapping > 10


def test_a_box_is_tight_around_what_differs_from_the_same_scene_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catscale.trainer.data.scenes._cast_shadow", lambda canvas, cover: None)
    monkeypatch.setattr("catscale.trainer.data.scenes._photograph", lambda canvas, rng: canvas)
    checked = 0
    for seed in range(200):
        scene = draw_scene(np.random.default_rng(seed), 128)
        if len(scene.boxes) != 1:
            continue
        with monkeypatch.context() as blank:
            blank.setattr("catscale.trainer.data.scenes._paint", lambda canvas, cover, rng: None)
            bare = draw_scene(np.random.default_rng(seed), 128)
        changed = np.abs(scene.image - bare.image).max(axis=2) > 1e-3
        if not np.array_equal(scene.boxes, bare.boxes):
            continue  # the second shape was hidden by the first: painting drew other numbers
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(scene.boxes[0], edges, atol=2)  # pixels covered by less than half stay outside
        checked += 1
    assert checked > 10


@pytest.mark.parametrize(
    ("hidden_to", "seen"),
    [
        (0, [20, 10, 40, 30]),
        (33, [33, 10, 40, 30]),  # 35 % of the square's 20 columns are left
        (34, None),
        (40, None),
    ],
)
def test_a_shape_is_labelled_by_what_is_seen_of_it(hidden_to: int, seen: list[int] | None) -> None:
    covers = np.zeros((3, 64, 64), dtype=np.float32)
    covers[0, 10:30, 20:40] = 1
    covers[1, :, :hidden_to] = 1  # over the first in two parts
    covers[2, :40, : min(hidden_to, 30)] = 1
    boxes, labels, area = visible_boxes([(4, covers[0]), (1, covers[1]), (2, covers[2])])
    assert boxes[labels == 4].tolist() == ([seen] if seen else [])
    assert area[labels == 4].tolist() == ([(seen[2] - seen[0]) * 20] if seen else [])


def test_a_shapes_set_is_drawn_anew_in_its_place(tmp_path: Path) -> None:
    small = {"train": 1, "val": 1, "test": 0, "size_px": 64}
    make_shapes(tmp_path / "set", **small | {"train": 2})
    make_shapes(tmp_path / "set", **small)
    (tmp_path / "empty").mkdir()
    make_shapes(tmp_path / "empty", **small)
    assert contents(tmp_path / "set") == contents(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "set"]  # nothing is left beside


@pytest.mark.parametrize("extra", ["notes.txt", "annotations/instances_train.json"])
def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, extra: str) -> None:
    folder = make_shapes(tmp_path / "set", train=1, val=1, test=0, size_px=64)
    (folder / extra).write_text(json.dumps({"info": {"description": "mine"}}))
    before = contents(folder)
    with pytest.raises(InputError, match=r"set: is not empty and holds more or other than a shapes set; name a new"):
        make_shapes(folder)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0}, r"0 train, 64 val and 64 test images; at least 1, 1 and 0 are needed"),
        ({"size_px": 8}, r"size 8 px; choose one from 64 to 1024"),
        ({"seed": -1}, r"seed -1; choose one from 0"),
    ],
)
def test_arguments_out_of_bounds_are_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_shapes(tmp_path / "set", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_failed_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("catscale.trainer.data.shapes._write_split", full)
    with pytest.raises(InputError, match=r"set: cannot be written: No space left on device"):
        make_shapes(tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_a_set_that_another_process_drew_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"train": 1, "val": 1, "test": 0, "size_px": 64}
    theirs = make_shapes(tmp_path / "theirs", **small)
    expected = contents(theirs)

    def meanwhile(*arguments: Any) -> None:
        write_split(*arguments)
        if theirs.exists():
            theirs.rename(tmp_path / "set")

    write_split = shapes._write_split
    monkeypatch.setattr(shapes, "_write_split", meanwhile)
    make_shapes(tmp_path / "set", **small, seed=1)
    assert contents(tmp_path / "set") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_the_word_shapes_draws_once_below_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset("shapes")
    (folder,) = (tmp_path / "runs" / "data").iterdir()
    assert folder.name == "shapes-1-0-256"
    assert dataset.source == "shapes"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    open_dataset("shapes")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
