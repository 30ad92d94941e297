"""What a front's picture shows, as a frame: every trial with its two figures, their intervals, and what it is."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..search.quantities import QUANTITIES, Direction
from ..search.rows import Row, comparable, front
from ..search.status import StudyRecord
from ..search.study import Study
from .published import published_frame

COLUMNS = ["x", "y", "x_low", "x_high", "y_low", "y_high", "kind", "reference"]
INTERVALS = {"ap": ("ap_low", "ap_high"), "ap50": ("ap50_low", "ap50_high"),
             "latency_ms": ("latency_low_ms", "latency_high_ms")}  # fmt: skip
Known = dict[int, dict[str, Any]]  # trials by number, with their line of the uncertainty's frame


def points_frame(record: StudyRecord, x: str, y: str, uncertainty: pd.DataFrame | None = None) -> pd.DataFrame:
    """A line for each trial that has a place in the picture of `y` against `x`, in their own units, by number.

    `kind` is front, dominated, stopped or refused; refused trials may have no `y`. `x_low` … `y_high` are NaN where no
    interval is known: those of `uncertainty_frame`, and where it has none of AP, its standard deviation over the seeds.
    `reference` is the name of a reference model, or empty. One that is not finite is left out.
    """
    results = {row.number for row in comparable(record.rows)}
    names = [y] if len(record.study.objectives) == 1 else [x, y]
    members = {row.number for row in front(record.study, record.rows, names)}
    known: Known = {} if uncertainty is None else uncertainty.to_dict("index")  # type: ignore[assignment]
    lines = []
    for row in record.rows:
        kind = _kind(row, results, members)
        at = row.figures.get(x, math.nan), row.figures.get(y, math.nan)
        if kind is None or not math.isfinite(at[0]) or (kind != "refused" and not math.isfinite(at[1])):
            continue
        ends = [*_interval(row, x, known), *_interval(row, y, known)]
        lines.append((row.number, *at, *ends, kind, row.reference))
    return pd.DataFrame(lines, columns=["number", *COLUMNS]).set_index("number")


def on_coco(study: Study) -> bool:
    """Whether a study's AP may stand beside published ones, by the name of its data."""
    return "coco" in Path(study.data).name.lower()


def published_points(record: StudyRecord, x: str, y: str) -> pd.DataFrame:
    """Models of the YOLOv7 paper beside a study's own points: model, x, y, in the quantities' own units.

    AP is that of COCO's validation images at the printed size, of Table 2. None where the study is not of COCO, or the
    paper does not print the quantity; nor those that cost more than half as much again as the study's costliest.
    """
    printed = {"params": ("params_m", 1e6), "gflops": ("flops_g", 1.0)}
    if y != "ap" or x not in printed or not on_coco(record.study):
        return pd.DataFrame(columns=["model", "x", "y"])
    name, unit = printed[x]
    frame = published_frame(2).dropna(subset=[name, "ap_val"])
    most = 1.5 * max((row.figures.get(x, 0.0) for row in comparable(record.rows)), default=0.0)
    points = pd.DataFrame({"model": frame["model"], "x": frame[name] * unit, "y": frame["ap_val"] / 100})
    return points.query("x <= @most", local_dict={"most": most}).reset_index(drop=True)


def directions(record: StudyRecord, x: str, y: str) -> tuple[Direction, Direction]:
    """Which way is better: the study's, and of a quantity that it does not aim at, the natural one."""
    asked = record.study.objectives
    return asked.get(x, QUANTITIES[x].direction), asked.get(y, QUANTITIES[y].direction)


def whiskers(points: pd.DataFrame, x: str, y: str, uncertainty: pd.DataFrame | None) -> str:
    """What the whiskers of a picture mean, for its caption; empty where there are none."""
    known = set(points.columns[points.notna().any()])
    images = uncertainty is not None and bool(np.isfinite(uncertainty["ap_low"]).any())
    ap = "AP, 95 % of resampled validation images" if images else "AP ± its standard deviation over the seeds"
    words = {"ap": ap, "ap50": ap.replace("AP", "AP50"), "latency_ms": "latency, 95 % interval of the median"}
    found = [words[name] for axis, name in (("y", y), ("x", x)) if name in words and f"{axis}_low" in known]
    return f" Whiskers: {'; '.join(found)}." if found else ""


def _kind(row: Row, results: set[int], members: set[int]) -> str | None:
    if row.number in members:
        return "front"
    if row.number in results:
        return "dominated"
    return row.state if row.state in ("stopped", "refused") and row.same_as is None else None


def _interval(row: Row, name: str, known: Known) -> tuple[float, float]:
    if name not in INTERVALS:
        return math.nan, math.nan
    low, high = (known.get(row.number, {}).get(end, math.nan) for end in INTERVALS[name])
    if math.isnan(low) and name == "ap" and row.state == "complete":
        middle, half = row.figures.get("ap", math.nan), row.figures.get("ap_spread", math.nan)
        return (math.nan, math.nan) if math.isnan(half) else (max(middle - half, 0.0), middle + half)
    return low, high
