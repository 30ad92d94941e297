"""What detectors cost and give, beside the base that they come from, as a frame."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..blocks.errors import InputError
from ..scaler.documents import read_text
from ..search.rows import Row, comparable, parameter_columns
from ..search.space import BASE
from ..search.status import StudyRecord

TAKEN = ("ap", "ap_spread", "ap50", "params", "gflops", "activations", "latency_ms", "latency_iqr_ms")
SIZES = ("ap_small", "ap_medium", "ap_large")  # COCO's: up to 32 px, up to 96 px, and larger
RELATIVE = ("params", "gflops", "latency_ms")
SURE = ("ap_low", "ap_high", "front_probability")
LAST = ("ap50", "activations")  # what is asked for least stands where a wide table may be cut off


def comparison_frame(record: StudyRecord, rows: Sequence[Row], uncertainty: pd.DataFrame | None = None) -> pd.DataFrame:
    """A line for each trial, by number, in the order given; columns that would be empty are left out.

    `ap_small` … are of the run's own evaluation, where there is one. `ap_per_mparams` and `ap_per_ms` are AP for each
    million parameters and each millisecond. `ap_low`, `ap_high` and `front_probability` are those of
    `uncertainty_frame`. `base` is the trial that the line is compared with: `ap_gain` is the
    difference of AP, `params_change` … the relative change (-0.25: a quarter less).
    """
    names = parameter_columns(record.study)
    known: dict[Any, dict[Any, Any]] = {} if uncertainty is None else uncertainty.to_dict("index")
    lines = [_line(record, row, names, known.get(row.number, {})) for row in rows]
    columns = dict.fromkeys(name for line in lines for name in line)
    frame = pd.DataFrame(lines, columns=["number", *(name for name in columns if name != "number")])
    return frame.set_index("number").dropna(axis="columns", how="all")


def base_of(record: StudyRecord, row: Row) -> Row | None:
    """The reference that a trial is a scaling of: the one of that name, or the only one, where it is complete."""
    bases = [each for each in comparable(record.rows) if each.reference]
    named = row.values.get(BASE)
    if named is not None:
        return next((each for each in bases if each.reference == named), None)
    return bases[0] if len(bases) == 1 and len(record.study.base) == 1 else None


def _line(record: StudyRecord, row: Row, names: Sequence[str], sure: Mapping[Any, Any]) -> dict[str, Any]:
    line: dict[str, Any] = {"number": row.number, "name": row.name}
    line |= {name: row.values.get(name) for name in names}
    known = {name: row.figures.get(name, math.nan) for name in TAKEN}
    last = {name: known.pop(name) for name in LAST}
    line |= {"ap": known.pop("ap"), "ap_spread": known.pop("ap_spread")}
    line |= {name: sure.get(name, math.nan) for name in SURE}
    line |= {**_sizes(record, row), **known}
    efficiency = {
        "ap_per_mparams": _ratio(line["ap"], line["params"] / 1e6),
        "ap_per_ms": _ratio(line["ap"], line["latency_ms"]),
    }
    base = base_of(record, row)
    if base is not None and base.number != row.number:
        line["base"] = base.number
        line["ap_gain"] = line["ap"] - base.figures.get("ap", math.nan)
        line |= {f"{name}_change": _ratio(line[name], base.figures.get(name, math.nan)) - 1 for name in RELATIVE}
    return line | efficiency | last


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def _sizes(record: StudyRecord, row: Row) -> dict[str, float]:
    """AP for each size of objects, where the run folder holds an evaluation."""
    path = record.run_folder(row) / "metrics.json"
    if not path.is_file():
        return dict.fromkeys(SIZES, math.nan)
    try:
        metrics = json.loads(read_text(path))
        return {name: math.nan if metrics[name] is None else float(metrics[name]) for name in SIZES}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not an evaluation's figures: {error}") from error
