"""The front's detectors side by side: what they give and cost, how efficiently, and against the base."""

import numpy as np
import pandas as pd

from ...scaler.documents import write_text
from ..frames import markdown
from ..latex_table import latex
from ..trial_table import comparison_table, in_units
from .material import Material, Section


def front_table(material: Material) -> Section | None:
    """The table, and its files; nothing where there is no front."""
    if not material.front:
        return None
    frame = material.comparison
    stem = material.output / f"{material.stem}-front"
    write_text(stem.with_name(f"{stem.name}.csv"), frame.to_csv(lineterminator="\n"))
    write_text(stem.with_name(f"{stem.name}.md"), markdown(frame))
    caption = f"Pareto front of the study {material.record.study.name}"
    write_text(stem.with_name(f"{stem.name}.tex"), latex(in_units(frame), caption, stem.name))
    words = "On the Pareto front, cheapest first" + (
        "; below it, the references that are not." if len(frame) > len(material.front) else "."
    )
    if "base" in frame:
        words += " Δ: against the reference that a trial is a scaling of."
    words += spread_words(frame)
    if "ap_low" in frame:
        words += " In brackets: 95 % of resampled validation images."
    if "front_probability" in frame:
        words += " On front: the share of resamples in which a trial is on the front."
    content = {
        "table": comparison_table(material.record, frame),
        "caption": words,
        "files": [f"{stem.name}.{kind}" for kind in ("csv", "md", "tex")],
    }
    return Section("front-table", "The front in numbers", "front_table.html.j2", content)


def spread_words(frame: pd.DataFrame) -> str:
    """What stands behind ± in a table, for its caption."""
    meanings = {
        "ap_spread": "of AP the standard deviation over seeds",
        "latency_iqr_ms": "of latency half its interquartile range",
    }
    known = [
        words
        for name, words in meanings.items()
        if name in frame and bool(np.isfinite(frame[name].astype(float)).any())
    ]
    return f" ±: {'; '.join(known)}." if known else ""
