"""Intervals by bootstrap, where a closed form knows them: detectors that find some of one object per image."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import catscale
import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.reports.uncertainty import differences_frame, uncertainty_frame
from catscale.scaler.latency.architectures import measure_latency
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency.results import results_text
from catscale.search.rows import Row, write_rows
from catscale.search.status import StudyRecord, read_study
from catscale.search.stored_study import write_study
from catscale.search.study import Study
from catscale.trainer.data.records import Dataset, ImageRecord, Split
from catscale.trainer.kept_matches import keep_matches
from catscale.trainer.run_folder import RunFolder
from catscale.trainer.scoring import Found, score

IMAGES = 100
BOX = np.array([[10.0, 10.0, 60.0, 60.0]])
Figures = Mapping[str, float]
Make = Callable[..., StudyRecord]


def split(first: int = 0) -> Split:
    def image(number: int) -> ImageRecord:
        one = np.zeros(1, dtype=np.int64)
        boxes, area = BOX.astype(np.float32), np.array([2500.0], dtype=np.float32)
        return ImageRecord(Path(f"{number}.png"), 100, 100, first + number, boxes, one, one.astype(bool), area)

    return Split("val", tuple(image(number) for number in range(IMAGES)))


def detections(images: Split, finds: Sequence[int]) -> list[Found]:
    """A detector that finds the objects of some images, exactly, and nothing else."""

    def one(place: int, record: ImageRecord) -> Found:
        count = int(place in finds)
        return Found(record.image_id, BOX[:count], np.full(count, 0.9), np.zeros(count, dtype=int))

    return [one(place, record) for place, record in enumerate(images.images)]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a study whose trials find the objects of given images; each list of them is one seed's training."""

    def make(
        trials: Sequence[tuple[Sequence[Sequence[int]], Figures]],
        objectives: Sequence[str] = ("ap", "gflops"),
        first_image: Sequence[int] = (),
        **settings: Any,
    ) -> StudyRecord:
        facts: dict[str, Any] = {"name": "small", "base": "yolov7-tiny", "space": {"width": {"low": 0.1, "high": 2.0}}}
        seeds = len(trials[0][0])
        study = Study.model_validate({**facts, "objectives": list(objectives), "trials": 9, "seeds": seeds, **settings})
        rows = []
        for number, (trainings, figures) in enumerate(trials):
            images = split(first_image[number] if first_image else 0)
            data = Dataset(("cell",), (1,), {"val": images}, "a test")
            ap = []
            for seed, finds in enumerate(trainings):
                run = tmp_path / "study" / "trials" / str(number) / (f"seed-{seed}" if seed else "")
                found = detections(images, finds)
                keep_matches(found, images, data).write(RunFolder(run).matches)
                ap.append(score(found, images, data, by_size=False).ap)
            spread = {"ap_spread": float(np.std(ap, ddof=1))} if seeds > 1 else {}
            known = {"ap": float(np.mean(ap)), **spread, **figures}
            rows.append(Row(number, "complete", values={"width": 0.5}, figures=known, name=f"d{number}"))
        write_study(study, tmp_path / "study" / "study.yaml")
        write_rows(tmp_path / "study" / "trials.csv", study, rows)
        return read_study(tmp_path / "study")

    return make


def test_an_interval_is_as_wide_as_that_of_a_share(make: Make) -> None:
    line = uncertainty_frame(make([([range(60)], {"gflops": 1.0})]), resamples=4000).loc[0]
    half = 1.96 * np.sqrt(0.6 * 0.4 / IMAGES)  # AP is the share of images that it finds: precision is 1 throughout
    assert (line["ap_low"], line["ap_high"]) == pytest.approx((0.6 - half, 0.6 + half), abs=0.02)
    assert line["ap50_low"] == pytest.approx(line["ap_low"])
    assert (line["images"], line["seeds"]) == (IMAGES, 1)
    assert np.isnan([line["ap_seed_sd"], line["ap_seed_low"], line["latency_ms"], line["latency_low_ms"]]).all()
    assert line["remark"] == ""


def test_trials_are_compared_on_the_same_images(make: Make) -> None:
    record = make([([range(60)], {"gflops": 1.0}), ([range(60)], {"gflops": 2.0}), ([range(70)], {"gflops": 3.0})])
    apart = differences_frame(record, 0)
    same, more = apart.loc[1], apart.loc[2]
    assert tuple(same[["difference", "low", "high", "better"]]) == (0, 0, 0, 0.5)
    # 10 images more of 100: the number drawn of them is binomial, and none is lost.
    assert more["low"] > 0.03
    assert (more["high"] - more["low"]) == pytest.approx(2 * 1.96 * np.sqrt(0.1 * 0.9 / IMAGES), abs=0.02)
    assert more["better"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(InputError, match="trial 7 has no result of its own"):
        differences_frame(record, 7)


def test_the_front_is_as_sure_as_the_images_make_it(make: Make) -> None:
    left, right = [range(40)], [range(60, 100)]
    trials = [(left, {"gflops": 1.0}), (right, {"gflops": 1.0}), (left, {"gflops": 2.0}), ([range(9)], {"gflops": 0.5})]
    shares = uncertainty_frame(make(trials))["front_probability"].tolist()
    assert shares[3] == 1  # the cheapest
    assert shares[2] == 0  # as good as 0 on every draw, and dearer
    assert shares[0] == pytest.approx(0.5, abs=0.1)  # as many images, but others
    assert 1 <= shares[0] + shares[1] <= 1.15  # both, where as many of either are drawn


def test_several_seeds_are_drawn_too_and_their_spread_is_said(make: Make) -> None:
    record = make([([range(50), range(60), range(70)], {"gflops": 1.0}), ([range(60)] * 3, {"gflops": 1.0})])
    frame = uncertainty_frame(record)
    # Student's interval of three: 4.303 standard errors.
    assert frame.loc[0, "ap_seed_high"] - frame.loc[0, "ap"] == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=0.1)
    assert frame.loc[1, "ap_seed_high"] == frame.loc[1, "ap"]
    wide, narrow = (frame["ap_high"] - frame["ap_low"]).tolist()
    assert wide > 1.1 * narrow


@pytest.mark.parametrize(
    ("break_", "remark"),
    [
        (lambda file: file.unlink(), "no interval of AP: its training kept no matches"),
        (lambda file: file.write_bytes(b"x"), "best.matches.npz: not the matches of an evaluation"),
        (lambda file: file.write_bytes((file.parents[1] / "0" / file.name).read_bytes()), "of another AP than its own"),
    ],
)
def test_what_is_not_known_is_no_number_and_said(make: Make, break_: Callable[[Path], object], remark: str) -> None:
    record = make([([range(60)], {"gflops": 1.0}), ([range(70)], {"gflops": 2.0})])
    break_(RunFolder(record.folder / "trials" / "1").matches)
    frame = uncertainty_frame(record)
    assert frame.loc[1, ["ap_low", "ap_high", "front_probability"]].isna().all()
    assert remark in frame.loc[1, "remark"]
    assert frame.loc[0, "remark"] == "front_probability: 1 trials without draws are held at their figures"
    assert frame.loc[0, "front_probability"] == 1
    assert np.isnan(differences_frame(record, 0).loc[1, "low"])


def test_other_images_are_never_paired(make: Make) -> None:
    record = make([([range(60)], {"gflops": 1.0}), ([range(60)], {"gflops": 2.0})], first_image=[0, 500])
    assert "on other images than the first trial" in uncertainty_frame(record).loc[1, "remark"]


def test_an_interval_of_latency_comes_from_runs_or_says_that_it_does_not(make: Make) -> None:
    tiny = catscale.load("yolov7-tiny").scale(width=0.125)
    taken = measure_latency(tiny, Protocol(size=64, runs=12, most_runs=12, most_warm_up=3, widest_interval=99.0))
    median_ms = round(taken.summary.median_ms, 4)
    latencies = [
        {"latency_ms": median_ms, "latency_iqr_ms": 9.0},
        {"latency_ms": 10.0, "latency_iqr_ms": 1.349},
        {"latency_ms": 10.0},
    ]
    record = make([([range(60)], figures) for figures in latencies], ["ap", "latency_ms"], latency={"runs": 50})
    (record.folder / "latency").mkdir()
    (record.folder / "latency" / "0.json").write_text(results_text([taken]))
    frame = uncertainty_frame(record, resamples=4000)
    assert frame["latency_from"].tolist() == ["samples", "median and IQR", ""]
    assert frame.loc[0, "latency_low_ms"] == pytest.approx(taken.summary.low_ms, rel=0.05)
    assert frame.loc[0, "latency_high_ms"] == pytest.approx(taken.summary.high_ms, rel=0.05)
    half = 1.96 * np.sqrt(np.pi / 2 / 50)  # the median of 50 runs of standard deviation 1
    assert frame.loc[1, "latency_high_ms"] == pytest.approx(10 + half, abs=0.03)
    assert np.isnan(frame.loc[2, "latency_low_ms"])
    assert "no interval of latency: it was predicted, or noted without its spread" in frame.loc[2, "remark"]
