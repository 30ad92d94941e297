"""The labels of a data set as one picture: classes, sizes, places, objects in an image."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...blocks.errors import InputError
from ...scaler.documents import written
from ...scaler.figure_style import BLUE, PALE, house_style
from .stats import Stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
MOST_CLASSES = 40  # bars; the rarer classes are summed up in one more
MOST_IN_AN_IMAGE = 60  # bars of the last panel
CELLS = 48  # of a map, across and down


def draw_stats(stats: Stats, file: Path) -> None:
    """Draw labels into a file, PNG or SVG by its name.

    Raises:
        InputError: another name, or the file cannot be written.
    """
    kind = file.suffix.lower()
    if kind not in FORMATS:
        raise InputError(f"{file}: a figure is written as PNG or SVG; let its name end in {' or '.join(FORMATS)}")
    with house_style():
        figure = stats_figure(stats)
        with written(file) as beside:
            figure.savefig(beside, format=kind[1:], metadata={"Date": None} if kind == ".svg" else None)


def stats_figure(stats: Stats) -> "Figure":
    """Four panels; to be called in the house style."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 8), layout="constrained")
    figure.suptitle(f"{stats.source}: {stats.boxes} boxes in {stats.images} images", x=0.01, ha="left")
    classes, sizes, places, crowding = figure.subplots(2, 2).flat
    _classes(classes, stats.per_class)
    _map(sizes, stats.sizes, "Sizes, shares of the image", "width", "height")
    _map(places, stats.centres, "Centres, shares of the image", "x", "y")
    places.invert_yaxis()
    most = int(stats.per_image.max(initial=0))
    bins = np.arange(min(most, MOST_IN_AN_IMAGE) + 2) - 0.5
    crowding.hist(np.minimum(stats.per_image, MOST_IN_AN_IMAGE), bins=bins, color=BLUE)
    last = f" (the last bar: {MOST_IN_AN_IMAGE} or more)" if most > MOST_IN_AN_IMAGE else ""
    crowding.set(
        title="Boxes in an image",
        xlabel=f"boxes{last}",
        ylabel="images",
    )
    return figure


def _classes(axes: "Axes", per_class: dict[str, int]) -> None:
    ordered = sorted(per_class.items(), key=lambda item: -item[1])
    shown, rest = ordered[:MOST_CLASSES], ordered[MOST_CLASSES:]
    if rest:
        shown.append((f"{len(rest)} more", sum(count for _, count in rest)))
    names, counts = [name for name, _ in reversed(shown)], [count for _, count in reversed(shown)]
    bars = axes.barh(range(len(shown)), counts, color=BLUE)
    axes.set_yticks(range(len(shown)), [_plain(name) for name in names], fontsize=max(4, min(10, 240 // len(shown))))
    if len(shown) <= MOST_CLASSES // 2:
        axes.bar_label(bars, padding=2, fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.set(title="Classes", xlabel="boxes")


def _plain(name: str) -> str:
    """A name as it stands: `$` would begin a formula."""
    return name.replace("$", r"\$")


def _map(axes: "Axes", points: np.ndarray, title: str, across: str, down: str) -> None:
    """How many points (n, 2) from 0 to 1 fall into each cell; empty cells stay paper."""
    counts, *_ = np.histogram2d(points[:, 0], points[:, 1], bins=CELLS, range=((0, 1), (0, 1)))
    shown = np.ma.masked_equal(counts.T, 0)
    image = axes.imshow(shown, origin="lower", extent=(0, 1, 0, 1), cmap="viridis_r", aspect="auto", zorder=2)
    axes.figure.colorbar(image, ax=axes, label="boxes").outline.set_edgecolor(PALE)  # type: ignore[operator]
    axes.set(title=title, xlabel=across, ylabel=down)
