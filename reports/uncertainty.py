"""How sure a study's figures are: intervals of AP and latency, and how often each trial is on the front, by bootstrap.

Validation images are drawn with replacement, the same ones for every trial, and AP is computed again of what each
trained detector found in them (`trainer/kept_matches.py`); a latency is the median of its runs drawn likewise. What is
not known stays NaN, and `remark` says why. Of one training per trial nothing is said of what another seed would give.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ..blocks.errors import InputError
from ..scaler.latency.samples import interval
from ..search.pareto import pareto_front
from ..search.quantities import QUANTITIES
from ..search.rows import Row, comparable
from ..search.status import StudyRecord
from .draws import TRAINED, Draws, draw

RESAMPLES = 1000
CONFIDENCE = 0.95
NAN = float("nan")


def uncertainty_frame(
    record: StudyRecord, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE, seed: int = 0
) -> pd.DataFrame:
    """A line for each complete trial with a result of its own, by number.

    Columns:
        name, on_front
        ap, ap_low, ap_high: AP and its percentile interval over images; `ap50` likewise.
        images: that AP was resampled from.
        seeds, ap_seed_sd, ap_seed_low, ap_seed_high: trainings, the standard deviation of their AP, and Student's
            interval of their mean; NaN of one training.
        latency_ms, latency_low_ms, latency_high_ms: the median and its interval.
        latency_from: "samples", or "median and IQR" where these alone are known: then of a normal spread, and of as
            many runs as the study asks for at least.
        front_probability: the share of resamples in which the trial is on the front of the study's objectives. Trials
            without draws of a figure are held at it, and have none.
        remark: what is not known, and why.

    Raises:
        ValueError: no resamples, or a confidence that is no share.
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"{resamples} resamples and a confidence of {confidence}: at least 1, and between 0 and 1")
    rows = comparable(record.rows)
    drawn = draw(record, rows, resamples, seed)
    shares = front_probabilities(record, rows, drawn)
    members = {row.number for row in record.front}
    lines = [
        {
            "number": row.number,
            "name": row.name,
            "on_front": row.number in members,
            **_trained(row, drawn[row.number], confidence),
            **_over_seeds(record, row, confidence),
            **_latency(row, drawn[row.number], confidence),
            "front_probability": shares[row.number],
            "remark": "; ".join(drawn[row.number].remarks),
        }
        for row in rows
    ]
    return pd.DataFrame(lines, columns=COLUMNS).set_index("number")


def differences_frame(
    record: StudyRecord,
    against: int,
    *,
    figure: str = "ap",
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> pd.DataFrame:
    """How much better the other trials are than one, on the same resampled images: narrower than two intervals.

    Columns, by number: name, difference, low, high, better (the share of resamples in which the trial is better).

    Raises:
        InputError: the trial has no result of its own.
    """
    rows = comparable(record.rows)
    base = next((row for row in rows if row.number == against), None)
    if base is None:
        raise InputError(f"{record.study.name}: trial {against} has no result of its own to compare with")
    drawn = draw(record, rows, resamples, seed)
    sign = 1 if QUANTITIES[figure].direction == "maximize" else -1
    lines = []
    for row in rows:
        if row is base or figure not in row.figures or figure not in base.figures:
            continue
        pair = [drawn[one.number].figures.get(figure) for one in (row, base)]
        line = {"number": row.number, "name": row.name, "difference": row.figures[figure] - base.figures[figure]}
        if pair[0] is not None and pair[1] is not None:
            apart = pair[0] - pair[1]
            line |= dict(zip(("low", "high"), interval(apart, confidence), strict=True))
            line["better"] = float(((sign * apart > 0) + 0.5 * (apart == 0)).mean())
        lines.append(line)
    columns = ["number", "name", "difference", "low", "high", "better"]
    return pd.DataFrame(lines, columns=columns).set_index("number")


def front_probabilities(record: StudyRecord, rows: Sequence[Row], drawn: Mapping[int, Draws]) -> dict[int, float]:
    """In which share of the resamples each trial is on the front of the study's objectives; NaN where not known."""
    names, directions = list(record.study.objectives), list(record.study.objectives.values())
    inside = [row for row in rows if all(name in row.figures for name in names)]
    uncertain = [name for name in names if name in TRAINED or name == "latency_ms"]
    known = {row.number for row in inside if all(name in drawn[row.number].figures for name in uncertain)}
    times = max((len(draws) for row in inside for draws in drawn[row.number].figures.values()), default=0)
    if not known or not times:
        return {row.number: NAN for row in rows}
    points = np.array(
        [
            [np.broadcast_to(drawn[row.number].figures.get(name, row.figures[name]), times) for name in names]
            for row in inside
        ]
    )  # (trials, objectives, B)
    on_front = np.zeros(len(inside))
    for draws in points.transpose(2, 0, 1):
        on_front[pareto_front(draws, directions)] += 1
    shares = dict(zip((row.number for row in inside), (on_front / times).tolist(), strict=True))
    held = len(inside) - len(known)
    for number in known if held else ():
        drawn[number].remarks.append(f"front_probability: {held} trials without draws are held at their figures")
    return {row.number: shares[row.number] if row.number in known else NAN for row in rows}


COLUMNS = [
    "number", "name", "on_front", "ap", "ap_low", "ap_high", "ap50", "ap50_low", "ap50_high", "images", "seeds",
    "ap_seed_sd", "ap_seed_low", "ap_seed_high", "latency_ms", "latency_low_ms", "latency_high_ms", "latency_from",
    "front_probability", "remark",
]  # fmt: skip


def _ends(draws: np.ndarray | None, confidence: float) -> tuple[float, float]:
    return (NAN, NAN) if draws is None else interval(draws[~np.isnan(draws)], confidence)


def _trained(row: Row, drawn: Draws, confidence: float) -> dict[str, float]:
    line: dict[str, float] = {"images": drawn.images}
    for name in TRAINED:
        low, high = _ends(drawn.figures.get(name), confidence)
        line |= {name: row.figures.get(name, NAN), f"{name}_low": low, f"{name}_high": high}
    return line


def _over_seeds(record: StudyRecord, row: Row, confidence: float) -> dict[str, float]:
    seeds, sd = len(record.study.training_seeds), row.figures.get("ap_spread", NAN)
    half = stats.t.ppf((1 + confidence) / 2, seeds - 1) * sd / np.sqrt(seeds) if seeds > 1 else NAN
    mean = row.figures.get("ap", NAN)
    return {"seeds": seeds, "ap_seed_sd": sd, "ap_seed_low": mean - half, "ap_seed_high": mean + half}


def _latency(row: Row, drawn: Draws, confidence: float) -> dict[str, float | str]:
    low, high = _ends(drawn.figures.get("latency_ms"), confidence)
    figures = {"latency_ms": row.figures.get("latency_ms", NAN), "latency_low_ms": low, "latency_high_ms": high}
    return {**figures, "latency_from": drawn.latency_from}
