"""A batch follows from seed, epoch and position alone; every image is seen once; an error arrives with its batch."""

import gc
import threading
import time
import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.trainer.data import memory
from catscale.trainer.data.images import letterbox, read_image, unletterbox
from catscale.trainer.data.loader import Batch, random_size_px, train_batches, val_batches
from catscale.trainer.data.records import ImageRecord, Split
from catscale.trainer.data.settings import Augment, Cache
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from PIL import Image

JOINED = Augment(mosaic=0.9, mixup=0.5, paste_in=0.5)
NOTHING = Augment(hsv_h=0, hsv_s=0, hsv_v=0, flipud=0, fliplr=0, translate=0, scale=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("data") / "set", train=10, val=5, test=0, size_px=96)


@pytest.fixture
def split(folder: Path) -> Split:
    return open_dataset(folder).split("train")


def epoch(
    split: Split, epoch: int = 0, *, seed: int = 0, cache: Cache = "auto", threads: int | None = None
) -> list[Batch]:
    return list(
        train_batches(
            split,
            size_px=64,
            batch=4,
            recipe_augment=JOINED,
            seed=seed,
            epoch=epoch,
            cache=cache,
            threads=threads,
        )
    )


def same(first: list[Batch], second: list[Batch]) -> bool:
    return [batch.ids for batch in first] == [batch.ids for batch in second] and all(
        torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets)
        for a, b in zip(first, second, strict=True)
    )


def test_a_batch_has_the_documented_shapes(split: Split) -> None:
    batches = epoch(split)
    assert [batch.images.shape for batch in batches] == [(4, 3, 64, 64), (4, 3, 64, 64), (2, 3, 64, 64)]
    for batch in batches:
        assert (batch.images.dtype, batch.targets.dtype) == (torch.uint8, torch.float32)
        pixels = batch.pixels("cpu")
        assert pixels.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal((pixels * 255).round().byte(), batch.images)
        assert batch.targets.shape[1] == 6
        assert set(batch.targets[:, 0].tolist()) <= set(range(len(batch.ids)))
        low, high = batch.targets[:, 2:4] - batch.targets[:, 4:] / 2, batch.targets[:, 2:4] + batch.targets[:, 4:] / 2
        assert (low >= -1e-6).all()
        assert (high <= 1 + 1e-6).all()


def test_an_epoch_sees_every_image_once_in_its_own_order(split: Split) -> None:
    orders = [[image for batch in epoch(split, number) for image in batch.ids] for number in range(3)]
    ids = sorted(record.image_id for record in split.images)
    assert all(sorted(order) == ids for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] != ids


def test_batches_follow_from_seed_and_epoch_alone(split: Split, folder: Path) -> None:
    first = epoch(split, 2)
    assert same(first, epoch(split, 2))
    assert same(first, epoch(split, 2, cache="none"))
    assert same(first, epoch(split, 2, threads=3))
    assert same(first, epoch(split, 2, threads=7, cache="none"))
    assert same(first, epoch(open_dataset(folder).split("train"), 2))  # without the epochs before
    assert not same(first, epoch(split, 3))
    assert not same(first, epoch(split, 2, seed=1))


def test_a_sample_does_not_depend_on_the_size_of_its_batch(split: Split) -> None:
    four, three = (
        torch.cat(
            [
                made.images
                for made in train_batches(split, size_px=64, batch=batch, recipe_augment=JOINED, seed=0, epoch=0)
            ]
        )
        for batch in (4, 3)
    )
    assert torch.equal(four, three)


def test_without_augmentation_training_sees_what_validation_sees(split: Split) -> None:
    def by_id(batches: list[Batch]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        return {
            image: (batch.images[row].numpy(), batch.targets[batch.targets[:, 0] == row, 1:].numpy())
            for batch in batches
            for row, image in enumerate(batch.ids)
        }

    trained = by_id(list(train_batches(split, size_px=80, batch=3, recipe_augment=NOTHING, seed=0, epoch=0)))
    validated = by_id(list(val_batches(split, size_px=80, batch=4)))
    assert trained.keys() == validated.keys()
    for image, (pixels, targets) in trained.items():
        np.testing.assert_array_equal(pixels, validated[image][0])
        np.testing.assert_array_equal(targets, validated[image][1])


def test_validation_is_the_letterboxed_image_in_order_and_its_boxes_map_back(folder: Path) -> None:
    split = open_dataset(folder).split("val")
    batches = list(val_batches(split, size_px=128, batch=2))
    assert [image for batch in batches for image in batch.ids] == [record.image_id for record in split.images]
    records = iter(split.images)
    for batch in batches:
        for row, lay in enumerate(batch.letterboxes):
            record = next(records)
            expected, _ = letterbox(read_image(record.path), 128)
            np.testing.assert_array_equal(batch.images[row].permute(1, 2, 0).numpy(), expected)
            targets = batch.targets[batch.targets[:, 0] == row].numpy().astype(np.float64)
            corners = np.hstack([targets[:, 2:4] - targets[:, 4:] / 2, targets[:, 2:4] + targets[:, 4:] / 2]) * 128
            np.testing.assert_allclose(unletterbox(corners, lay), record.boxes, atol=1e-3)
            np.testing.assert_array_equal(targets[:, 1], record.labels)


def test_crowds_are_not_learnt_from(folder: Path) -> None:
    split = open_dataset(folder).split("val")
    boxes = len(torch.cat([batch.targets for batch in val_batches(split, size_px=64, batch=5)]))
    split.images[0].crowd[0] = True
    assert len(torch.cat([batch.targets for batch in val_batches(split, size_px=64, batch=5)])) == boxes - 1


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each image was decoded."""
    times: Counter[Path] = Counter()

    def counted(path: Path) -> np.ndarray:
        times[path] += 1
        return read_image(path)

    monkeypatch.setattr("catscale.trainer.data.images.read_image", counted)
    return times


def test_an_image_is_decoded_once_where_it_can_be_kept(split: Split, decoded: Counter[Path]) -> None:
    for number in range(3):
        epoch(split, number, threads=1)
    list(val_batches(split, size_px=64, batch=4))
    assert decoded == {record.path: 1 for record in split.images}


@pytest.mark.parametrize("free", [0, 64 * 64 * 3 * 10 * 2 - 1])
def test_images_are_kept_only_in_half_of_the_free_memory(
    split: Split, decoded: Counter[Path], monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    list(val_batches(split, size_px=64, batch=4))
    list(val_batches(split, size_px=64, batch=4))
    assert decoded == {record.path: 2 for record in split.images}


def test_a_kept_image_cannot_be_written_to(split: Split) -> None:
    image = memory.images_of(split, 96, cache="ram").load(0)
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 0


def test_memory_is_given_back_with_its_split_and_at_another_size(folder: Path) -> None:
    split = open_dataset(folder).split("train")
    small = weakref.ref(memory.images_of(split, 64, cache="ram"))
    large = weakref.ref(memory.images_of(split, 96, cache="ram"))
    gc.collect()
    assert (small() is None, large() is None) == (True, False)
    del split
    gc.collect()
    assert large() is None


def test_the_system_tells_its_free_memory() -> None:
    assert 2**20 < memory.free_bytes() < 2**50


def test_a_broken_image_is_an_error_where_its_batch_is_taken(tmp_path: Path) -> None:
    folder = make_shapes(tmp_path / "set", train=6, val=1, test=0, size_px=64)
    broken = folder / "images" / "train" / "000004.jpg"
    broken.write_bytes(broken.read_bytes()[:-200])
    batches = val_batches(open_dataset(folder).split("train"), size_px=64, batch=2)
    assert next(batches).ids == (1, 2)
    with pytest.raises(InputError, match=r"000004\.jpg: the image cannot be decoded"):
        next(batches)
    assert not data_threads()


def test_an_image_of_another_size_than_stated_is_an_error(tmp_path: Path) -> None:
    folder = make_shapes(tmp_path / "set", train=1, val=1, test=0, size_px=64)
    file = folder / "annotations" / "instances_train.json"
    file.write_text(file.read_text().replace('"width": 64', '"width": 65'))
    with pytest.raises(InputError, match=r"the image is 64 x 64 px, but its annotations state 65 x 64; correct"):
        list(val_batches(open_dataset(folder).split("train"), size_px=64, batch=2))


def data_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("catscale-data")]


def test_no_thread_is_left_behind(split: Split) -> None:
    epoch(split)
    assert not data_threads()
    batches = val_batches(split, size_px=64, batch=2)
    next(batches)
    assert data_threads()
    del batches  # as when the loop over it is left by an exception
    gc.collect()
    assert not data_threads()


def test_the_taker_is_told_how_long_it_waited(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(path: Path) -> np.ndarray:
        time.sleep(0.02)
        return read_image(path)

    monkeypatch.setattr("catscale.trainer.data.images.read_image", slow)
    batches = val_batches(split, size_px=64, batch=10, threads=1)
    assert batches.waited_s == 0
    next(batches)
    waited = batches.waited_s
    assert 0.2 <= waited < 5
    time.sleep(0.1)  # computing is no waiting
    assert batches.waited_s == waited


def test_multi_scale_draws_every_multiple_of_the_stride_within_its_bounds() -> None:
    def sizes(stride: int, epoch: int = 0) -> list[int]:
        return [random_size_px(640, stride, seed=3, epoch=epoch, index=index) for index in range(300)]

    assert sorted(set(sizes(32))) == list(range(320, 961, 32))
    assert sorted(set(sizes(64))) == list(range(320, 961, 64))
    assert sorted(set(sizes(8))) == list(range(320, 961, 32))
    assert sizes(32) == sizes(32) != sizes(32, epoch=1)
    assert random_size_px(32, 64, seed=0, epoch=0, index=0) == 64


def test_a_batch_is_resized_on_its_way(split: Split) -> None:
    batch = next(val_batches(split, size_px=64, batch=2))
    resized = batch.pixels("cpu", 96)
    assert resized.shape == (2, 3, 96, 96)
    torch.testing.assert_close(resized.mean(), batch.pixels("cpu").mean(), atol=0.01, rtol=0)


def test_a_batch_of_nothing_is_refused(split: Split) -> None:
    with pytest.raises(InputError, match=r"batch: 0 images; give at least 1"):
        next(val_batches(split, size_px=64, batch=0))


@pytest.fixture
def mixed(tmp_path: Path) -> Split:
    """Images of several aspects, with an object each, in no order."""
    sides = [(128, 96), (96, 128), (128, 64), (128, 128), (64, 128), (128, 90)]
    records: list[ImageRecord] = []
    for number, (width, height) in enumerate(sides):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((height, width, 3), 10 * number, dtype=np.uint8)).save(path)
        box = np.array([[8, 10, width - 20, height - 30]], dtype=np.float32)
        area = np.array([1], dtype=np.float32)
        records.append(ImageRecord(path, width, height, number, box, np.array([0]), np.array([False]), area))
    return Split("val", tuple(records))


def test_rectangles_are_the_published_ones(mixed: Split) -> None:
    """Sides of the batch's extreme aspect, in px, plus half a stride, up to a whole stride. 640 becomes 672."""
    batches = list(val_batches(mixed, size_px=640, batch=2, rect=True))
    assert [batch.ids for batch in batches] == [(2, 5), (0, 3), (1, 4)]
    # 90 / 128 of 640 is 450: 14.06 strides and a half, so 15; two aspects on either side of 1 make a square
    assert [batch.images.shape[2:] for batch in batches] == [(480, 672), (672, 672), (672, 512)]
    (coarse,) = val_batches(mixed, size_px=1280, batch=6, rect=True, stride=64)
    assert coarse.images.shape[2:] == (1344, 1344)


def test_boxes_find_their_way_back_from_rectangles(mixed: Split) -> None:
    records = {record.image_id: record for record in mixed.images}
    for batch in val_batches(mixed, size_px=320, batch=2, rect=True):
        height, width = batch.images.shape[2:]
        for row, (image_id, lay) in enumerate(zip(batch.ids, batch.letterboxes, strict=True)):
            centres, sides = batch.targets[row, 2:4].numpy(), batch.targets[row, 4:].numpy()
            box = np.hstack([centres - sides / 2, centres + sides / 2])[None] * (width, height, width, height)
            np.testing.assert_allclose(unletterbox(box, lay), records[image_id].boxes, atol=1e-3)
            seen = (batch.images[row] == 10 * image_id).all(dim=0).nonzero()
            assert seen.min(dim=0).values.tolist() == [lay.pad_y, lay.pad_x]
            assert (seen.max(dim=0).values + 1 - seen.min(dim=0).values).tolist() == list(lay.resized[::-1])
            top, bottom = lay.pad_y, height - lay.pad_y - lay.resized[1]
            assert 0 <= bottom - top <= 1  # centred


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where decoded images are kept on disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "catscale" / "images"


def test_images_kept_on_disk_are_the_same_and_decoded_once_ever(
    split: Split, folder: Path, decoded: Counter[Path], files: Path
) -> None:
    expected = epoch(split, cache="none")
    decoded.clear()
    assert same(expected, epoch(split, cache="disk", threads=1))
    assert same(expected, epoch(open_dataset(folder).split("train"), cache="disk", threads=4))
    assert decoded == {record.path: 1 for record in split.images}
    assert len(list(files.rglob("*.npy"))) == len(split.images)
    assert not list(files.rglob("*.tmp"))


def test_an_image_that_changes_is_decoded_anew(tmp_path: Path, files: Path) -> None:
    folder = make_shapes(tmp_path / "set", train=1, val=1, test=0, size_px=64)
    split = open_dataset(folder).split("train")

    def pixels() -> np.ndarray:
        return next(val_batches(split, size_px=64, batch=1, cache="disk")).images.numpy()

    before = pixels()
    Image.fromarray(np.full((64, 64, 3), 77, dtype=np.uint8)).save(split.images[0].path)
    assert (pixels() != before).any()
    assert abs(int(pixels().max()) - 77) <= 1
    assert len(list(files.rglob("*.npy"))) == 1  # the old one is gone


def test_a_broken_file_of_the_disk_cache_is_made_anew(split: Split, files: Path) -> None:
    expected = epoch(split, cache="disk")
    for number, file in enumerate(sorted(files.rglob("*.npy"))):
        file.write_bytes(file.read_bytes()[: 40 * number])
    assert same(expected, epoch(split, cache="disk"))


def test_a_cache_without_room_is_refused(split: Split, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_disk_bytes", lambda folder: 1000)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    for cache, where in (("disk", "images"), ("ram", "memory")):
        with pytest.raises(InputError, match=rf"cache: .* more than half of .* are free in .*{where}; use another"):
            epoch(split, cache=cache)  # type: ignore[arg-type]
    assert not list(files.rglob("*.npy"))
