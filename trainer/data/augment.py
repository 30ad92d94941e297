"""What training makes of an image and its boxes: one sample. Every draw comes from the generator that is passed in.

Source: YOLOv7 as released. Pictures are (S, S, 3) uint8 RGB; boxes are (n, 4) x1 y1 x2 y2 in px of the picture.
"""

import cv2
import numpy as np

from .colour import Jitter
from .layouts import Layout, letterbox_layout, mosaic4, mosaic9
from .paste import paste_in
from .render import Pictures, render
from .settings import Augment
from .views import View, random_view

MIXUP_BETA = 8.0  # a blend of two is near one half each: Beta(8, 8)


def augment(
    pictures: Pictures, index: int, settings: Augment, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sample that begins with image `index`: the image, and the boxes and labels that stay.

    Geometry (a mosaic, perhaps blended with another, or the letterboxed image alone) and colours, then objects that are
    pasted in, then flips.
    """
    joined = _chance(settings.mosaic, rng)
    scene = _mosaic(pictures, index, settings, rng) if joined else _alone(pictures, index, settings, rng)
    if joined and _chance(settings.mixup, rng):
        other = _mosaic(pictures, int(rng.integers(len(pictures))), settings, rng)
        share = rng.beta(MIXUP_BETA, MIXUP_BETA)
        jitter = Jitter.draw(settings, rng)
        image, boxes, labels = render(pictures, *scene)
        blended, more_boxes, more_labels = render(pictures, *other)
        cv2.addWeighted(image, share, blended, 1 - share, 0, dst=image)
        jitter.apply(image, into=image)
        boxes, labels = np.concatenate([boxes, more_boxes]), np.concatenate([labels, more_labels])
    else:
        image, boxes, labels = render(pictures, *scene, Jitter.draw(settings, rng))
    if _chance(settings.paste_in, rng):
        boxes, labels = paste_in(image, boxes, labels, pictures, rng)
    if rng.random() < settings.flipud:
        image, boxes = flip_up_down(image, boxes)
    if rng.random() < settings.fliplr:
        image, boxes = flip_left_right(image, boxes)
    return image, boxes, labels


def _alone(pictures: Pictures, index: int, settings: Augment, rng: np.random.Generator) -> tuple[Layout, View]:
    """An image letterboxed, under a random view."""
    layout = letterbox_layout(index, pictures.size, pictures.size_px)
    return layout, random_view(settings, layout.side, pictures.size_px, rng)


def _mosaic(pictures: Pictures, index: int, settings: Augment, rng: np.random.Generator) -> tuple[Layout, View]:
    """An image and three or eight others (any, also the same) side by side, under a random view."""
    nine = _chance(settings.mosaic9, rng)
    indices = [index, *rng.integers(len(pictures), size=8 if nine else 3).tolist()]
    layout = (mosaic9 if nine else mosaic4)(indices, pictures.size, pictures.size_px, rng)
    return layout, random_view(settings, layout.side, pictures.size_px, rng)


def _chance(probability: float, rng: np.random.Generator) -> bool:
    """Nothing is drawn for what never happens: a setting at 0 leaves all other draws as they are."""
    return probability > 0 and rng.random() < probability


def flip_left_right(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror the columns: x becomes width - x."""
    width = image.shape[1]
    mirrored = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    return cv2.flip(image, 1), mirrored


def flip_up_down(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror the rows: y becomes height - y."""
    height = image.shape[0]
    mirrored = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1)
    return cv2.flip(image, 0), mirrored
