"""Reports of studies that are only files: no training is needed to draw one."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import catscale
import pandas as pd
import pytest
from catscale.blocks.errors import InputError
from catscale.reports.comparison import comparison_frame
from catscale.reports.frames import curves_frame, front_frame, markdown, outcomes_frame, pairs, trials_frame
from catscale.reports.page import write_report
from catscale.reports.pictures import inline_svg
from catscale.reports.points import points_frame, published_points
from catscale.search.lock_file import write_lock
from catscale.search.rows import Row
from catscale.search.status import StudyRecord, read_study
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.loop import train
from catscale.trainer.recipe import load_recipe

from .conftest import ROWS, Make, known, make_study
from .page_text import page_of

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of `ROWS`, which no test changes."""
    place = tmp_path_factory.mktemp("report")
    write_report([read_study(make_study(place, ROWS))], place / "out")
    return place / "out"


def test_the_command_writes_figures_tables_and_a_page(cli: Any, make: Make, tmp_path: Path) -> None:
    folder = make()
    shutil.rmtree(folder / "trials" / "3")
    result = cli("report", folder, "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert result.stderr == "note: small: no learning curve of trial 3: the run folder is gone\n"
    assert result.stdout == f"Report written to {tmp_path / 'out' / 'index.html'}\n"
    figures = ("curves", "front-ap-gflops", "parallel", "progress-epochs", "progress-trials")
    tables = {"front.csv", "front.md", "front.tex", "progress.csv", "trials.csv", "trials.md"}
    drawn = {f"{figure}.{kind}" for figure in figures for kind in ("pdf", "png", "svg")}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"index.html", *(f"small-{name}" for name in tables | drawn)}


def test_a_study_of_references_alone_has_a_report(cli: Any, make: Make, tmp_path: Path) -> None:
    folder = make([ROWS[0], replace(ROWS[1], reference="other", values={})])
    result = cli("report", folder, "-o", tmp_path / "out")
    assert (result.returncode, result.stderr) == (0, "")
    assert "No trial dominates the reference other: it is on the front." in page_of(tmp_path / "out").text
    assert (tmp_path / "out" / "small-front-ap-gflops.svg").is_file()


def test_measured_latencies_are_drawn_with_their_spread(make: Make, tmp_path: Path) -> None:
    spread = {0: (9.0, 0.4), 1: (6.0, 1.5)}
    rows = [
        replace(
            row, figures={**row.figures, "latency_ms": spread[row.number][0], "latency_iqr_ms": spread[row.number][1]}
        )
        for row in ROWS[:2]
    ]
    write_report([read_study(make(rows))], tmp_path)
    drawn = (tmp_path / "small-latency.svg").read_text()
    assert drawn.index("1 a<") < drawn.index("0 tiny<")  # fastest first
    assert "Latencies of 2 detectors with spread." in (tmp_path / "index.html").read_text()


def test_the_page_is_whole_and_needs_nothing_else(report: Path) -> None:
    page = page_of(report)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert not [link for link in page.links if "://" in link]
    for link in page.links:
        if link.startswith("data:"):
            continue
        target = link.removeprefix("#")
        assert target in page.ids if link.startswith("#") else (report / link).is_file(), link
    assert (report / "index.html").stat().st_size < 200_000
    assert any("AP against FLOPs of 4 trained detectors. On the Pareto front: trials 2, 1." in a for a in page.labels)


@pytest.mark.parametrize(
    "words",
    [
        "Small-scale: not COCO results.",
        "Does <b>it</b> work?",  # as text: what a study file says is never markup
        "4 of 8 trials trained; 1 refused; 1 failed; 1 repeated; 2 on the Pareto front; 31 s of training.",
        "The reference tiny is dominated by trial 1.",
        "over budget: <params> & more",
        "out of memory",
        "as 2",
        "catscale search run small.yaml",
        "objectives: {ap: maximize, gflops: minimize}",
    ],
)
def test_the_page_says(report: Path, words: str) -> None:
    assert words in page_of(report).text


def test_figures_are_well_formed_and_say_which_way_is_better(report: Path) -> None:
    tree = ET.parse(report / "small-front-ap-gflops.svg")
    texts = {"".join(text.itertext()).strip() for text in tree.iter(f"{SVG}text")}
    assert {"FLOPs (G, paper's convention) · less is better", "AP · more is better"} <= texts
    assert {"1", "2", "0 tiny", "dominated", "Pareto front", "reference", "refused (1, 1 further right)"} <= texts
    assert not {"3", "5"} & texts
    assert (report / "small-front-ap-gflops.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_study_is_the_same_bytes(report: Path, make: Make, tmp_path: Path) -> None:
    write_report([read_study(make())], tmp_path / "again")
    for path in report.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_the_tables_hold_every_trial(report: Path) -> None:
    frame = pd.read_csv(report / "small-trials.csv", index_col="number")
    assert frame["state"].tolist() == [row.state for row in ROWS]
    assert frame.query("on_front").index.tolist() == [1, 2]
    assert frame["gflops"].tolist()[:4] == [2.0, 1.5, 0.5, 0.9]
    lines = (report / "small-trials.md").read_text().splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_frames_are_what_is_drawn(make: Make) -> None:
    record = read_study(make())
    assert trials_frame(record)["ap"].isna().tolist() == [False, False, False, False, True, True, False]
    assert front_frame(record).index.tolist() == [2, 1]
    curves = curves_frame(record)
    assert curves["number"].tolist()[2::3] == [0, 1, 2, 3]
    assert curves["ap"].tolist()[2::3] == pytest.approx([0.30, 0.35, 0.10, 0.09])


@pytest.mark.parametrize(
    ("objectives", "drawn"),
    [
        (["ap", "gflops"], [("gflops", "ap")]),
        (["params", "ap", "gflops"], [("params", "ap"), ("gflops", "ap"), ("params", "gflops")]),
        (["ap"], [("gflops", "ap")]),
    ],
)
def test_each_pair_of_objectives_is_drawn_ap_first(
    make: Make, tmp_path: Path, objectives: list[str], drawn: list[tuple[str, str]]
) -> None:
    record = read_study(make(objectives=objectives))
    assert pairs(record.study) == drawn
    write_report([record], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").glob("*-front-*.svg")} == {
        f"small-front-{y}-{x}.svg" for x, y in drawn
    }


def test_one_objective_has_a_best_trial_and_says_so(make: Make, tmp_path: Path) -> None:
    remarks = write_report([read_study(make(objectives=["ap"]))], tmp_path / "out")
    assert remarks == ["small: one objective, so there is one best trial and no front"]
    assert "One objective, AP: the best is trial 1." in page_of(tmp_path / "out").text


@pytest.mark.parametrize(
    ("rows", "remark"),
    [
        ([], "no trial has begun; there is nothing to draw"),
        ([ROWS[4], ROWS[5]], "no trial is complete, so there is no front to draw; the reasons are below"),
        ([*ROWS[:2], Row(2, "complete", figures={"ap": float("nan"), "gflops": 1.0}, name="n")],
         "left out, with figures that are not numbers: trial 2"),
        ([*ROWS[:2], Row(2, "complete", figures={"ap": 0.3}, name="n")],
         "not on the front, which is of AP and FLOPs, for want of a figure: trial 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said_in_words(make: Make, tmp_path: Path, rows: list[Row], remark: str) -> None:
    assert write_report([read_study(make(rows))], tmp_path / "out") == [f"small: {remark}"]
    page = page_of(tmp_path / "out")
    assert f"Note: {remark}." in page.text
    assert bool(list((tmp_path / "out").glob("*-front-*"))) == (len(rows) == 3)


def test_a_study_whose_trials_all_lack_a_figure_has_a_page_without_a_front(make: Make, tmp_path: Path) -> None:
    (remark,) = write_report([read_study(make(objectives=["ap", "latency_ms"]))], tmp_path / "out")
    assert remark.endswith("which is of AP and Latency, for want of a figure: trial 0, 1, 2, 3")
    assert "small-fronts" not in page_of(tmp_path / "out").ids
    assert not list((tmp_path / "out").glob("*front*"))


STOPPED = Row(7, "stopped", "0.020 after epoch 2, at most 0.03; trial 1 has 0.35 and costs no more",
              values={"width": 0.6}, figures=known(0.02, 1.2, 7e5, 3), name="s")  # fmt: skip


def test_what_was_stopped_early_is_shown_as_that_and_never_on_the_front(make: Make, tmp_path: Path) -> None:
    cheapest = replace(STOPPED, figures=known(0.5, 0.1, 1e5, 3))
    record = read_study(make([*ROWS, cheapest]))
    points = points_frame(record, "gflops", "ap")
    assert points["kind"].to_dict() == {
        0: "dominated", 1: "front", 2: "front", 3: "dominated", 4: "refused", 7: "stopped"
    }  # fmt: skip
    write_report([record], tmp_path)
    page = page_of(tmp_path)
    assert "4 of 8 trials trained; 1 stopped early; 1 refused;" in page.text
    assert "… after epoch …, at most …; trial … has … and costs no more" in page.text
    assert "stopped early" in (tmp_path / "small-front-ap-gflops.svg").read_text()
    assert "stopped early" in (tmp_path / "small-curves.svg").read_text()


def test_outcomes_are_counted_by_state_and_reason(make: Make) -> None:
    frame = outcomes_frame(read_study(make([*ROWS, STOPPED, replace(STOPPED, number=8)])))
    assert frame[["state", "trials", "seconds"]].to_numpy().tolist() == [
        ["complete", 4, 31.0], ["stopped", 2, 6.0], ["refused", 1, 0.0], ["failed", 1, 0.0], ["repeated", 1, 0.0]
    ]  # fmt: skip


def test_the_front_is_compared_with_its_reference(make: Make) -> None:
    record = read_study(make())
    frame = comparison_frame(record, record.front)
    assert frame.index.tolist() == [2, 1]
    assert frame["ap_gain"].tolist() == pytest.approx([-0.2, 0.05])
    assert frame["gflops_change"].tolist() == pytest.approx([-0.75, -0.25])
    assert frame["ap_per_mparams"].tolist() == pytest.approx([0.1 / 0.3, 0.35])
    assert "latency_ms" not in frame


def test_ap_for_each_size_is_shown_where_a_run_was_evaluated(make: Make, tmp_path: Path) -> None:
    folder = make()
    sizes = {"ap_small": 0.125, "ap_medium": None, "ap_large": 0.5}
    (folder / "trials" / "1" / "metrics.json").write_text(json.dumps(sizes))
    write_report([read_study(folder)], tmp_path)
    front = pd.read_csv(tmp_path / "small-front.csv", index_col="number")
    assert front["ap_small"].tolist()[:2] == pytest.approx([float("nan"), 0.125], nan_ok=True)
    assert "ap_medium" not in front
    assert "AP small" in page_of(tmp_path).text
    assert "AP small" in (tmp_path / "small-front.tex").read_text()


@pytest.mark.parametrize("file", ["results.csv", "metrics.json"])
def test_a_damaged_file_of_a_run_is_one_message_and_nothing_is_written(make: Make, tmp_path: Path, file: str) -> None:
    path = make() / "trials" / "1" / file
    path.write_text("epoch,box\n1,?\n")
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}:"):
        write_report([read_study(path.parents[2])], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_published_models_stand_beside_a_study_of_coco_alone(make: Make) -> None:
    rows = [Row(1, "complete", values={"width": 0.5}, figures=known(0.35, 100.0, 36e6, 8), name="a")]
    assert published_points(read_study(make(rows)), "gflops", "ap").empty
    points = published_points(read_study(make(rows, name="on-coco", data="coco.yaml")), "gflops", "ap")
    at = {model: (x, y) for model, x, y in points.itertuples(index=False)}
    assert at["YOLOv7"] == (104.7, pytest.approx(0.512))  # arXiv:2207.02696, Table 2
    assert "YOLOv7-X" not in at  # 189.9 G: too far to the right


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("coco", "Squares: published models (arXiv:2207.02696, Table 2)."),
        ("shapes", "Published models are not beside them: their AP is of COCO."),
    ],
)
def test_the_front_says_whether_published_models_are_beside_it(
    make: Make, tmp_path: Path, data: str, words: str
) -> None:
    rows = [Row(n, "complete", values={"width": n}, figures=known(0.2 + n / 9, 99.0 * n, 4e7 * n, 8)) for n in (1, 2)]
    write_report([read_study(make(rows, data=data))], tmp_path / "out")
    assert words in page_of(tmp_path / "out").text
    drawn = (tmp_path / "out" / "small-front-ap-gflops.svg").read_text()
    assert ("YOLOv7-X" in drawn, "published" in drawn) == (data == "coco", data == "coco")


def test_a_front_beyond_a_dozen_has_sections_from_end_to_end(make: Make, tmp_path: Path) -> None:
    rows = [Row(n, "complete", values={"width": 0.1 + n / 50}, figures=known(n / 50, n / 10, 1e5 * n, 1), name=f"n{n}")
            for n in range(1, 31)]  # fmt: skip
    write_report([read_study(make(rows))], tmp_path)
    page = page_of(tmp_path)
    sections = [name for name in page.ids if re.fullmatch(r"small-trial-\d+", name)]
    assert 11 <= len(sections) <= 12  # the knee may be one of the others
    assert {"small-trial-1", "small-trial-30"} <= set(sections)
    assert f"30 are on the front; {len(sections)} of them, from end to end, are shown here." in page.text


def test_studies_that_do_not_compare_are_told_apart(make: Make, tmp_path: Path) -> None:
    records = [read_study(make([ROWS[4]])), read_study(make([ROWS[4]], name="other", objectives=["ap", "params"]))]
    words = "these studies have different objectives (AP, FLOPs; AP, Parameters): their fronts do not compare"
    assert words in write_report(records, tmp_path / "out")
    assert words in page_of(tmp_path / "out").text


def test_detectors_are_shown_on_images_while_weights_and_data_are_there(make: Make, tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    make_shapes(dataset, train=4, val=4, test=0, size_px=64)
    folder = make(data=str(dataset))
    run = folder / "trials" / "1"
    (run / "results.csv").unlink()
    images = open_dataset(dataset)
    arch = replace(catscale.load("yolov7-tiny"), classes=len(images.classes)).scale(width=0.1)
    train(arch, images, load_recipe("quick", {"epochs": 1, "batch": 4}), run, size_px=64)
    assert write_report([read_study(folder)], tmp_path / "out", images=2) == []
    page = page_of(tmp_path / "out")
    assert len([link for link in page.links if link.startswith("data:image/webp;base64,")]) == 4  # as marked, and found
    assert "There is no architecture.yaml" not in page.text.split("Trial 1 a")[1].split("Trial 0 tiny")[0]
    assert "no predictions: its weights are not kept".capitalize() in page.text
    shutil.rmtree(dataset)
    (remark,) = write_report([read_study(folder)], tmp_path / "out", images=2)
    assert remark.startswith(f"small: no predictions: {dataset}")


def test_a_run_folder_that_is_gone_is_said(make: Make, tmp_path: Path) -> None:
    folder = make()
    (folder / "trials" / "3" / "results.csv").unlink()
    remarks = write_report([read_study(folder)], tmp_path / "out")
    assert remarks == ["small: no learning curve of trial 3: the run folder is gone"]


def test_a_study_whose_run_folders_are_all_gone_has_a_report(make: Make, tmp_path: Path) -> None:
    folder = make(ROWS[:2])
    shutil.rmtree(folder / "trials")
    assert write_report([read_study(folder)], tmp_path / "out") == [
        "small: no learning curve of trial 0, 1: the run folders are gone"
    ]
    assert not list((tmp_path / "out").glob("*curves*"))


def test_two_studies_share_a_page_and_their_devices_are_told_apart(make: Make, tmp_path: Path) -> None:
    records = [read_study(make()), read_study(make(name="other", device="GPU"))]
    write_report([*records, records[0]], tmp_path / "out")
    page = page_of(tmp_path / "out")
    assert len(page.ids) == len(set(page.ids))
    assert "run on different devices (CPU; GPU): their latencies do not compare" in page.text
    assert {"small-trials.csv", "other-trials.csv", "small-2-trials.csv"} <= set(page.links)


@pytest.mark.parametrize("what", ["missing", "empty", "damaged", "taken"])
def test_bad_input_is_one_message(cli: Any, make: Make, tmp_path: Path, what: str) -> None:
    folder, output = make(), tmp_path / "out"
    message = {
        "missing": f"{tmp_path / 'nowhere'}: there is no such study file or folder",
        "empty": f"{tmp_path}: holds no study.yaml",
        "damaged": f"{folder / 'trials.csv'}:2: is not a trial",
        "taken": f"{output}: is a file; name a folder for the report",
    }[what]
    study = {"missing": tmp_path / "nowhere", "empty": tmp_path}.get(what, folder)
    if what == "damaged":
        table = folder / "trials.csv"
        table.write_text(table.read_text().replace("0,complete", "0,finished", 1))
    if what == "taken":
        output.write_text("mine")
    result = cli("report", study, "-o", output)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {message}")
    assert len(result.stderr.splitlines()) == 1
    assert not output.is_dir()


def test_the_hardware_file_is_checked(make: Make, tmp_path: Path) -> None:
    folder = make()
    (folder / "hardware.json").write_text("[]")
    with pytest.raises(InputError, match=r"hardware\.json: is not what catscale search run writes"):
        write_report([read_study(folder)], tmp_path / "out")


def test_the_page_says_what_the_study_began_with_and_what_changed(make: Make, tmp_path: Path) -> None:
    folder = make()
    began = {"catscale": "0.1", "commit": "abc123", "python": "3.12.1", "packages": {"torch": "2.6.0"}, "driver": None}
    write_lock(folder, began, "shapes")
    write_lock(folder, {**began, "packages": {"torch": "2.7.1"}}, "shapes")
    write_report([read_study(folder)], tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Began with catscale 0.1, commit abc123, python 3.12.1, torch 2.6.0" in page
    assert ": torch 2.6.0, now 2.7.1" in page


def test_markdown_escapes_what_would_end_a_cell() -> None:
    frame = pd.DataFrame({"a": ["x|y"], "b": [float("nan")], "c": [True]}, index=pd.Index([1], name="number"))
    assert markdown(frame).splitlines()[2] == "| 1 | x\\|y |  | yes |"


def test_an_inline_figure_has_its_own_ids_and_the_pages_colours() -> None:
    svg = '<?xml version="1.0"?><svg width="9pt" height="8pt"><g id="a" style="fill: #1f2933"/><use href="#a"/></svg>'
    assert inline_svg(svg, "p", "say 'x'") == (
        '<svg role="img" aria-label="say &#x27;x&#x27;"><g id="p-a" style="fill: var(--ink)"/><use href="#p-a"/></svg>'
    )


def test_a_record_needs_no_trials_file(make: Make) -> None:
    folder = make()
    (folder / "trials.csv").unlink()
    record = read_study(folder)
    assert isinstance(record, StudyRecord)
    assert record.rows == []
