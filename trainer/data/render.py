"""A layout under a view, drawn: pixels and boxes of the network's input.

Each tile goes from its (cached) image straight into the input, and only the part of it that is seen. No canvas is
made: that would be four times the input, filled to be looked at in part; and an image that is out of sight is not even
decoded. Where a view only zooms and shifts, as with every published recipe, a tile is a resize, several times faster
than a warp. Its edges fall on whole px then, at most half a px from where the view puts them, and its boxes follow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from .colour import Jitter
from .images import FILL
from .layouts import Layout, Tile
from .views import View, kept_boxes

# What a resized tile may reach over the input's edge: less than an image's px, which is 2 px at the largest zoom.
MARGIN = 4
_SUBPIXEL_BITS = 4


class Pictures(Protocol):
    """Images fitted to the input's size, with their objects."""

    size_px: int

    def __len__(self) -> int: ...

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in px of `load(index)`, without loading it."""
        ...

    def load(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, max(H, W) = size_px, not to be written to."""
        ...

    def objects(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 4) float64 x1 y1 x2 y2 in px of `load(index)`, and (n,) labels."""
        ...


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of the canvas in whole px, and where it lands, in whole px of the input (a little over its edges)."""

    first: int
    last: int
    start: int
    stop: int

    @classmethod
    def of(cls, first: int, last: int, zoom: float, shift: float, size_px: int) -> "_Span | None":
        first = max(first, math.floor(-shift / zoom))
        last = min(last, math.ceil((size_px - shift) / zoom))
        if first >= last:
            return None
        start, stop = round(zoom * first + shift), round(zoom * last + shift)
        return cls(first, last, start, stop) if max(start, 0) < min(stop, size_px) else None

    def land(self, at: np.ndarray) -> np.ndarray:
        """Coordinates of the canvas, clipped to the stretch, in the input."""
        scale = (self.stop - self.start) / (self.last - self.first)
        return (np.clip(at, self.first, self.last) - self.first) * scale + self.start


UNCHANGED = Jitter(1, 1, 1)


def render(
    pictures: Pictures, layout: Layout, view: View, jitter: Jitter = UNCHANGED
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw: a (S, S, 3) uint8 RGB image to be written to, its boxes (n, 4) float64 x1 y1 x2 y2 in px, its labels (n,).

    Boxes are clipped to the input, and dropped by the rule of `kept_boxes`. Colours are jittered where a tile has fewer
    px: in its image before that is enlarged, or in the input.
    """
    size_px = pictures.size_px
    grey = np.full((1, 1, 3), FILL, dtype=np.uint8)
    jitter.apply(grey, into=grey)
    frame = np.full((size_px + 2 * MARGIN, size_px + 2 * MARGIN, 3), grey[0, 0, 0], dtype=np.uint8)
    square = frame[MARGIN:-MARGIN, MARGIN:-MARGIN]
    befores: list[np.ndarray] = [np.empty((0, 4))]
    afters: list[np.ndarray] = [np.empty((0, 4))]
    labels: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
    draw = _resized if view.upright else _warped
    for tile in layout.tiles:
        boxes, classes = pictures.objects(tile.index)
        # As in the source: a box is first cut off with its tile, and what is left counts as the whole.
        boxes = _clipped(boxes + np.array([tile.left, tile.top] * 2), tile.seen)
        after = draw(pictures, tile, view, jitter, boxes, frame)
        if after is not None and len(boxes):
            befores.append(boxes * view.zoom)
            afters.append(_clipped(after, (0, 0, size_px, size_px)))
            labels.append(classes)
    after = np.concatenate(afters)
    kept = kept_boxes(np.concatenate(befores), after)
    return square, after[kept], np.concatenate(labels)[kept]


def _resized(
    pictures: Pictures, tile: Tile, view: View, jitter: Jitter, boxes: np.ndarray, frame: np.ndarray
) -> np.ndarray | None:
    """Draw a tile of an upright view: where its boxes land; None where it is out of sight."""
    x1, y1, x2, y2 = tile.seen
    across = _Span.of(x1, x2, view.zoom, float(view.matrix[0, 2]), pictures.size_px)
    down = _Span.of(y1, y2, view.zoom, float(view.matrix[1, 2]), pictures.size_px)
    if across is None or down is None:
        return None
    image = pictures.load(tile.index)
    part = image[down.first - tile.top : down.last - tile.top, across.first - tile.left : across.last - tile.left]
    onto = frame[down.start + MARGIN : down.stop + MARGIN, across.start + MARGIN : across.stop + MARGIN]

    def resize(part: np.ndarray, onto: np.ndarray) -> None:
        cv2.resize(part, onto.shape[1::-1], dst=onto, interpolation=cv2.INTER_LINEAR)

    _recoloured(resize, part, onto, jitter)
    landed = np.empty_like(boxes)
    landed[:, ::2], landed[:, 1::2] = across.land(boxes[:, ::2]), down.land(boxes[:, 1::2])
    return landed


def _warped(
    pictures: Pictures, tile: Tile, view: View, jitter: Jitter, boxes: np.ndarray, frame: np.ndarray
) -> np.ndarray | None:
    """Draw a tile of any view, as `_resized` does: a warp of the tile's own pixels within its outline."""
    x1, y1, x2, y2 = tile.seen
    outline = view.points(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], dtype=np.float64))
    left, top = np.maximum(np.floor(outline.min(axis=0)), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)), pictures.size_px).astype(int).tolist()
    if left >= right or top >= bottom:
        return None
    part = pictures.load(tile.index)[y1 - tile.top : y2 - tile.top, x1 - tile.left : x2 - tile.left]
    # The warp counts from the middle of pixel 0, the view from its corner.
    to_view = np.array([[1, 0, x1 + 0.5], [0, 1, y1 + 0.5], [0, 0, 1]])
    from_view = np.array([[1, 0, -left - 0.5], [0, 1, -top - 0.5], [0, 0, 1]])
    matrix = from_view @ view.matrix @ to_view

    def warp(part: np.ndarray, onto: np.ndarray) -> None:
        size, how = onto.shape[1::-1], {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
        if matrix[2, :2].any():
            cv2.warpPerspective(part, matrix, size, dst=onto, **how)
        else:
            cv2.warpAffine(part, matrix[:2], size, dst=onto, **how)

    drawn = np.empty((bottom - top, right - left, 3), dtype=np.uint8)
    _recoloured(warp, part, drawn, jitter)
    inside = np.zeros(drawn.shape[:2], dtype=np.uint8)
    corners = np.rint((outline - (left, top) - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillConvexPoly(inside, corners, 255, shift=_SUBPIXEL_BITS)
    cv2.copyTo(drawn, inside, frame[top + MARGIN : bottom + MARGIN, left + MARGIN : right + MARGIN])
    corners = view.points(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)).reshape(-1, 4, 2)
    return np.hstack([corners.min(axis=1), corners.max(axis=1)])


def _recoloured(
    draw: Callable[[np.ndarray, np.ndarray], None], part: np.ndarray, onto: np.ndarray, jitter: Jitter
) -> None:
    """Draw a part of an image, and jitter the colours of whichever has fewer px."""
    if part.size < onto.size and jitter != UNCHANGED:
        before = np.empty_like(part)
        jitter.apply(part, into=before)
        draw(before, onto)
    else:
        draw(part, onto)
        jitter.apply(onto, into=onto)


def _clipped(boxes: np.ndarray, to: tuple[int, int, int, int]) -> np.ndarray:
    x1, y1, x2, y2 = to
    return np.minimum(np.maximum(boxes, (x1, y1, x1, y1)), (x2, y2, x2, y2))
