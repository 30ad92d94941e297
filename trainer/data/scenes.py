"""Procedurally drawn pictures for detection: shapes with clean boxes before a busy background.

A picture follows from its generator alone. Everything is drawn four times as large and averaged down, so that edges are
smooth and the visible share of each shape is known to a sixteenth of a pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = ("circle", "square", "triangle", "star", "cross", "ring")
VISIBLE = 0.35  # share of a shape that must be seen for it to be labelled
MOST_SHAPES = 8
SMALLEST_SHARE, LARGEST_SHARE = 0.06, 0.75  # diameter of a shape, of the picture's side: at 256 px, 15 to 192 px
SUPERSAMPLE = 4


@dataclass(frozen=True)
class Scene:
    """A picture, (size, size, 3) uint8 RGB, and its labelled shapes."""

    image: np.ndarray
    boxes: np.ndarray  # (n, 4) int64: x1, y1, x2, y2 in px, around what is seen of each shape
    labels: np.ndarray  # (n,) int64: index into CLASSES
    area: np.ndarray  # (n,) int64: px seen


def draw_scene(rng: np.random.Generator, size_px: int) -> Scene:
    """Draw 1 to 8 shapes; one stays without a label where others leave less than 35 % of it to be seen."""
    canvas = _background(rng, size_px)
    drawn: list[tuple[int, np.ndarray]] = []
    taken = np.zeros((size_px, size_px), dtype=np.float32)
    for _ in range(rng.integers(1, MOST_SHAPES + 1)):
        label = int(rng.integers(len(CLASSES)))
        cover = _place(rng, _outline(CLASSES[label]), size_px, taken)
        _cast_shadow(canvas, cover)
        _paint(canvas, cover, rng)
        drawn.append((label, cover))
        taken = np.maximum(taken, cover)
    image = _photograph(canvas, rng)
    return Scene(image, *visible_boxes(drawn))


def visible_boxes(drawn: list[tuple[int, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is labelled of the shapes drawn: each at least 35 % visible, by what is seen of it.

    Args:
        drawn: class and cover, (size, size) float32 from 0 to 1, of each shape, the rearmost first.

    Returns:
        boxes (n, 4) and areas (n,) in whole px and classes (n,), int64, the foremost first: boxes, classes, areas.
    """
    rows: list[tuple[list[int], int, int]] = []
    free = np.ones_like(drawn[0][1])
    for label, cover in reversed(drawn):
        seen = cover * free
        free = free * (1 - cover)
        pixels = seen > 0.5
        if seen.sum() >= VISIBLE * cover.sum() and pixels.any():
            across, down = np.flatnonzero(pixels.any(axis=0)), np.flatnonzero(pixels.any(axis=1))
            box = [int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1]
            rows.append((box, label, int(pixels.sum())))
    boxes = np.array([row[0] for row in rows], dtype=np.int64).reshape(-1, 4)
    return boxes, np.array([row[1] for row in rows], dtype=np.int64), np.array([row[2] for row in rows], dtype=np.int64)


def _outline(name: str) -> list[np.ndarray]:
    """Closed contours, each (n, 2), of a shape within the unit circle; a contour inside another is a hole."""

    def polygon(corners: int, radii: tuple[float, ...] = (1.0,), turn: float = 0.0) -> np.ndarray:
        angle = 2 * np.pi * np.arange(corners) / corners + turn
        radius = np.resize(np.array(radii), corners)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    arm = 0.32
    cross = [(arm, 1), (arm, arm), (1, arm), (1, -arm), (arm, -arm), (arm, -1)]
    outlines: dict[str, list[np.ndarray]] = {
        "circle": [polygon(72)],
        "square": [polygon(4, turn=np.pi / 4)],
        "triangle": [polygon(3)],
        "star": [polygon(10, (1.0, 0.42))],
        "cross": [np.array([*cross, *((-x, -y) for x, y in cross)]) * 0.95],
        "ring": [polygon(72), polygon(72, (0.55,))],
    }
    return outlines[name]


def _place(rng: np.random.Generator, outline: list[np.ndarray], size_px: int, taken: np.ndarray) -> np.ndarray:
    """Turn, stretch and place a shape: its cover of each pixel, (size, size) float32 from 0 to 1.

    Three of four shapes take the freest of six places, the others the first: some overlap, most are seen.
    """
    share = np.exp(rng.uniform(np.log(SMALLEST_SHARE), np.log(LARGEST_SHARE)))
    angle = rng.uniform(0, 2 * np.pi)
    stretch = np.array([1.0, rng.uniform(0.75, 1.0)])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shape = [contour * stretch @ turn * share * size_px / 2 for contour in outline]
    margin = 0.3 * share  # up to a fifth of a shape may be cut off by the edge
    centres = rng.uniform(margin, 1 - margin, (6 if rng.random() < 0.75 else 1, 2)) * size_px
    covers = (_cover([contour + centre for contour in shape], size_px) for centre in centres)
    return min(covers, key=lambda cover: float((cover * taken).sum()))


def _cover(contours: list[np.ndarray], size_px: int) -> np.ndarray:
    """Share of each pixel inside contours given in px: (size, size) float32, to 1/16; drawn only where they lie."""
    low = np.floor(np.min([contour.min(axis=0) for contour in contours], axis=0)).astype(int) - 1
    high = np.ceil(np.max([contour.max(axis=0) for contour in contours], axis=0)).astype(int) + 1
    low, high = np.clip(low, 0, size_px), np.clip(high, 0, size_px)
    cover = np.zeros((size_px, size_px), dtype=np.float32)
    width, height = high - low
    if width > 0 and height > 0:
        fine = np.zeros((height * SUPERSAMPLE, width * SUPERSAMPLE), dtype=np.uint8)
        points = [np.rint((contour - low) * SUPERSAMPLE).astype(np.int32) for contour in contours]
        cv2.fillPoly(fine, points, 255)
        part = cv2.resize(fine, (int(width), int(height)), interpolation=cv2.INTER_AREA)
        cover[low[1] : high[1], low[0] : high[0]] = part / np.float32(255)
    return cover


def _colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> np.ndarray:
    """A random colour, (3,) float32 RGB from 0 to 255."""
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value)]]], dtype=np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * np.float32(255)


def _blend(canvas: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> None:
    """Paint `colour`, (3,) or (height, width, 3), over the canvas, in place, as far as `cover` says."""
    canvas += cover[:, :, None] * (colour - canvas)


def _window(cover: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that a cover reaches; all of them for an empty one."""
    down, across = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    if not len(down):
        return slice(None), slice(None)
    return slice(int(down[0]), int(down[-1]) + 1), slice(int(across[0]), int(across[-1]) + 1)


def _paint(canvas: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> None:
    """Fill a shape with a gradient that stands out from what is behind it, now and then with a darker rim."""
    window = _window(cover)
    canvas, cover = canvas[window], cover[window]
    behind = canvas.mean(axis=(0, 1))
    colour = _colour(rng, (0.45, 1.0), (0.35, 1.0))
    for _ in range(8):
        if np.linalg.norm(colour - behind) >= 90:
            break
        colour = _colour(rng, (0.45, 1.0), (0.35, 1.0))
    angle, strength = rng.uniform(0, 2 * np.pi), np.float32(rng.uniform(0.1, 0.5))
    height, width = cover.shape
    down, across = np.linspace(-0.5, 0.5, height)[:, None], np.linspace(-0.5, 0.5, width)
    ramp = np.clip(0.5 + across * np.cos(angle) + down * np.sin(angle), 0, 1).astype(np.float32)
    _blend(canvas, colour * (1 - strength * ramp[:, :, None]), cover)
    if rng.random() < 0.4:
        inner = cv2.erode(cover, np.ones((3, 3), np.uint8), borderValue=1)
        _blend(canvas, colour * np.float32(0.45), cover - inner)


def _cast_shadow(canvas: np.ndarray, cover: np.ndarray) -> None:
    size_px = len(canvas)
    shift = size_px * 0.012
    moved = cv2.warpAffine(cover, np.array([[1, 0, shift], [0, 1, shift]], dtype=np.float32), (size_px, size_px))
    shadow = cv2.GaussianBlur(moved, (0, 0), max(0.8, shift * 0.7))
    window = _window(shadow)
    _blend(canvas[window], np.zeros(3, dtype=np.float32), np.float32(0.45) * shadow[window])


def _background(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """A soft gradient under texture, blobs and lines: (size, size, 3) float32."""
    corners = np.stack([_colour(rng, (0.05, 0.5), (0.2, 0.95)) for _ in range(4)]).reshape(2, 2, 3)
    canvas = cv2.resize(corners, (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    grain = rng.normal(0, rng.uniform(3, 14), (int(rng.integers(6, 40)),) * 2).astype(np.float32)
    canvas += cv2.resize(grain, (size_px, size_px), interpolation=cv2.INTER_CUBIC)[:, :, None]
    if rng.random() < 0.4:
        canvas += _stripes(rng, size_px)[:, :, None]
    for clutter, most in ((_blob, 4), (_line, 7)):
        for _ in range(rng.integers(0, most + 1)):
            cover = _cover([clutter(rng) * size_px], size_px) * np.float32(rng.uniform(0.3, 0.85))
            window = _window(cover)
            _blend(canvas[window], _colour(rng, (0.0, 0.8), (0.15, 0.95)), cover[window])
    return canvas


def _stripes(rng: np.random.Generator, size_px: int) -> np.ndarray:
    y, x = np.mgrid[:size_px, :size_px].astype(np.float32) / np.float32(size_px)
    angle, waves = rng.uniform(0, np.pi), rng.uniform(4, 24)
    return np.float32(rng.uniform(4, 12)) * np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle))).astype(
        np.float32
    )


def _blob(rng: np.random.Generator) -> np.ndarray:
    """A round, dented outline that is none of the classes, (n, 2) as shares of the picture."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 1 + sum(rng.uniform(0.08, 0.3) * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    reach = rng.uniform(0.02, 0.14)
    return rng.uniform(0, 1, 2) + reach * np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _line(rng: np.random.Generator) -> np.ndarray:
    """A thin straight line, as the outline of a bar, (4, 2) as shares of the picture."""
    start, end = rng.uniform(-0.1, 1.1, (2, 2))
    along = end - start
    across = np.array([-along[1], along[0]]) / max(1e-6, float(np.hypot(*along))) * rng.uniform(0.002, 0.008)
    return np.stack([start - across, end - across, end + across, start + across])


def _photograph(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur a little, add sensor noise, round: (size, size, 3) uint8."""
    if rng.random() < 0.5:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.0))
    noise = rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(rng.uniform(1, 9))
    return np.clip(np.rint(canvas + noise), 0, 255).astype(np.uint8)
