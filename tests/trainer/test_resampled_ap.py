"""AP computed again from what an evaluation keeps: as it was reported, and as pycocotools has it of repeated images."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.trainer.data.records import Dataset, ImageRecord, Split
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.kept_matches import KeptMatches, keep_matches
from catscale.trainer.resampled_ap import resampled_ap
from catscale.trainer.scoring import Found, score

IMAGES = 72


@pytest.fixture(scope="module")
def bccd(real_data: Path) -> tuple[Split, Dataset]:
    """Photographs of blood cells, some of whose cells count as crowds here."""
    data = open_dataset(str(real_data / "bccd"))
    rng = np.random.default_rng(1)
    records = data.split("val").images[:IMAGES]
    return Split("val", tuple(replace(one, crowd=rng.random(len(one.boxes)) < 0.1) for one in records)), data


@pytest.fixture(scope="module")
def found(bccd: tuple[Split, Dataset]) -> list[Found]:
    return [guessed(record, np.random.default_rng(record.image_id)) for record in bccd[0].images]


def guessed(record: ImageRecord, rng: np.random.Generator) -> Found:
    """Every object found three times, more or less well, among as many boxes of nothing; some scores are equal."""
    boxes = np.repeat(record.boxes.astype(float), 3, axis=0)
    boxes += rng.normal(0, 0.1, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    labels = np.repeat(record.labels, 3)
    nothing = np.sort(rng.random((len(boxes), 2, 2)) * [[record.width, record.height]], axis=1).reshape(-1, 4)
    boxes, labels = np.concatenate((boxes, nothing)), np.concatenate((labels, rng.integers(0, 3, len(nothing))))
    scores = np.round(rng.random(len(boxes)) + 0.2 * (np.arange(len(boxes)) < len(labels) / 2), 3).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    return Found(record.image_id, boxes[order], scores[order], labels[order])


def drawn(split: Split, found: Sequence[Found], counts: np.ndarray) -> tuple[Split, list[Found]]:
    """A split with each image as often as drawn, as images of their own, and what was found in them."""
    images, again = [], []
    for record, image, count in zip(split.images, found, counts, strict=True):
        for _ in range(count):
            images.append(replace(record, image_id=len(images) + 1))
            again.append(replace(image, image_id=len(images)))
    return Split("val", tuple(images)), again


def test_each_image_once_is_what_was_reported(bccd: tuple[Split, Dataset], found: list[Found], tmp_path: Path) -> None:
    split, data = bccd
    reported = score(found, split, data, scorer="pycocotools")
    keep_matches(found, split, data, by_size=True).write(tmp_path / "matches.npz")
    kept = KeptMatches.read(tmp_path / "matches.npz")
    once = np.ones((1, IMAGES), dtype=int)
    by_area = {area: resampled_ap(kept, once, area)[0] for area in kept.areas.tolist()}
    assert 0.1 < reported.ap < 0.9
    assert by_area["all"].mean() == pytest.approx(reported.ap, abs=1e-9)
    assert by_area["all"][0] == pytest.approx(reported.ap50, abs=1e-9)
    assert by_area["all"][5] == pytest.approx(reported.ap75, abs=1e-9)
    assert by_area["small"].mean() == pytest.approx(reported.ap_small, abs=1e-9)
    assert by_area["medium"].mean() == pytest.approx(reported.ap_medium, abs=1e-9)
    assert by_area["large"].mean() == pytest.approx(reported.ap_large, abs=1e-9)
    assert (tmp_path / "matches.npz").stat().st_size < 200_000


def test_a_resample_is_the_score_of_images_that_are_there_as_often(
    bccd: tuple[Split, Dataset], found: list[Found]
) -> None:
    split, data = bccd
    kept = keep_matches(found, split, data)
    weights = np.random.default_rng(0).multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), 2)
    for counts, ap in zip(weights, resampled_ap(kept, weights), strict=True):
        images, again = drawn(split, found, counts)
        reported = score(again, images, data, by_size=False)
        # Of equal scores in two copies pycocotools has first whatever copy is first: worth less than the fifth digit.
        assert ap.mean() == pytest.approx(reported.ap, abs=1e-4)


def test_a_class_that_was_not_drawn_is_left_out_and_nothing_at_all_is_no_number(
    bccd: tuple[Split, Dataset], found: list[Found]
) -> None:
    split, data = bccd
    kept = keep_matches(found, split, data)
    without = (kept.objects[0, :, 2] == 0).astype(int)[None]
    images, again = drawn(split, found, without[0])
    per_class = score(again, images, data, by_size=False).per_class
    expected = [one.ap for one in per_class.values() if one.ap is not None]
    assert len(expected) == 2
    assert resampled_ap(kept, without).mean() == pytest.approx(np.mean(expected), abs=1e-9)
    assert np.isnan(resampled_ap(kept, np.zeros((1, IMAGES), dtype=int))).all()


def test_no_detections_have_precision_0(bccd: tuple[Split, Dataset]) -> None:
    split, data = bccd
    none = [Found(one.image_id, np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int)) for one in split.images]
    assert (resampled_ap(keep_matches(none, split, data), np.ones((1, IMAGES), dtype=int)) == 0).all()


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_another_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "best.matches.npz"
    if content is None:
        np.savez(path, format=np.array(1), classes=np.array([{}], dtype=object))  # a pickle, which is never read
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"best\.matches\.npz: not the matches of an evaluation"):
        KeptMatches.read(path)


def test_weights_of_other_images_are_refused(bccd: tuple[Split, Dataset], found: list[Found]) -> None:
    kept = keep_matches(found, *bccd)
    with pytest.raises(ValueError, match="not for 72 images"):
        resampled_ap(kept, np.ones((1, 71), dtype=int))
