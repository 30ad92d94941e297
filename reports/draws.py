"""A study's figures as they might have come out: AP of resampled images, the same for every trial, and latencies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..blocks.errors import InputError
from ..scaler.latency.results import read_results
from ..scaler.latency.samples import resampled
from ..search.rows import Row
from ..search.status import StudyRecord
from ..search.trial import latency_file
from ..trainer.kept_matches import KeptMatches
from ..trainer.resampled_ap import resampled_ap

TRAINED = ("ap", "ap50")  # what is drawn by resampled images
TOLERANCE = 2e-6  # of `trials.csv`, which has six digits
KEPT = 4096  # trainings whose draws are kept in memory, for a page that is drawn again and again
# Standard error of a normal sample's median by its interquartile range, times the root of the number of samples.
ERROR_BY_IQR = np.sqrt(np.pi / 2) / 1.349


@dataclass(eq=False)
class Draws:
    """What is known of one trial. A figure without draws is exact, or its spread is not known: `remarks` says so."""

    figures: dict[str, np.ndarray] = field(default_factory=dict)  # (B,) each
    images: int = 0  # that AP was resampled from
    latency_from: str = ""  # "samples" or "median and IQR"
    remarks: list[str] = field(default_factory=list)


def draw(record: StudyRecord, rows: Sequence[Row], times: int, seed: int) -> dict[int, Draws]:
    """Draw the figures of trials anew, B = `times`; those of a draw belong together: they are of the same images.

    Of several seeds' trainings of a trial, as many are drawn with replacement and averaged, as AP is their mean.
    """
    drawn = {row.number: Draws() for row in rows}
    split: np.ndarray | None = None
    for row in rows:
        mine = drawn[row.number]
        if "ap" in row.figures:
            split = _draw_ap(mine, record, row, split, times, seed)
        if "latency_ms" in row.figures:
            _draw_latency(mine, record, row, times, seed)
    return drawn


def _draw_ap(
    mine: Draws, record: StudyRecord, row: Row, split: np.ndarray | None, times: int, seed: int
) -> np.ndarray | None:
    """Add AP and AP50, if the trainings kept their matches; gives the ids of the images that all must share."""
    files = [run.matches for run in record.study.runs_of(record.run_folder(row)).values()]
    gone = [path for path in files if not path.is_file()]
    if gone:
        mine.remarks.append("no interval of AP: its training kept no matches")
        return split
    try:
        taken = [_resampled(path, path.stat().st_mtime_ns, times, seed) for path in files]
    except InputError as error:
        mine.remarks.append(f"no interval of AP: {error}")
        return split
    images = taken[0].images
    split = images if split is None else split
    if not all(np.array_equal(one.images, split) for one in taken):
        mine.remarks.append("no interval of AP: it was evaluated on other images than the first trial")
        return split
    if abs(np.mean([one.reported for one in taken]) - row.figures["ap"]) > TOLERANCE:
        mine.remarks.append("no interval of AP: its training's matches are of another AP than its own")
        return split
    mine.images = len(images)
    by_seed = np.array([one.figures for one in taken])  # (S, 2, B)
    if len(by_seed) > 1:
        chosen = np.random.default_rng([seed, row.number]).integers(len(by_seed), size=by_seed[:, 0].shape)
        by_seed = np.stack([np.take_along_axis(by_seed[:, which], chosen, axis=0) for which in range(2)], axis=1)
    mine.figures |= dict(zip(TRAINED, by_seed.mean(axis=0), strict=True))
    return split


@dataclass(frozen=True, eq=False)
class _Resampled:
    images: np.ndarray  # (I,) ids
    reported: float  # AP of all images once
    figures: np.ndarray  # (2, B): AP and AP50


@lru_cache(maxsize=KEPT)
def _resampled(path: Path, modified_ns: int, times: int, seed: int) -> _Resampled:
    """Of a file as it was at a time; the images that are drawn follow from their number and the seed alone."""
    kept = KeptMatches.read(path)
    count = len(kept.images)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), times)
    found = resampled_ap(kept, np.concatenate((np.ones((1, count), dtype=weights.dtype), weights)))
    return _Resampled(kept.images, float(found[0].mean()), np.stack((found[1:].mean(axis=1), found[1:, 0])))


def _draw_latency(mine: Draws, record: StudyRecord, row: Row, times: int, seed: int) -> None:
    """Medians of resampled runs; of a normal spread as wide as the IQR, where the runs themselves are not kept."""
    median_ms, iqr_ms = row.figures["latency_ms"], row.figures.get("latency_iqr_ms")
    samples = _samples_ms(mine, latency_file(record.run_folder(row)))
    if len(samples) > 1 and abs(np.median(samples) - median_ms) <= 1e-4 + TOLERANCE * median_ms:
        chosen = resampled(len(samples), seed=seed + row.number, times=times)
        mine.figures["latency_ms"] = np.median(samples[chosen], axis=1)
        mine.latency_from = "samples"
    elif iqr_ms is not None:
        error_ms = ERROR_BY_IQR * iqr_ms / np.sqrt(record.study.latency.runs)  # it is of so many runs, or more
        mine.figures["latency_ms"] = np.random.default_rng([seed, row.number, 1]).normal(median_ms, error_ms, times)
        mine.latency_from = "median and IQR"
    else:
        mine.remarks.append("no interval of latency: it was predicted, or noted without its spread")


def _samples_ms(mine: Draws, path: Path) -> np.ndarray:
    """The runs that a latency was taken from; none where they are not kept."""
    if not path.is_file():
        return np.zeros(0)
    try:
        return np.concatenate([found.samples_ms for found in read_results(path)])
    except (InputError, ValueError) as error:
        mine.remarks.append(f"the runs of its latency are not used: {error}")
        return np.zeros(0)
