"""Boxes stay on their pixels whatever is done to an image; the settings bound what is done."""

import colorsys

import cv2
import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.documents import parse
from catscale.trainer.data.augment import augment, flip_left_right, flip_up_down
from catscale.trainer.data.colour import Jitter
from catscale.trainer.data.settings import Augment
from catscale.trainer.data.views import kept_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from .still_pictures import Still

NOTHING = Augment(hsv_h=0, hsv_s=0, hsv_v=0, flipud=0, fliplr=0, translate=0, scale=0)
SIZE_PX = 96


def white_box(box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return image


def alone(image: np.ndarray, boxes: object, labels: object) -> Still:
    return Still(SIZE_PX, [image], [boxes], [labels])  # type: ignore[list-item]


def extent(image: np.ndarray) -> list[int]:
    """Of what is white: x1, y1, x2, y2."""
    seen = image.min(axis=2) > 127
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"translate": 0.2, "scale": 0.5, "fliplr": 0.5, "flipud": 0.5},
        {"translate": 0.1, "degrees": 180, "scale": 0.3},
        {"shear": 20},
        {"perspective": 0.001, "degrees": 10, "shear": 5, "translate": 0.1, "fliplr": 0.5},
    ],
)
@given(x=st.integers(2, 80), y=st.integers(2, 80), seed=st.integers(0, 2**32 - 1), side=st.integers(6, 40))
@settings(max_examples=40, deadline=None)
def test_a_box_stays_on_its_pixels(changes: dict[str, float], x: int, y: int, seed: int, side: int) -> None:
    box = (x, y, min(x + side, SIZE_PX - 2), min(y + side, SIZE_PX - 2))  # off the edge, where grey would blend in
    image, boxes, labels = augment(
        alone(white_box(box), [box], [3]), 0, NOTHING.model_copy(update=changes), np.random.default_rng(seed)
    )
    assert len(boxes) == len(labels) <= 1
    if len(boxes):
        assert labels.tolist() == [3]
        upright = set(changes) <= {"translate", "scale", "fliplr", "flipud"}
        # A turned box ends in a point, which fills no pixel; cut off at the edge, its extent is more than what is seen.
        if upright or (boxes.min() > 0 and boxes.max() < SIZE_PX):
            np.testing.assert_allclose(boxes[0], extent(image), atol=0.75 if upright else 2.5)


def test_a_label_goes_with_its_box() -> None:
    """The first box leaves the picture whenever the shift is to the left, the second stays."""
    boxes, labels = [[0.0, 40, 8, 60], [60, 40, 80, 60]], [3, 5]
    changes = NOTHING.model_copy(update={"translate": 0.2})
    lonely = 0
    for seed in range(30):
        pictures = alone(white_box((60, 40, 80, 60)), boxes, labels)
        image, kept, kept_labels = augment(pictures, 0, changes, np.random.default_rng(seed))
        if len(kept) == 1:
            assert kept_labels.tolist() == [5]
            np.testing.assert_allclose(kept[0], extent(image), atol=0.75)
            lonely += 1
    assert lonely > 5


def test_flips_mirror_pixels_and_boxes_exactly() -> None:
    box = (5, 10, 25, 70)
    for flip, expected in ((flip_left_right, [71, 10, 91, 70]), (flip_up_down, [5, 26, 25, 86])):
        image, boxes = flip(white_box(box), np.array([box]))
        assert boxes[0].tolist() == extent(image) == expected
        again, back = flip(image, boxes)
        np.testing.assert_array_equal(again, white_box(box))
        assert back[0].tolist() == list(box)


def test_no_settings_change_nothing() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    boxes, labels = [[1.0, 2, 30, 40], [5, 5, 8, 8]], [0, 1]
    same, same_boxes, same_labels = augment(alone(image, boxes, labels), 0, NOTHING, rng)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(same_boxes, boxes)
    np.testing.assert_array_equal(same_labels, labels)


def test_zoom_and_shift_keep_to_their_bounds() -> None:
    image = white_box((0, 0, SIZE_PX, SIZE_PX))
    zooms = []
    for seed in range(200):
        zoomed = NOTHING.model_copy(update={"scale": 0.5})
        _, boxes, _ = augment(alone(image, [[28.0, 28, 68, 68]], [0]), 0, zoomed, np.random.default_rng(seed))
        zooms.append((boxes[0, 2] - boxes[0, 0]) / 40)
        np.testing.assert_allclose(boxes[0, :2] + boxes[0, 2:], SIZE_PX, atol=2)  # about the centre, in whole px
        moved = NOTHING.model_copy(update={"translate": 0.25})
        square, boxes, _ = augment(
            alone(image, [[0.0, 0, SIZE_PX, SIZE_PX]], [0]), 0, moved, np.random.default_rng(seed)
        )
        assert 0.75 * SIZE_PX <= boxes[0, 2] - boxes[0, 0] <= SIZE_PX
        assert square.min() == 114  # what comes in
    assert 0.48 <= min(zooms) < 0.55
    assert 1.55 < max(zooms) <= 1.62


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), True),
        ((0, 0, 2, 10), (0, 0, 2, 10), False),  # 2 px wide
        ((0, 0, 2.1, 10), (0, 0, 2.1, 10), True),
        ((0, 0, 100, 10), (0, 0, 10.1, 10), True),  # just above 10 % left
        ((0, 0, 100, 10), (0, 0, 9.9, 10), False),
        ((0, 0, 60, 3), (0, 0, 60, 3), False),  # 20 to 1
        ((0, 0, 59, 3), (0, 0, 59, 3), True),
        ((-50, -50, -10, -10), (0, 0, 0, 0), False),
    ],
)
def test_a_box_is_kept_while_it_is_worth_learning(
    before: tuple[float, ...], after: tuple[float, ...], kept: bool
) -> None:
    assert kept_boxes(np.array([before]), np.array([after])).tolist() == [kept]


@pytest.mark.parametrize("channel", ["hsv_h", "hsv_s", "hsv_v"])
def test_colour_moves_in_its_own_channel_within_its_gain(channel: str) -> None:
    gain = 0.4
    image = np.full((SIZE_PX, SIZE_PX, 3), (200, 120, 80), dtype=np.uint8)
    before = np.array(colorsys.rgb_to_hsv(*(image[0, 0] / 255)))
    moved = "hsv".index(channel[-1])
    factors = []
    for seed in range(60):
        changes = NOTHING.model_copy(update={channel: gain})
        jittered, _, _ = augment(alone(image.copy(), [], []), 0, changes, np.random.default_rng(seed))
        after = np.array(colorsys.rgb_to_hsv(*(jittered[0, 0] / 255)))
        others = [index for index in range(3) if index != moved]
        np.testing.assert_allclose(after[others], before[others], atol=0.02)
        factors.append(after[moved] / before[moved])
    assert 1 - gain - 0.1 < min(factors) < 0.75
    assert 1.2 < max(factors) < 1 + gain + 0.1


@pytest.mark.parametrize("factors", [(1.014, 1.5, 1.2), (0.99, 0.4, 0.7), (1.0, 1.69, 1.39), (1.39, 1.0, 1.01)])
def test_colours_are_those_of_the_source_s_tables(factors: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (200, 300, 3), dtype=np.uint8), (0, 0), 2)
    image = cv2.normalize(image, np.empty_like(image), 0, 255, cv2.NORM_MINMAX)
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    levels = np.arange(256)
    hue = cv2.LUT(hue, (levels * factors[0] % 180).astype(np.uint8))
    saturation = cv2.LUT(saturation, np.clip(levels * factors[1], 0, 255).astype(np.uint8))
    value = cv2.LUT(value, np.clip(levels * factors[2], 0, 255).astype(np.uint8))
    expected = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB).astype(int)
    Jitter(*factors).apply(image, into=image)
    difference = np.abs(image - expected)
    assert difference.max() <= 6  # where a product lies within 0.001 of a whole number, one step of hue
    assert (difference > 0).mean() < 0.05


def test_the_same_generator_state_gives_the_same_sample() -> None:
    image = np.random.default_rng(1).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    pictures = alone(image, [[10.0, 20, 60, 70]], [1])
    changes = Augment(mosaic=0.8, mixup=0.5, paste_in=0.5)
    first, again, other = (augment(pictures, 0, changes, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fliplr": 1.5}, r"augment: fliplr: input should be less than or equal to 1, not 1\.5"),
        ({"scale": 1}, r"augment: scale: input should be less than or equal to 0\.9"),
        ({"hsv_h": -0.1}, r"augment: hsv_h: input should be greater than or equal to 0"),
        ({"hsv_h": 0.5}, r"augment: hsv_h: input should be less than or equal to 0\.4"),
        ({"mosaic": 2}, r"augment: mosaic: input should be less than or equal to 1"),
        ({"fliprl": 0.5}, r"augment: unknown key 'fliprl'; did you mean 'fliplr'\?"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(Augment, settings, "augment")
