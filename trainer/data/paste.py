"""Paste-in: objects of other images put where a sample has room.

Ours differs from the source in two points: an object is cut out with its box, for boxes are what data sets have here,
polygons are not read; and candidates are taken from the records, so that only the pixels of what is pasted are loaded
(the source draws whole mosaics and throws them away).
"""

import cv2
import numpy as np

from .layouts import mosaic4
from .render import Pictures

DONORS = 30  # candidates to choose from
TRIES = 30  # mosaics that are looked through for them
SHARES = (0.75,) * 2 + (0.5,) * 4 + (0.25,) * 4 + (0.125,) * 4 + (0.0625,) * 6  # of the side that a rectangle may take
SKIPPED = 0.2  # probability that a rectangle is not tried
MOST_COVERED = 0.30  # of any object's own box
LEAST_ROOM_PX, LEAST_SIDE_PX = 20, 10


def paste_in(
    image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, pictures: Pictures, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paste up to 20 cut-outs into an image, in place: the boxes and labels, longer by those of the pasted.

    Source: YOLOv7 as released, restated: sizes of the rectangles, room, acceptance.
    """
    donors = _donors(pictures, rng)
    if not donors:
        return boxes, labels
    height, width = image.shape[:2]
    pasted: list[tuple[int, int, int, int]] = []
    pasted_labels: list[int] = []
    taken = boxes
    for share in SHARES:
        if rng.random() < SKIPPED:
            continue
        high, wide = (int(rng.integers(1, max(int(side * share), 1) + 1)) for side in (height, width))
        left = max(0, int(rng.integers(0, width + 1)) - wide // 2)
        top = max(0, int(rng.integers(0, height + 1)) - high // 2)
        right, bottom = min(width, left + wide), min(height, top + high)
        if min(right - left, bottom - top) <= LEAST_ROOM_PX or _covers(taken, (left, top, right, bottom)):
            continue
        index, (x1, y1, x2, y2), label = donors[int(rng.integers(len(donors)))]
        fit = min((right - left) / (x2 - x1), (bottom - top) / (y2 - y1))
        size = (int((x2 - x1) * fit), int((y2 - y1) * fit))
        if min(size) <= LEAST_SIDE_PX:
            continue
        box = (left, top, left + size[0], top + size[1])
        cut = pictures.load(index)[y1:y2, x1:x2]
        cv2.resize(cut, size, dst=image[top : box[3], left : box[2]], interpolation=cv2.INTER_LINEAR)
        pasted.append(box)
        pasted_labels.append(label)
        taken = np.concatenate([boxes, np.array(pasted, dtype=np.float64)])
    return taken, np.concatenate([labels, np.array(pasted_labels, dtype=labels.dtype)])


_Donor = tuple[int, tuple[int, int, int, int], int]  # image, x1 y1 x2 y2 in whole px of it, label


def _donors(pictures: Pictures, rng: np.random.Generator) -> list[_Donor]:
    """Objects as mosaics of random images would show them, half of each mosaic's, until there are enough."""
    donors: list[_Donor] = []
    for _ in range(TRIES):
        layout = mosaic4(rng.integers(len(pictures), size=4).tolist(), pictures.size, pictures.size_px, rng)
        found: list[_Donor] = []
        for tile in layout.tiles:
            boxes, labels = pictures.objects(tile.index)
            x1, y1, x2, y2 = tile.seen
            seen = np.array([x1, y1, x2, y2]) - np.array([tile.left, tile.top] * 2)
            cut = np.rint(np.minimum(np.maximum(boxes, seen[[0, 1, 0, 1]]), seen[[2, 3, 2, 3]])).astype(int).tolist()
            found += [
                (tile.index, (left, top, right, bottom), label)
                for (left, top, right, bottom), label in zip(cut, labels.tolist(), strict=True)
                if left < right and top < bottom
            ]
        chosen = rng.permutation(len(found))[: round(len(found) / 2)]
        donors += [found[place] for place in chosen]
        if not donors or len(donors) >= DONORS:
            break
    return donors


def _covers(boxes: np.ndarray, rectangle: tuple[int, int, int, int]) -> bool:
    """Whether a rectangle hides too much of any box."""
    left, top, right, bottom = rectangle
    across = np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left)
    down = np.minimum(boxes[:, 3], bottom) - np.maximum(boxes[:, 1], top)
    hidden = np.maximum(across, 0) * np.maximum(down, 0)
    own = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return bool((hidden >= MOST_COVERED * own).any())
