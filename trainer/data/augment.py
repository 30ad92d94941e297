"""What training does to a letterboxed image and its boxes. Every draw comes from the generator that is passed in.

Source: YOLOv7 as released Pictures are (S, S, 3) uint8 RGB; boxes are (n, 4) x1 y1 x2 y2 in px of the picture.
"""

from typing import Annotated

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from .images import FILL

SMALLEST_SIDE_PX = 2.0
MOST_ASPECT = 20.0
LEAST_AREA = 0.10

Share = Annotated[float, Field(ge=0, le=1)]


class Augment(BaseModel):
    """How much an image is changed before it is learnt from; 0 throughout leaves it as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hsv_h: Share = 0.015  # hue times 1 ± this
    hsv_s: Share = 0.7  # saturation times 1 ± this
    hsv_v: Share = 0.4  # value times 1 ± this
    flipud: Share = 0.0  # probability
    fliplr: Share = 0.5  # probability
    translate: Annotated[float, Field(ge=0, le=0.9)] = 0.1  # the centre moves by up to this share of the side
    scale: Annotated[float, Field(ge=0, le=0.9)] = 0.5  # zoom from 1 - scale to 1.1 + scale; no zoom at 0


def augment(
    image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, settings: Augment, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Zoom and shift, then colours, then flips, as the settings say: the image, and the boxes and labels that stay."""
    image, boxes, kept = scale_translate(image, boxes, settings, rng)
    image = jitter_colour(image, settings, rng)
    if rng.random() < settings.flipud:
        image, boxes = flip_up_down(image, boxes)
    if rng.random() < settings.fliplr:
        image, boxes = flip_left_right(image, boxes)
    return image, boxes, labels[kept]


def scale_translate(
    image: np.ndarray, boxes: np.ndarray, settings: Augment, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Zoom about the centre and shift, in one warp; what comes in from outside is grey.

    The zoom is U(1 - scale, 1.1 + scale), the centre lands at U(0.5 - translate, 0.5 + translate) of the side.

    Returns:
        the image, the boxes that are kept, and (n,) bool: which ones (`kept_boxes`).
    """
    size_px = len(image)
    zoom = rng.uniform(1 - settings.scale, 1.1 + settings.scale) if settings.scale else 1.0
    centre = rng.uniform(0.5 - settings.translate, 0.5 + settings.translate, 2) * size_px
    if zoom == 1 and not settings.translate:
        return image, boxes, np.ones(len(boxes), dtype=bool)
    shift = centre - zoom * size_px / 2
    # Boxes count from the corner of pixel 0, the warp from its middle.
    middle = shift + (zoom - 1) / 2
    matrix = np.array([[zoom, 0, middle[0]], [0, zoom, middle[1]]])
    image = cv2.warpAffine(image, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR, borderValue=(FILL,) * 3)
    zoomed = boxes * zoom
    moved = np.clip(zoomed + np.tile(shift, 2), 0, size_px)
    kept = kept_boxes(zoomed, moved)
    return image, moved[kept], kept


def kept_boxes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which boxes are still worth learning after clipping: (n,) bool.

    Both sides above 2 px, aspect below 20, and more than 10 % of the area left.

    Args:
        before: (n, 4) the zoomed boxes, whole.
        after: (n, 4) the same, clipped to the picture.
    """
    old, new = before[:, 2:] - before[:, :2], after[:, 2:] - after[:, :2]
    aspect = new.max(axis=1) / np.maximum(new.min(axis=1), 1e-9)
    left = new.prod(axis=1) > LEAST_AREA * old.prod(axis=1)
    return (new > SMALLEST_SIDE_PX).all(axis=1) & (aspect < MOST_ASPECT) & left


def jitter_colour(image: np.ndarray, settings: Augment, rng: np.random.Generator) -> np.ndarray:
    """Multiply hue (on its circle), saturation and value by 1 + U(-gain, gain) each, through tables of 256 entries."""
    gains = np.array([settings.hsv_h, settings.hsv_s, settings.hsv_v])
    factors = 1 + rng.uniform(-1, 1, 3) * gains
    if not gains.any():
        return image
    levels = np.arange(256)
    tables = (
        (levels * factors[0] % 180).astype(np.uint8),
        np.clip(levels * factors[1], 0, 255).astype(np.uint8),
        np.clip(levels * factors[2], 0, 255).astype(np.uint8),
    )
    channels = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    jittered = cv2.merge([cv2.LUT(channel, table) for channel, table in zip(channels, tables, strict=True)])
    return cv2.cvtColor(jittered, cv2.COLOR_HSV2RGB)


def flip_left_right(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror the columns: x becomes width - x."""
    width = image.shape[1]
    mirrored = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    return np.ascontiguousarray(image[:, ::-1]), mirrored


def flip_up_down(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror the rows: y becomes height - y."""
    height = image.shape[0]
    mirrored = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1)
    return np.ascontiguousarray(image[::-1]), mirrored
