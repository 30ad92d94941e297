"""Where the images of a sample lie on its canvas, before anything is drawn: from their sizes alone.

A canvas is square and grey; it is larger than the network's input, and a view (`views.py`) looks at a part of it.
Source: the training code of YOLOv7 (arXiv:2207.02696), restated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .images import centred

Size = Callable[[int], tuple[int, int]]  # width and height in px of an image, fitted to the input's size


@dataclass(frozen=True, slots=True)
class Tile:
    """An image on a canvas, cut off at the canvas's edge. Whole px of the canvas."""

    index: int  # of the image
    left: int  # where its left edge would be, were it not cut off
    top: int
    seen: tuple[int, int, int, int]  # x1 y1 x2 y2: the part that is on the canvas


@dataclass(frozen=True, slots=True)
class Layout:
    """Tiles that do not overlap, on a canvas of `side` x `side` px."""

    side: int
    tiles: tuple[Tile, ...]


def letterbox_layout(index: int, size: Size, size_px: int) -> Layout:
    """One image, centred in a canvas of the input's own size."""
    width, height = size(index)
    corner = (centred(width, size_px), centred(height, size_px))
    return _layout(size_px, [(index, corner, (width, height))])


def mosaic4(indices: list[int], size: Size, size_px: int, rng: np.random.Generator) -> Layout:
    """Four images around a point of a canvas of twice the input's side, each with the corner that faces it.

    The point is drawn from the middle half of the canvas. Order: top left, top right, bottom left, bottom right.
    """
    y, x = (int(at) for at in rng.uniform(size_px / 2, 3 * size_px / 2, 2))
    placed: list[_Placed] = []
    for place, index in enumerate(indices):
        width, height = size(index)
        left, top = (x if place % 2 else x - width), (y if place // 2 else y - height)
        placed.append((index, (left, top), (width, height)))
    return _layout(2 * size_px, placed)


def mosaic9(indices: list[int], size: Size, size_px: int, rng: np.random.Generator) -> Layout:
    """Nine images in a ring around the first, clockwise from the top; a window of twice the input's side is cut out."""
    s = size_px
    y, x = (int(at) for at in rng.uniform(0, size_px, 2))
    (first_width, first_height), before = size(indices[0]), (0, 0)
    placed: list[_Placed] = []
    for place, index in enumerate(indices):
        (w, h), (pw, ph), (fw, fh) = size(index), before, (first_width, first_height)
        left, top = (
            (s, s),
            (s, s - h),
            (s + pw, s - h),
            (s + fw, s),
            (s + fw, s + ph),
            (s + fw - w, s + fh),
            (s + fw - pw - w, s + fh),
            (s - w, s + fh - h),
            (s - w, s + fh - ph - h),
        )[place]
        placed.append((index, (left - x, top - y), (w, h)))
        before = (w, h)
    return _layout(2 * size_px, placed)


_Placed = tuple[int, tuple[int, int], tuple[int, int]]  # image, left and top, width and height


def _layout(side: int, placed: list[_Placed]) -> Layout:
    tiles: list[Tile] = []
    for index, (left, top), (width, height) in placed:
        seen = (max(left, 0), max(top, 0), min(left + width, side), min(top + height, side))
        if seen[0] < seen[2] and seen[1] < seen[3]:
            tiles.append(Tile(index, left, top, seen))
    return Layout(side, tuple(tiles))
