"""Mosaic, mixup and paste-in: where images lie, that boxes stay on their pixels, and that samples are the source's."""

import cv2
import numpy as np
import pytest
from catscale.trainer.data.augment import augment
from catscale.trainer.data.layouts import Layout, mosaic4, mosaic9
from catscale.trainer.data.memory import images_of
from catscale.trainer.data.paste import paste_in
from catscale.trainer.data.records import ImageRecord, Split
from catscale.trainer.data.settings import Augment
from hypothesis import given, settings
from hypothesis import strategies as st

from .plain_pipeline import PlainPipeline
from .still_pictures import Still

SIZE_PX = 96
NOTHING = Augment(hsv_h=0, hsv_s=0, hsv_v=0, flipud=0, fliplr=0, translate=0, scale=0)
MOSAIC = NOTHING.model_copy(update={"mosaic": 1.0})

sides = st.tuples(st.integers(20, SIZE_PX), st.integers(20, SIZE_PX))


def owners(layout: Layout) -> np.ndarray:
    """How many tiles own each px of the canvas."""
    owned = np.zeros((layout.side, layout.side), dtype=int)
    for tile in layout.tiles:
        x1, y1, x2, y2 = tile.seen
        owned[y1:y2, x1:x2] += 1
    return owned


@given(sizes=st.lists(sides, min_size=4, max_size=4), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_four_images_meet_in_a_point_of_the_middle_half(sizes: list[tuple[int, int]], seed: int) -> None:
    layout = mosaic4([0, 1, 2, 3], sizes.__getitem__, SIZE_PX, np.random.default_rng(seed))
    assert layout.side == 2 * SIZE_PX
    assert owners(layout).max() == 1
    first, second, third, last = layout.tiles
    x, y = first.left + sizes[0][0], first.top + sizes[0][1]
    assert SIZE_PX / 2 <= x <= 3 * SIZE_PX / 2
    assert SIZE_PX / 2 <= y <= 3 * SIZE_PX / 2
    assert (second.left, second.top + sizes[1][1]) == (x, y)
    assert (third.left + sizes[2][0], third.top) == (x, y)
    assert (last.left, last.top) == (x, y)


@given(sizes=st.lists(sides, min_size=9, max_size=9), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_nine_images_do_not_overlap(sizes: list[tuple[int, int]], seed: int) -> None:
    layout = mosaic9(list(range(9)), sizes.__getitem__, SIZE_PX, np.random.default_rng(seed))
    assert layout.side == 2 * SIZE_PX
    assert owners(layout).max() == 1


def test_nine_images_of_full_size_fill_the_canvas() -> None:
    for seed in range(20):
        layout = mosaic9(list(range(9)), lambda _: (SIZE_PX, SIZE_PX), SIZE_PX, np.random.default_rng(seed))
        assert owners(layout).min() == owners(layout).max() == 1
        assert layout.tiles[0].index == 0


def spotted() -> Still:
    """Black images of several aspects, with white boxes at least 16 px from each other and from the edges."""
    images: list[np.ndarray] = []
    boxes: list[list[list[float]]] = []
    for height, width in ((96, 96), (64, 96), (96, 56)):
        image = np.zeros((height, width, 3), dtype=np.uint8)
        found = [[16.0, 16, 36, 32], [16, 48, 30, height - 10], [52, 20, width - 2, 44]]
        found = [box for box in found if box[2] - box[0] > 8 and box[3] - box[1] > 8]
        for x1, y1, x2, y2 in found:
            image[int(y1) : int(y2), int(x1) : int(x2)] = 255
        images.append(image)
        boxes.append(found)
    return Still(SIZE_PX, images, boxes, [[0] * len(found) for found in boxes])


@pytest.mark.parametrize("nine", [0, 1])
def test_boxes_of_a_mosaic_lie_on_their_pixels(nine: int) -> None:
    """Every box is full of white, no white goes on beside it, and what is elsewhere is of boxes that were dropped."""
    pictures = spotted()
    changes = MOSAIC.model_copy(update={"mosaic9": nine, "scale": 0.5, "translate": 0.2, "fliplr": 0.5})
    seen = left = all_white = 0
    for seed in range(60):
        image, boxes, _ = augment(pictures, seed % 3, changes, np.random.default_rng(seed))
        white = image.min(axis=2) > 127
        all_white += int(white.sum())
        for x1, y1, x2, y2 in np.rint(boxes).astype(int):
            assert white[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].all()
            assert not white[max(y1 - 2, 0) : max(y1 - 1, 0), x1:x2].any()
            assert not white[y2 + 1 : y2 + 2, x1:x2].any()
            assert not white[y1:y2, max(x1 - 2, 0) : max(x1 - 1, 0)].any()
            assert not white[y1:y2, x2 + 1 : x2 + 2].any()
            white[max(y1 - 1, 0) : y2 + 1, max(x1 - 1, 0) : x2 + 1] = False
            seen += 1
        left += int(white.sum())
    assert seen > 150
    assert left < 0.02 * all_white


def test_what_is_out_of_sight_is_not_loaded() -> None:
    pictures = spotted()
    near = MOSAIC.model_copy(update={"mosaic9": 1, "scale": 0.9})
    for seed in range(40):
        augment(pictures, 0, near, np.random.default_rng(seed))
    assert 40 < len(pictures.loaded) < 0.7 * 9 * 40


def test_mixup_blends_two_mosaics_about_evenly_and_keeps_the_boxes_of_both() -> None:
    white, black = (np.full((SIZE_PX, SIZE_PX, 3), value, dtype=np.uint8) for value in (255, 0))
    pictures = Still(SIZE_PX, [white, black], [[[10, 10, 90, 90]]] * 2, [[0], [1]])
    unmixed = MOSAIC.model_copy(update={"mosaic9": 0.0})
    shares: list[float] = []
    added = 0
    for seed in range(80):
        first, boxes, labels = augment(pictures, 0, unmixed, np.random.default_rng(seed))
        image, more, more_labels = augment(
            pictures, 0, unmixed.model_copy(update={"mixup": 1.0}), np.random.default_rng(seed)
        )
        assert set(np.unique(first)) <= {0, 114, 255}
        np.testing.assert_array_equal(more[: len(boxes)], boxes)
        np.testing.assert_array_equal(more_labels[: len(boxes)], labels)
        added += len(more) - len(boxes)
        over_black = image[first == 0]
        if over_black.size and over_black.max() > 60:  # a white px of the other, times its share
            shares.append(1 - float(over_black.max()) / 255)
    assert added > 80
    # Beta(8, 8): mean 1/2, standard deviation 1 / sqrt(68)
    assert abs(np.mean(shares) - 0.5) < 0.1
    assert 0.05 < np.std(shares) < 0.2


def test_what_is_pasted_has_a_box_of_its_own_and_hides_little() -> None:
    red = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    red[20:70, 10:90] = (255, 0, 0)
    pictures = Still(SIZE_PX, [red], [[[10, 20, 90, 70]]], [[7]])
    pasted = 0
    for seed in range(60):
        image = np.full((SIZE_PX, SIZE_PX, 3), 40, dtype=np.uint8)
        before = np.array([[5.0, 5, 45, 45]])
        boxes, labels = paste_in(image, before, np.array([1]), pictures, np.random.default_rng(seed))
        assert boxes[0].tolist() == before[0].tolist()
        assert labels.tolist() == [1] + [7] * (len(boxes) - 1)
        covered = np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
        for x1, y1, x2, y2 in boxes[1:].astype(int):
            covered[y1:y2, x1:x2] = True
            assert 0 <= x1 < x2 <= SIZE_PX
            assert min(x2 - x1, y2 - y1) > 10
            assert (image[y1:y2, x1:x2] == (255, 0, 0)).all(axis=2).mean() > 0.6  # later ones hide less than 0.3
            pasted += 1
        np.testing.assert_array_equal((image == (255, 0, 0)).all(axis=2), covered)
        if len(boxes) == 2:
            assert covered[5:45, 5:45].mean() < 0.30
    assert pasted > 60


def test_without_objects_nothing_is_pasted() -> None:
    empty = Still(SIZE_PX, [np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.uint8)], [[]], [[]])
    image, boxes, labels = augment(empty, 0, MOSAIC.model_copy(update={"paste_in": 1.0}), np.random.default_rng(0))
    assert image.shape == (SIZE_PX, SIZE_PX, 3)
    assert (len(boxes), len(labels)) == (0, 0)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Images of many aspects, the longer side 96 px: coloured rectangles on a textured ground."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    records: list[ImageRecord] = []
    for number in range(30):
        short = int(rng.integers(40, SIZE_PX + 1))
        width, height = (SIZE_PX, short) if number % 3 else (short, SIZE_PX)
        image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 1.5)
        image = cv2.add(image, np.full_like(image, rng.integers(0, 60, 3)))
        boxes: list[list[float]] = []
        for _ in range(int(rng.integers(0, 7))):
            x1, y1 = int(rng.integers(0, width - 12)), int(rng.integers(0, height - 12))
            x2, y2 = min(width, x1 + int(rng.integers(8, 40))), min(height, y1 + int(rng.integers(8, 40)))
            image[y1:y2, x1:x2] = rng.integers(0, 256, 3)
            boxes.append([x1, y1, x2, y2])
        path = folder / f"{number:03}.png"
        cv2.imwrite(str(path), image)
        array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        area, count = (array[:, 2:] - array[:, :2]).prod(axis=1), len(boxes)
        labels, crowd = rng.integers(0, 3, count), np.zeros(count, dtype=bool)
        records.append(ImageRecord(path, width, height, number, array, labels, crowd, area))
    return Split("train", tuple(records))


def statistics(pixels: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Of one sample, (S, S, 3) RGB and boxes in px: of its pixels, of its boxes together, and of any one of them."""
    values = {f"mean of {name}": float(pixels[..., place].mean()) for place, name in enumerate("rgb")}
    values |= {f"spread of {name}": float(pixels[..., place].std()) for place, name in enumerate("rgb")}
    values |= {"boxes": len(boxes), "grey": float((pixels == pixels.min(axis=2, keepdims=True)).all(axis=2).mean())}
    if len(boxes):
        sides, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
        values["mean area"] = float(sides.prod(axis=1).mean())
        values["cut off"] = float(((boxes[:, :2] < 0.01) | (boxes[:, 2:] > SIZE_PX - 0.01)).any(axis=1).mean())
        one = int(rng.integers(len(boxes)))
        figures = (*centres[one], *sides[one], sides[one].prod())
        values |= dict(zip(("x", "y", "width", "height", "area"), map(float, figures), strict=True))
    return values


def apart(first: list[float], second: list[float]) -> float:
    """Kolmogorov and Smirnov's distance of two samples, in units of what one pair in a thousand exceeds by chance."""
    every = np.sort(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(sample), every, side="right") / len(sample) for sample in (first, second)]
    distance = np.abs(shares[0] - shares[1]).max()
    by_chance = 1.95 * np.sqrt((len(first) + len(second)) / (len(first) * len(second)))  # sqrt(-ln(0.001 / 2) / 2)
    return float(distance / by_chance)


@pytest.mark.parametrize("count", [500, pytest.param(6000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "changes",
    [
        {"mosaic": 1.0, "scale": 0.9, "translate": 0.2, "mixup": 0.15, "paste_in": 0.15},  # the recipe p5
        {"mosaic": 0.9, "scale": 0.5, "translate": 0.1, "mixup": 0.9, "paste_in": 0.9, "flipud": 0.3},
        {"mosaic": 0.7, "degrees": 15.0, "shear": 8.0, "perspective": 0.001, "scale": 0.4, "translate": 0.15},
    ],
)
def test_samples_are_distributed_as_those_of_a_plain_pipeline(
    photographs: Split, changes: dict[str, float], count: int
) -> None:
    """Each statistic of a sample, over independent samples."""
    recipe = Augment(**changes)
    pictures = images_of(photographs, SIZE_PX, cache="ram")
    plain = PlainPipeline(photographs.images, SIZE_PX, recipe, seed=1, keep=True)
    rng = np.random.default_rng(2)
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for number in range(count):
        index = number % len(photographs.images)
        image, boxes, _ = augment(pictures, index, recipe, np.random.default_rng((3, number)))
        ours.append(statistics(image, boxes, rng))
        planes, labels = plain.sample(index)
        centres, sides = labels[:, 1:3] * SIZE_PX, labels[:, 3:] * SIZE_PX
        theirs.append(statistics(planes.transpose(1, 2, 0), np.hstack([centres - sides / 2, centres + sides / 2]), rng))
    distances = {
        name: apart(*([values[name] for values in samples if name in values] for samples in (ours, theirs)))
        for name in {name for values in ours for name in values}
    }
    assert {name: distance for name, distance in distances.items() if distance > 1} == {}
