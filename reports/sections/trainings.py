"""How trainings went, and what was measured: learning curves and latencies."""

from collections.abc import Sequence
from itertools import takewhile

import pandas as pd

from ...search.rows import Row
from ..curves_figure import draw_curves
from ..frames import trained
from ..latency_figure import Timing, draw_latencies
from ..pictures import Picture, picture
from .material import Material, Section

DRAWN = 1000  # curves of which more only cover each other
TIMED = 40  # detectors up to which each has a line in the picture of latencies


def trainings(material: Material) -> Section | None:
    """Curves and latencies; nothing where there are neither."""
    latencies = _latencies(material)
    pictures = [found for found in (_curves(material), latencies) if found]
    remarks = _without_curves(material)
    if not pictures and not remarks:
        return None
    title = "Learning curves and latency" if latencies else "Learning curves"
    return Section("trainings", title, "pictures.html.j2", {"pictures": pictures}, remarks)


def _curves(material: Material) -> Picture | None:
    curves, record = material.curves, material.record
    if curves.empty:
        return None
    named = [row.number for row in material.shown]
    stopped = {row.number for row in record.rows if row.state == "stopped"}
    numbers = list(dict.fromkeys(curves["number"]))
    drawn = {*named, *numbers[:: -(-len(numbers) // DRAWN)]}
    lines = pd.DataFrame(curves[curves["number"].isin(list(drawn))])
    figure = draw_curves(lines, named, stopped, f"{record.study.name}: learning curves")
    caption = "AP after each epoch, on the validation images; in colour those with a section below."
    if stopped:
        caption += " Trainings that end in a triangle were stopped early."
    count = len(set(lines["number"]))
    caption += f" The others are an even choice from {len(numbers):,}." if count < len(numbers) else ""
    stem = material.output / f"{material.stem}-curves"
    return picture(figure, stem, f"Line plot of AP over epochs of {count} trainings.", caption)


def _latencies(material: Material) -> Picture | None:
    """The latencies that were measured with their spread; of very many, those with a section."""
    rows = _measured(material.results)
    if len(rows) > TIMED:
        rows = _measured(material.shown)
    if not rows:
        return None
    shared = _shared_beginning([row.name for row in rows])
    timings = [
        Timing(
            f"{row.number} {row.name.removeprefix(shared)}", row.figures["latency_ms"], row.figures["latency_iqr_ms"]
        )
        for row in rows
    ]
    figure = draw_latencies(timings, f"{material.record.study.name}: measured latency")
    batch = material.record.study.latency.batch
    caption = (
        f"Medians of the forward at batch {batch}. Where the middle halves of runs overlap, the machine hardly tells."
    )
    stem = material.output / f"{material.stem}-latency"
    return picture(figure, stem, f"Latencies of {len(timings)} detectors with spread.", caption)


def _shared_beginning(names: Sequence[str]) -> str:
    """The words, joined by hyphens, that all names but a base's own begin with, so that labels are short."""
    words = takewhile(
        lambda column: len(set(column)) == 1, zip(*(f"{name}-".split("-") for name in names), strict=False)
    )
    return "".join(f"{column[0]}-" for column in words)


def _measured(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if {"latency_ms", "latency_iqr_ms"} <= row.figures.keys()]


def _without_curves(material: Material) -> list[str]:
    have = set(material.curves["number"])
    missing = [row.number for row in trained(material.record) if row.state == "complete" and row.number not in have]
    if not missing:
        return []
    if len(missing) > 20:
        return [f"no learning curve of {len(missing)} trials: their run folders are gone"]
    gone = "the run folder is gone" if len(missing) == 1 else "the run folders are gone"
    return [f"no learning curve of trial {', '.join(map(str, missing))}: {gone}"]
