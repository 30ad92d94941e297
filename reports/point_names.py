"""Names beside the points of a figure, each where it meets neither another name nor a point."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..scaler.figure_style import lay_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTER, LINE = 0.62, 1.25  # width of a letter and height of a line, in sizes of the font
APART = 6.0  # of a name from its point, in points
POINT = 4.0  # half the side of a mark, in points
SIDES = {  # where a name's box begins, in its own widths and heights, from its point; the first that is free is taken
    "left": ((1.0, 0.0), (0.0, -0.5)),
    "right": ((-1.0, 0.0), (-1.0, -0.5)),
    "above": ((0.0, 1.0), (-0.5, 0.0)),
    "below": ((0.0, -1.0), (-0.5, -1.0)),
}

Boxes = list[NDArray[np.float64]]  # each of two corners, in points


def name_points(figure: "Figure", axes: "Axes", places: Mapping[str, tuple[float, float]], size: float = 8) -> None:
    """Write each name beside its place: right of it, left, above or below; right where all of these are taken."""
    lay_out(figure)
    pixels = axes.transData.transform(np.array(list(places.values())).reshape(-1, 2))
    points = pixels * 72 / figure.dpi
    taken: Boxes = [np.stack([point - POINT, point + POINT]) for point in points]
    for own, (name, place) in enumerate(places.items()):
        extent = np.array([LETTER * len(name), LINE]) * size
        others = taken[:own] + taken[own + 1 :]
        boxes = {side: _box(points[own], extent, side) for side in SIDES}
        side = next((side for side, box in boxes.items() if not _meets(box, others)), "left")
        taken.append(boxes[side])
        style: dict[str, Any] = {
            "fontsize": size,
            "va": "center",
            "ha": side if side in ("left", "right") else "center",
        }
        (direction, _) = SIDES[side]
        offset = (APART * direction[0], (APART + size / 2) * direction[1])
        axes.annotate(name, place, offset, textcoords="offset points", **style)


def _box(point: NDArray[np.float64], extent: NDArray[np.float64], side: str) -> NDArray[np.float64]:
    direction, corner = map(np.array, SIDES[side])
    begins = point + APART * direction + corner * extent
    return np.stack([begins, begins + extent])


def _meets(box: NDArray[np.float64], others: Boxes) -> bool:
    return any((box[0] < other[1]).all() and (other[0] < box[1]).all() for other in others)
