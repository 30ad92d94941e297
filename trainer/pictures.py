"""Figures of a training and of an evaluation: each function draws what it is given, on a figure of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..scaler.documents import written
from ..scaler.figure_style import BLUE, INK, PALE, SERIES, VERMILION, house_style
from .curves import CONFIDENCES, RECALLS, Curves, mean_of
from .data.records import Dataset, Split
from .run_folder import EpochRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 12  # classes that have a line and a name of their own; more are drawn pale, without
MOST_COUNTED = 30  # classes up to which a confusion matrix has its numbers in the cells


def draw_precision_recall(curves: Curves) -> "Figure":
    """Precision over recall at IoU 0.5; the area under a line is its AP50."""
    areas = curves.precision_at_recall.mean(axis=1)
    labels = [f"{name} {area:.3f}" for name, area in zip(curves.names, areas, strict=True)]
    mean = f"all classes, AP50 {np.nanmean(areas):.3f}"
    return _lines(RECALLS, curves.precision_at_recall, labels, mean, ("recall", "precision"))


def draw_over_confidence(curves: Curves, what: str) -> "Figure":
    """`precision`, `recall` or `f1` over the confidence that is asked for."""
    rows: np.ndarray = getattr(curves, what)
    best, f1 = curves.best
    mean = f"all classes, best {f1:.3f} at {best:.3f}" if what == "f1" else "all classes"
    return _lines(CONFIDENCES, rows, curves.names, mean, ("confidence", "F1" if what == "f1" else what))


def draw_confusion(counts: np.ndarray, names: Sequence[str], *, normalised: bool) -> "Figure":
    """What objects are taken for; `normalised`: as shares of the objects of the true class (of a column)."""
    shares = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)
    with house_style():
        from matplotlib.figure import Figure

        side = min(14.0, 4 + 0.35 * len(counts))
        figure = Figure(figsize=(side * 1.15, side), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(shares if normalised else counts, cmap="Blues", vmin=0)
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, shrink=0.8)
        ticks = [*names, "nothing"]
        axes.set_xticks(range(len(ticks)), ticks, rotation=90)
        axes.set_yticks(range(len(ticks)), ticks)
        axes.set_xlabel("true")
        axes.set_ylabel("found")
        if len(names) <= MOST_COUNTED:
            for row, column in np.argwhere(counts):
                text = f"{shares[row, column]:.2f}" if normalised else str(counts[row, column])
                dark = shares[row, column] > 0.5 if normalised else counts[row, column] > counts.max() / 2
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
        axes.set_title("Confusions, as shares of the true class" if normalised else "Confusions, counted")
    return figure


def draw_training(rows: Sequence[EpochRow]) -> "Figure":
    """Losses, learning rate and precision over the epochs."""
    panels = {"box loss": "box", "objectness loss": "obj", "class loss": "cls", "learning rate": "lr"}
    panels |= {"AP50": "ap50", "AP": "ap"}
    epochs = [row.epoch for row in rows]
    with house_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(10.5, 6), layout="constrained")
        for place, (title, name) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(2, 3, place)
            axes.plot(epochs, [getattr(row, name) for row in rows], color=BLUE, marker="." if len(rows) < 30 else None)
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if name.startswith("ap"):
                best = max(rows, key=lambda row: row.fitness)
                axes.axvline(best.epoch, color=VERMILION, linewidth=0.8, linestyle="--")  # the epoch that is kept
    return figure


def draw_labels(split: Split, dataset: Dataset) -> "Figure":
    """What is marked in a split: objects of each class, where their centres lie, and how large they are."""
    rows = [(image, image.boxes[~image.crowd], image.labels[~image.crowd]) for image in split.images]
    counts = np.bincount(np.concatenate([labels for _, _, labels in rows]), minlength=len(dataset.classes))
    shares = np.concatenate([boxes / ([image.width, image.height] * 2) for image, boxes, _ in rows])
    centres, sides = (shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 3.8), layout="constrained")
        bars, places, sizes = figure.subplots(1, 3)
        bars.bar(range(len(counts)), counts, color=BLUE)
        bars.set_title(f"{counts.sum()} objects in {len(split.images)} images")
        if len(counts) <= MOST_COUNTED:
            bars.set_xticks(range(len(counts)), dataset.classes, rotation=90)
        for axes, points, title in ((places, centres, "centres"), (sizes, sides, "sizes")):
            axes.hist2d(*points.T, bins=50, range=[[0, 1], [0, 1]], cmap="Blues")
            axes.grid(visible=False)
            axes.set_title(f"{title}, as shares of the image")
        places.invert_yaxis()
        sizes.set_xlabel("width")
        sizes.set_ylabel("height")
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with house_style(), written(path) as beside:
        figure.savefig(beside, format="png", dpi=120, metadata={"Software": "catscale"})


def _lines(x: np.ndarray, rows: np.ndarray, labels: Sequence[str], mean: str, axes_labels: tuple[str, str]) -> "Figure":
    known = [index for index in range(len(rows)) if not np.isnan(rows[index]).any()]
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.5, 5), layout="constrained")
        axes: Axes = figure.add_subplot()
        for place, index in enumerate(known):
            if len(known) <= MOST_NAMED:
                style = "-" if place < len(SERIES) else ":"
                axes.plot(x, rows[index], style, color=SERIES[place % len(SERIES)], linewidth=1, label=labels[index])
            else:
                axes.plot(x, rows[index], color=PALE, linewidth=0.6)
        axes.plot(x, mean_of(rows), color=INK, linewidth=2.6, label=mean)
        axes.set(xlabel=axes_labels[0], ylabel=axes_labels[1], xlim=(0, 1), ylim=(0, 1.02))
        axes.set_title(f"{axes_labels[1]} over {axes_labels[0]}, IoU 0.5")
        figure.legend(loc="outside right upper")
    return figure
