"""The values that were searched: parallel coordinates, and how much each parameter matters."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ...scaler.documents import write_text
from ...search.quantities import QUANTITIES
from ..frames import parallel_frame
from ..importance import Method, importance_frame
from ..importance_figure import NAMES, draw_importance
from ..parallel_figure import courses, draw_parallel
from ..pictures import Picture, picture
from .material import Material, Section, label

DRAWN = 1000  # lines of which more only cover each other
MANY = 100  # trials of which more are too many for forests, one for each resample
MOST = 400  # of which more are thinned evenly
RESAMPLES = 20
MEANINGS: dict[Method, str] = {
    "fanova": "How much of the variance of {} each parameter alone explains",
    "ped-anova": "By how much each parameter sets apart the trials with the best {}",
}


def parameters(material: Material) -> Section | None:
    """A line for each trial through its parameters and objectives, then importances; nothing where none varies."""
    frame = parallel_frame(material.record)
    if len(frame) < 2 or frame.columns.isin(list(material.record.study.objectives)).all():
        return None
    members = [row.number for row in material.front]
    count = len(frame)
    frame = pd.DataFrame(frame[frame.index.isin([*members, *frame.index[:: -(-count // DRAWN)]])])
    objectives = material.record.study.objectives
    labels = {name: QUANTITIES[name].label if name in objectives else name for name in frame.columns}
    figure = draw_parallel(frame, members, labels, f"{material.record.study.name}: parameters and objectives")
    caption = f"A line for each of {len(frame):,} trials, through its parameters and objectives; the front's in colour."
    caption += f" The others are an even choice from {count:,}." if len(frame) < count else ""
    alt = f"Parallel coordinates of {len(frame)} trials over {', '.join(frame.columns)}."
    lines = dict(zip(frame.index, courses(frame), strict=True))
    # The front's first: where lines meet, they are meant.
    at = {number: lines[number].tolist() for number in sorted(lines, key=lambda number: number not in members)}
    linked = {row.number: (material.anchor(row), label(row, list(objectives))) for row in material.shown}
    pictures = [picture(figure, material.output / f"{material.stem}-parallel", alt, caption, at, linked)]
    important, remarks = _importances(material)
    content = {"pictures": [*pictures, *important], "wide": True}
    return Section("parameters", "Values that were searched", "pictures.html.j2", content, remarks)


def _importances(material: Material) -> tuple[list[Picture], list[str]]:
    """A picture for each trained objective, and why there is none."""
    rows = [row for row in material.results if not row.reference]
    if not rows or len(material.record.study.space.parameters) < 2:
        return [], []
    record = replace(material.record, rows=rows[:: -(-len(rows) // MOST)])
    method: Method = "fanova" if len(rows) <= MANY else "ped-anova"
    frame = importance_frame(record, methods=(method,), resamples=RESAMPLES)
    write_text(material.output / f"{material.stem}-importance.csv", frame.to_csv(index=False, lineterminator="\n"))
    pictures, remarks = [], []
    for objective, lines in frame.groupby("objective", sort=False):
        title = QUANTITIES[str(objective)].title
        remark = str(lines["remark"].iloc[0])
        if not np.isfinite(lines["importance"]).all():
            remarks.append(f"no importance of parameters for {title}: {remark or 'no difference is seen'}")
            continue
        leading = lines.iloc[0]
        caption = (
            f"{MEANINGS[method].format(title)}: {NAMES[method]} on {lines['trials'].iloc[0]} trials; lines: 95 % of "
            "resampled trials."
        )
        caption += f" {remark[0].upper()}{remark[1:]}." if remark else ""
        alt = f"Importances for {title}: most of {leading['parameter']}, {leading['importance']:.0%}."
        figure = draw_importance(lines, f"{material.record.study.name}: importance for {title}")
        pictures.append(picture(figure, material.output / f"{material.stem}-importance-{objective}", alt, caption))
    return pictures, remarks
