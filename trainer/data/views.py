"""How a canvas is looked at: one map from its px to those of the network's input, for pixels and boxes alike.

Coordinates count from the corner of pixel 0, as boxes do. Source: YOLOv7 as released, restated.
"""

import math
from dataclasses import dataclass

import numpy as np

from .settings import Augment

SMALLEST_SIDE_PX = 2.0
MOST_ASPECT = 20.0
LEAST_AREA = 0.10
MOST_TILT = 0.8  # of the way from the canvas's centre to the viewer that a corner may come near by perspective


@dataclass(frozen=True, slots=True)
class View:
    """A random perspective: (x, y) of the canvas lands at matrix @ (x, y, 1), divided by its third entry."""

    matrix: np.ndarray  # (3, 3) float64
    zoom: float  # the part of `matrix` that boxes are compared by

    @property
    def upright(self) -> bool:
        """Whether it zooms and shifts only, so that rows stay rows."""
        off_diagonal = self.matrix[[0, 1, 2, 2], [1, 0, 0, 1]]
        return not off_diagonal.any()

    def points(self, points: np.ndarray) -> np.ndarray:
        """Where points of the canvas land: (n, 2) to (n, 2)."""
        landed = np.column_stack([points, np.ones(len(points))]) @ self.matrix.T
        return landed[:, :2] / landed[:, 2:]


def random_view(settings: Augment, canvas: int, size_px: int, rng: np.random.Generator) -> View:
    """Draw how a canvas of side `canvas` is seen in an input of side `size_px`.

    About the canvas's centre: perspective, then rotation and zoom U(1 - scale, 1.1 + scale), then shears; the centre
    lands at U(0.5 - translate, 0.5 + translate) of the input's side.
    """
    zoom = rng.uniform(1 - settings.scale, 1.1 + settings.scale) if settings.scale else 1.0
    x, y = rng.uniform(0.5 - settings.translate, 0.5 + settings.translate, 2) * size_px
    matrix = np.array([[zoom, 0, x - zoom * canvas / 2], [0, zoom, y - zoom * canvas / 2], [0, 0, 1]])
    if settings.degrees or settings.shear or settings.perspective:
        # No corner may come behind the viewer: with both terms at their most, 1 - MOST_TILT is left of its distance.
        tilt = min(settings.perspective, MOST_TILT / canvas)
        across, down = rng.uniform(-tilt, tilt, 2)
        angle = math.radians(rng.uniform(-settings.degrees, settings.degrees))
        shear_x, shear_y = np.tan(np.radians(rng.uniform(-settings.shear, settings.shear, 2)))
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        centre = np.array([[1, 0, -canvas / 2], [0, 1, -canvas / 2], [0, 0, 1]])
        perspective = np.array([[1, 0, 0], [0, 1, 0], [across, down, 1]])
        rotation = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        shears = np.array([[1, shear_x, 0], [shear_y, 1, 0], [0, 0, 1]])
        matrix = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ shears @ rotation @ perspective @ centre
    return View(matrix, zoom)


def kept_boxes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which boxes are still worth learning after clipping: (n,) bool.

    Both sides above 2 px, aspect below 20, and more than 10 % of the area left.

    Args:
        before: (n, 4) the zoomed boxes, whole.
        after: (n, 4) the same, clipped to the picture.
    """
    old, new = before[:, 2:] - before[:, :2], after[:, 2:] - after[:, :2]
    shorter, longer = np.minimum(new[:, 0], new[:, 1]), np.maximum(new[:, 0], new[:, 1])
    left = new[:, 0] * new[:, 1] > LEAST_AREA * old[:, 0] * old[:, 1]
    return (shorter > SMALLEST_SIDE_PX) & (longer < MOST_ASPECT * shorter) & left
