"""The paper's tables as data, and the zoo beside them."""

import json
import re
import subprocess
import sys
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from catscale.blocks.errors import InputError
from catscale.reports.published import TABLES, published, published_frame, tenths
from catscale.reports.zoo_table import zoo_table
from catscale.scaler.zoo import names


@pytest.mark.parametrize(
    ("table", "rows", "model", "size_px", "params_m", "flops_g", "ap_val"),
    [
        (1, 16, "YOLOv7-tiny", 320, "6.2", "3.5", 30.8),
        (1, 16, "YOLOR-D6", 1280, "151.7", "935.6", 56.1),
        (2, 31, "YOLOv7-E6E", 1280, "151.7", "843.2", 56.8),
        (2, 31, "YOLOv5-N (r6.1)", 640, "1.9", "4.5", 28.0),
        (3, 4, "depth only (2.0 d)", 640, "69.3", "187.6", 52.7),
    ],
)
def test_rows_are_as_printed(
    table: int, rows: int, model: str, size_px: int, params_m: str, flops_g: str, ap_val: float
) -> None:
    found = [row for row in published() if row.table == table]
    assert len(found) == rows
    row = next(row for row in found if (row.model, row.size_px) == (model, size_px))
    assert (str(row.params_m), str(row.flops_g), row.ap_val) == (params_m, flops_g, ap_val)


def test_a_row_that_is_printed_twice_is_printed_alike() -> None:
    for row in published():
        for other in published():
            counted = row.params_m is not None and other.params_m is not None
            if counted and (row.model, row.size_px) == (other.model, other.size_px):
                assert (row.params_m, row.flops_g, row.ap_val) == (other.params_m, other.flops_g, other.ap_val)


def test_every_row_of_a_model_of_ours_is_in_the_zoo_and_says_how_it_was_counted() -> None:
    for row in published():
        if row.table > 3:
            assert not row.zoo
            continue
        assert row.zoo
        assert row.convention
        assert row.counted_at_px
        assert row.note or (row.convention, row.params_of) == ("paper", "deploy")


def table_of(paper: str, number: int) -> list[list[str]]:
    """The rows of a table as they stand in the paper's text, heads and references to the literature left out."""
    lines = paper.partition(f"\nTable {number}: ")[2].splitlines()[2:]
    rows = [line.split("\t") for line in takewhile(lambda line: "\t" in line, lines)]
    return [[re.sub(r" \[\d+\]", "", cell).strip() for cell in row] for row in rows if row[0] != "Model"]


@pytest.fixture(scope="module")
def paper() -> str:
    path = Path(__file__).resolve().parents[3] / "shared" / "paper" / "yolov7-paper.txt"
    if not path.is_file():
        pytest.skip(f"no text of the paper at {path}")
    return path.read_text()


COLUMNS = {  # of each table, in the order in which they are printed; two figures in a cell are one column each
    1: "params_m flops_g size_px ap_val ap50_val ap75_val ap_s_val ap_m_val ap_l_val",
    2: "params_m flops_g size_px fps_v100 ap_test ap_val ap50_test ap75_test ap_s_test ap_m_test ap_l_test",
    3: "params_m flops_g size_px ap_val ap50_val ap75_val",
    4: "ap_val ap50_val ap75_val ap_s_val ap_m_val ap_l_val",
    5: "ap_val ap50_val ap75_val ap_s_val ap_m_val ap_l_val",
    6: "size_px ap_val ap50_val ap75_val",
    7: "size_px ap_val ap50_val ap75_val",
    8: "size_px ap_val ap50_val ap75_val",
    9: "params_m flops_g size_px fps ap_test ap_val ap50_test ap75_test",
    10: "precision iou_threshold ap_val",
}


@pytest.mark.parametrize("number", COLUMNS)
def test_every_row_stands_in_the_paper_with_every_figure(paper: str, number: int) -> None:
    printed = [row for row in table_of(paper, number) if row[0] != "improvement"]
    assert len(printed) == len(published(number))
    assert f"\nTable {number}: {TABLES[number]}" in paper
    for cells, row in zip(printed, published(number), strict=True):
        assert cells[0] == row.model
        figures = [one for cell in cells[1:] for one in cell.removesuffix(" (default)").split(" / ")]
        for name, text in zip(COLUMNS[number].split(), figures, strict=True):
            value = (row.fps_v100 or row.fps_a100) if name == "fps" else getattr(row, name)
            known = text.rstrip("%MG") if name != "precision" else text
            assert (value is None) == (known == "-"), (row.model, name)
            if value is not None:
                assert value == (known if name == "precision" else type(value)(known)), (row.model, name)


@pytest.mark.parametrize("number", [1, 3, 6, 7, 8])
def test_improvements_are_the_differences_of_the_rows(paper: str, number: int) -> None:
    """What the paper reckons itself, so that a slip in its text or in ours shows."""
    above: list[Any] = []
    rows = iter(published(number))
    improvements = 0
    for cells in table_of(paper, number):
        if cells[0] != "improvement":
            above.append(next(rows))
            continue
        # Table 1 sets its last model against the last one that is not the paper's, the others against their first.
        base, best = ([row for row in above if "YOLOv7" not in row.model][-1] if number == 1 else above[0]), above[-1]
        names = COLUMNS[number].split()
        for name, text in zip(names, cells[1:], strict=True):
            if name.startswith("ap") and text != "=":
                assert getattr(best, name) - getattr(base, name) == pytest.approx(float(text), abs=0.051), (best, name)
            elif name.startswith("ap"):
                assert getattr(best, name) == getattr(base, name)
        above, improvements = [], improvements + 1
    assert improvements == {1: 6}.get(number, 1)


@pytest.mark.parametrize(
    ("count", "rounded"), [(125_450_000_000, "125.5"), (125_449_999_999, "125.4"), (6_219_709_000, "6.2")]
)
def test_halves_go_up(count: int, rounded: str) -> None:
    assert tenths(count, 10**9) == Decimal(rounded)


OTHERWISE = {  # what comes out instead of what is printed, with the reason in the row's note
    "yolox-l": ("155.651 G, which the paper prints cut", (54.2, 155.7)),
    "yolov4-tiny-3l": ("was not released", (6.3, 4.9)),
}


def test_every_model_of_the_zoo_is_there_and_equal_to_the_last_printed_digit() -> None:
    records = zoo_table()
    assert sorted(record["name"] for record in records) == list(names())
    uncounted = {
        "yolor-w6-repcsp",
        "yolor-w6-rcsp",
        "yolor-w6-reprcsp",
        "yolor-csp-reprcsp",
        "yolov7-x-light-3-stacked",
    }
    assert {record["name"] for record in records if not record["published"]} == uncounted  # of Tables 4 and 5: AP alone
    for record in (record for record in records if record["published"]):
        for row in (record, *record["also_published"]):
            printed = {key: row["published"][key] for key in ("params_m", "flops_g")}
            if record["name"] in OTHERWISE:
                reason, counted = OTHERWISE[record["name"]]
                assert tuple(row["as_published"].values()) == counted
                assert reason in row["published"]["note"]
                assert row["equal"] is False
                continue
            assert row["as_published"] == printed, record["name"]
            assert row["equal"] is True


@pytest.mark.parametrize(
    ("name", "size", "params", "params_train", "flops_g"),  # yolov7-facts 1.10
    [
        ("yolov7", 640, 36_905_341, 37_622_682, 104.685),
        ("yolov7-d6", 1280, 133_757_052, 154_709_364, 702.582),
        ("yolov7-tiny", 416, 6_219_709, 6_228_762, 5.807),
    ],
)
def test_our_own_counts_stand_beside(name: str, size: int, params: int, params_train: int, flops_g: float) -> None:
    (record,) = zoo_table([name])
    assert {key: record[key] for key in ("size", "params", "params_train", "flops_g")} == {
        "size": size,
        "params": params,
        "params_train": params_train,
        "flops_g": flops_g,
    }


def test_one_model_may_be_published_at_two_sizes() -> None:
    (record,) = zoo_table(["yolov7-tiny"])
    assert [row["published"]["size"] for row in (record, *record["also_published"])] == [416, 320]


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(InputError, match="'yolov7-e7'; did you mean 'yolov7-e6'"):
        zoo_table(["yolov7-e7"])


def test_the_command_prints_json_and_a_table(cli: Any) -> None:
    records = json.loads(cli("zoo", "--json", "--models", "yolov7,yolov7-d6").stdout)
    assert [record["name"] for record in records] == ["yolov7", "yolov7-d6"]
    assert records[1]["published"]["table"] == 2
    assert "auxiliary heads" in records[1]["published"]["note"]
    table = cli("zoo")
    assert table.returncode == 0
    assert all(name in table.stdout for name in names())
    wrong = cli("zoo", "--models", "yolov9")
    assert (wrong.returncode, "no model of the zoo is called 'yolov9'" in wrong.stderr) == (2, True)


def test_the_tables_and_figures_are_written(cli: Any, tmp_path: Path) -> None:
    done = cli("report", "published", "-o", tmp_path / "paper")
    assert done.returncode == 0, done.stderr
    figures = {f"figure-{number}.{kind}" for number in (1, 9, 10, 11) for kind in ("png", "svg", "pdf")}
    tables = {f"table-{number}.{kind}" for number in range(1, 11) for kind in ("md", "tex")}
    assert {path.name for path in (tmp_path / "paper").iterdir()} == figures | tables | {"published.csv"}
    assert "which none of its tables prints" in done.stdout  # that Figure 11 stands on other figures than the paper's
    drawn = (tmp_path / "paper" / "figure-9.svg").read_text()
    assert all(f"{row.model}<" in drawn for row in published(9) if row.params_m is None and row.fps_a100)
    assert "| RepCSP | YOLOR-W6 | 54.67 |" in (tmp_path / "paper" / "table-5.md").read_text()
    assert r"\label{tab:yolov7-10}" in (tmp_path / "paper" / "table-10.tex").read_text()
    assert len((tmp_path / "paper" / "published.csv").read_text().splitlines()) == 1 + len(published())


def test_a_table_as_a_frame_has_the_columns_that_are_printed() -> None:
    assert published_frame(6).columns.tolist() == ["model", "base", "size_px", "ap_val", "ap50_val", "ap75_val"]
    assert len(published_frame()) == 16 + 31 + 4 + 6 + 6 + 4 + 3 + 3 + 47 + 4
    with pytest.raises(InputError, match="Table 11 is none of the paper's; it has Tables 1 to 10"):
        published_frame(11)


def test_the_zoo_needs_no_torch() -> None:
    code = (
        "import sys; from catscale.reports import commands; commands.zoo(None, True); "
        "assert not {'torch', 'optuna', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
