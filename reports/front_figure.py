"""The Pareto front's picture: it draws the frame that it is given (`points.py`), on a figure of its own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..scaler.figure_style import BLUE, INK, PALE, PAPER, RC, VERMILION, house_style, lay_out, wrapped
from ..search.quantities import QUANTITIES, Direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROWD = 1500  # points of which more are drawn as one image, so that files stay small
APART_PX = 17  # between two labels of the front; those nearer are one label
TOGETHER = 3  # trials in a label
LONG = 14  # members of a front of which more have labels where there is room
LETTER_PX, LINE_PX, MARK_PX = 8.5, 15.0, 8.0  # about as large as labels are, and half a mark of a reference
Place = tuple[float, float]  # in units of the axes
Places = dict[str, Place]  # by name
PX_PER_POINT = RC["figure.dpi"] / 72
NEAR = (((6, -3), 0.0), ((-6, -3), 1.0), ((0, 6), 0.5), ((0, -14), 0.5))
BESIDE = (((0, -20), 0.5), ((0, 10), 0.5), ((10, -4), 0.0), ((-10, -4), 1.0))  # offset in points; share to the left


def draw_front(
    points: pd.DataFrame,
    x: str,
    y: str,
    directions: tuple[Direction, Direction],
    title: str,
    published: pd.DataFrame | None = None,
) -> "Figure":
    """The front as a step line, its members by number; what they dominate, light; what was never trained, in grey.

    Args:
        points: as `points_frame` gives them.
        x, y: the quantities' names.
        directions: which way is better, of x and y.
        title: of the figure.
        published: other people's models, as `published_points` gives them.
    """
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 4.0), layout="constrained")
        axes = figure.add_subplot()
        at = points.assign(**{name: points[name] / QUANTITIES[x].scale for name in ("x", "x_low", "x_high")})
        at = at.assign(**{name: points[name] / QUANTITIES[y].scale for name in ("y", "y_low", "y_high")})
        members = at.query("kind == 'front'").sort_values(["x", "y"])
        placed = at.dropna(subset=["x", "y"])
        _whiskers(axes, members)
        _scatter(axes, placed, "refused", "refused", marker="x", s=26, color=PALE, linewidths=1.1)
        _scatter(axes, placed, "stopped", "stopped early", marker="v", s=26, facecolors=PAPER, edgecolors=PALE)
        _scatter(axes, placed, "dominated", "dominated", s=30, color=PALE, alpha=0.8, linewidths=0)
        if len(members) > 1:
            step = "steps-post" if directions[0] == "minimize" else "steps-pre"  # it encloses what is dominated
            axes.plot(members["x"], members["y"], drawstyle=step, color=BLUE, linewidth=1.8, zorder=3)
        style = {"s": 58, "color": BLUE, "edgecolors": PAPER, "linewidths": 1.2, "label": "Pareto front", "zorder": 5}
        axes.scatter(members["x"], members["y"], **style)
        base = placed.query("reference != ''")
        if len(base):
            style = {"marker": "D", "s": 96, "facecolors": "none", "edgecolors": VERMILION, "linewidths": 1.8}
            axes.scatter(base["x"], base["y"], **style, label="reference", zorder=6)
        others: Places = {}
        if published is not None and len(published):
            others = _published(axes, published, QUANTITIES[x].scale, QUANTITIES[y].scale)
        axes.margins(0.1, 0.14)
        untrained = np.array(at.query("kind == 'refused' and y.isna()")["x"])
        if len(untrained):
            _ticks(axes, untrained, anything=len(placed) > 0)
        axes.set_xlabel(f"{QUANTITIES[x].label} · {better(directions[0])}")
        axes.set_ylabel(f"{QUANTITIES[y].label} · {better(directions[1])}")
        axes.set_title(wrapped(title, figure))
        figure.legend(loc="outside lower center", ncols=5, columnspacing=1.2, handletextpad=0.4)
        lay_out(figure)  # labels keep apart in pixels, so the axes must have their place
        taken = _number(axes, members, directions[0])
        _name(axes, base, set(members.index), taken)
        _name_published(axes, others, taken)
    return figure


def better(direction: Direction) -> str:
    """Which way is better, for an axis."""
    return "less is better" if direction == "minimize" else "more is better"


def _scatter(axes: "Axes", placed: pd.DataFrame, kind: str, label: str, **style: object) -> None:
    some = placed[(placed["kind"] == kind) & (placed["reference"] == "")]
    if len(some):
        if len(some) > CROWD:
            style |= {"s": 7, "alpha": 0.35, "rasterized": True}
        axes.scatter(some["x"], some["y"], label=label, zorder=2, **style)  # type: ignore[arg-type]


def _whiskers(axes: "Axes", members: pd.DataFrame) -> None:
    """Intervals of the front's members, in both directions where they are known."""
    spread = {
        axis: [(members[axis] - members[f"{axis}_low"]).fillna(0), (members[f"{axis}_high"] - members[axis]).fillna(0)]
        for axis in "xy"
    }
    if any(side.gt(0).any() for sides in spread.values() for side in sides):
        style = {"fmt": "none", "ecolor": BLUE, "elinewidth": 1.0, "capsize": 2.5, "alpha": 0.55, "zorder": 4}
        axes.errorbar(members["x"], members["y"], xerr=spread["x"], yerr=spread["y"], **style)


def _published(axes: "Axes", published: pd.DataFrame, x_scale: float, y_scale: float) -> Places:
    """Squares; gives where each model is, for its name."""
    places = [(x / x_scale, y / y_scale) for x, y in zip(published["x"], published["y"], strict=True)]
    style = {"marker": "s", "s": 30, "facecolors": "none", "edgecolors": INK, "linewidths": 1.1, "zorder": 4}
    axes.scatter(*np.array(places).T, label="published", **style)
    return dict(zip(published["model"], places, strict=True))


def _ticks(axes: "Axes", refused: np.ndarray, *, anything: bool) -> None:
    """Ticks on the x axis; those far to the right are only counted, so that the points keep their room."""
    low, high = axes.get_xlim()
    near = refused[refused <= low + 1.6 * (high - low)] if anything else refused
    further = f", {len(refused) - len(near)} further right" if len(near) < len(refused) else ""
    style = {"marker": "|", "markersize": 9, "linestyle": "none", "color": PALE, "markeredgewidth": 1.4, "zorder": 2}
    heights = np.full(len(near), 0.015)
    label = f"refused ({len(refused)}{further})"
    transform = axes.get_xaxis_transform()
    axes.plot(near, heights, transform=transform, label=label, rasterized=len(near) > CROWD, **style)


def _number(axes: "Axes", members: pd.DataFrame, direction: Direction) -> list[np.ndarray]:
    """Members of the front on the side where no point can be, equal ones together; gives the room that is taken.

    Labels that would cover each other are one, and those without room are left out.
    """
    outward = -6 if direction == "minimize" else 6
    places: dict[tuple[float, float], list[object]] = {}
    for number, x, y in zip(members.index, members["x"], members["y"], strict=True):
        places.setdefault((x, y), []).append(number)
    share = 1.0 if outward < 0 else 0.0
    taken: list[np.ndarray] = []
    pixels = axes.transData.transform(np.array(list(places)).reshape(-1, 2))
    for kept, close in _together(pixels).items():
        x, y = list(places)[kept]
        numbers = [str(number) for index in (kept, *close) for number in list(places.values())[index]]
        if len(pixels) > LONG:
            close, numbers = [], numbers[:1]
        text = ", ".join(numbers[:TOGETHER]) + (" …" if len(numbers) > TOGETHER else "")
        box = _box(pixels[kept], text, (outward, 6), share)
        if not _is_free(box, taken) or (len(pixels) > LONG and not _is_inside(box, axes)):
            continue
        taken.append(box)
        side = "right" if outward < 0 else "left"
        style = {"textcoords": "offset points", "ha": side, "fontweight": "bold", "zorder": 7}
        axes.annotate(text, (x, y), (outward, 6), **style)
    return taken + [_mark(pixel, MARK_PX / 2) for pixel in pixels]


def _name(axes: "Axes", base: pd.DataFrame, members: set[object], taken: list[np.ndarray]) -> None:
    """References by name below them, or beside or above where something else is; by number where no name has room."""
    pixels = axes.transData.transform(np.array(base[["x", "y"]], dtype=float).reshape(-1, 2))
    taken += [_mark(pixel, MARK_PX) for pixel in pixels]
    for pixel, (number, x, y, name) in zip(pixels, base[["x", "y", "reference"]].itertuples(), strict=True):
        numbered = number in members  # already
        texts = [name] if numbered else [f"{number} {name}", str(number)]
        tries = [(text, offset, share) for text in texts for offset, share in BESIDE]
        found = _with_room(pixel, tries, axes, taken) or (None if numbered else tries[-len(BESIDE)])
        if found:
            ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.8}  # a line may be behind it
            _write(axes, (x, y), *found, bbox=ground)
            taken.append(_box(pixel, *found))


def _name_published(axes: "Axes", places: Places, taken: list[np.ndarray]) -> None:
    """The names of other people's models where they have room, the newest family's first."""
    pixels = dict(zip(places, axes.transData.transform(np.array(list(places.values())).reshape(-1, 2)), strict=True))
    taken += [_mark(pixel, MARK_PX / 2) for pixel in pixels.values()]
    for model in sorted(places, key=lambda model: not model.startswith("YOLOv7")):
        tries = [(model, offset, share) for offset, share in NEAR]
        if found := _with_room(pixels[model], tries, axes, taken):
            _write(axes, places[model], *found, fontsize=8)
            taken.append(_box(pixels[model], *found))


Try = tuple[str, tuple[float, float], float]  # a label, its offset in points, and the share of it that is to the left


def _with_room(pixel: np.ndarray, tries: Sequence[Try], axes: "Axes", taken: list[np.ndarray]) -> Try | None:
    """The first of some labels at a place that is inside the axes and covers nothing."""
    boxes = [_box(pixel, *one) for one in tries]
    free = (one for one, box in zip(tries, boxes, strict=True) if _is_inside(box, axes) and _is_free(box, taken))
    return next(free, None)


def _write(axes: "Axes", at: Place, text: str, offset: tuple[float, float], share: float, **style: object) -> None:
    ha = {0.0: "left", 0.5: "center", 1.0: "right"}[share]
    axes.annotate(text, at, offset, textcoords="offset points", ha=ha, color=INK, zorder=7, **style)  # type: ignore[arg-type]


def _mark(pixel: np.ndarray, half_px: float) -> np.ndarray:
    return np.array([pixel - half_px, pixel + half_px])


def _box(pixel: np.ndarray, text: str, offset: tuple[float, float], share: float) -> np.ndarray:
    """About where a label is, (2, 2) px: its lower left and upper right; `share` of it is left of its place."""
    corner = pixel + np.array(offset) * PX_PER_POINT - np.array([share * LETTER_PX * len(text), 0.0])
    return np.array([corner, corner + np.array([LETTER_PX * len(text), LINE_PX])])


def _is_inside(box: np.ndarray, axes: "Axes") -> bool:
    """Whether a label is within the axes, but for their top."""
    return bool(box[0, 0] >= axes.bbox.x0 and box[1, 0] <= axes.bbox.x1 and box[0, 1] >= axes.bbox.y0)


def _is_free(box: np.ndarray, taken: list[np.ndarray]) -> bool:
    """Whether a label covers none of those before it."""
    return all((box[1] <= other[0]).any() or (other[1] <= box[0]).any() for other in taken)


def _together(pixels: np.ndarray) -> dict[int, list[int]]:
    """Which places along the front have a label, both ends first, and which others, too near to it, each names."""
    labels: dict[int, list[int]] = {}
    places = range(len(pixels))
    for index in dict.fromkeys([*places[:1], *places[-1:], *places]):
        distances = {kept: float(np.abs(pixels[index] - pixels[kept]).max()) for kept in labels}
        nearest = min(distances, key=lambda kept: distances[kept], default=None)
        if nearest is None or distances[nearest] >= APART_PX:
            labels[index] = []
        else:
            labels[nearest].append(index)
    return labels
