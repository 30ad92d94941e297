"""What is committed in `studies/`: definitions that could begin, results that redraw to the committed picture."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from catscale.blocks.errors import InputError
from catscale.reports.compare_file import Comparison, has_comparison, read_comparison
from catscale.reports.page import write_report
from catscale.search.candidates import Bases
from catscale.search.feasible import Feasible
from catscale.search.seeds import TABLE
from catscale.search.stored_study import recipe_of
from catscale.search.study import Study, load_study

from .page_text import page_of

STUDIES = Path(__file__).resolve().parents[2] / "studies"
FOLDERS = sorted(path.parent.name for path in STUDIES.glob("*/README.md"))
DEFINITIONS = sorted(
    str(path.relative_to(STUDIES)) for kind in ("study*", "small") for path in STUDIES.glob(f"*/{kind}.yaml")
)
COCO, V100_FLOPS, UTILISATION = 118_287, 125e12, 0.2  # images; fp16 peak a second; the share taken to be used


def has_results(name: str) -> bool:
    if not has_comparison(STUDIES / name):
        return False
    return not isinstance(read_comparison(STUDIES / name), Comparison) or (STUDIES / name / TABLE).is_file()


def numbers(svg: Path) -> np.ndarray:
    """Coordinates of the marks and lines of a picture; where its words stand depends on the fonts of the machine."""
    paths = re.findall(r'\bd="([^"]*)"', svg.read_text(encoding="utf-8"))
    return np.array([float(number) for path in paths for number in re.findall(r"-?\d+\.?\d*", path)])


@pytest.mark.parametrize("name", [name for name in FOLDERS if has_results(name)])
def test_committed_results_redraw_to_the_committed_table_and_picture(name: str, tmp_path: Path) -> None:
    write_report([], tmp_path, folders=[STUDIES / name])
    kinds = ("csv", "md", "tex", "png", "pdf", "svg")
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", *(f"{name}.{kind}" for kind in kinds)}
    table = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
    committed = STUDIES / name / f"{name}.md"
    assert table in (STUDIES / name / "README.md").read_text(encoding="utf-8") or (
        table == committed.read_text(encoding="utf-8")
    )
    drawn, kept = numbers(tmp_path / f"{name}.svg"), numbers(STUDIES / name / f"{name}.svg")
    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).max() < 2  # points of a picture some 600 wide


def test_the_command_line_writes_a_page_of_folders_with_results(
    cli: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    names = ("table3-scaling", "tables1-2-family")
    done = cli("report", *(STUDIES / name for name in names), "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Report written to {tmp_path / 'out' / 'index.html'}\n"
    assert (tmp_path / "out" / "table3-scaling.tex").read_text().startswith("\\begin{table}")
    page = page_of(tmp_path / "out")
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert all(link[1:] in page.ids if link[0] == "#" else (tmp_path / "out" / link).is_file() for link in page.links)
    for words in (
        "Does compound scaling beat width alone and depth alone at about the same cost?",  # of the study file
        "Are the counts of Tables 1 and 2 exact,",  # of the README, as there is no study file
        "Small-scale: not COCO results.",
        "AP, small scale",
        "AP, COCO (paper)",
        "“COCO (paper)”: as arXiv:2207.02696, Table 3, prints it",
        "compound over base by 1.2 AP on COCO in the paper; here +1.3 [+0.2, +2.4]: reproduced.",
        "BCCD's 205 training photographs",
        "catscale search run studies/table3-scaling/small.yaml --data DATA --workers 2",
        "coco, 300 epochs each by recipe p5, with 3 seeds",
    ):
        assert words in page.text
    assert any(label.startswith("Picture of: Table 3, proposed model scaling") for label in page.labels)


def copied(place: Path, name: str, *files: str) -> Path:
    """Some files of a committed folder."""
    folder = place / name
    folder.mkdir()
    for file in files:
        shutil.copy(STUDIES / name / file, folder)
    return folder


def test_what_a_folders_readme_says_is_text_and_leads_nowhere(tmp_path: Path) -> None:
    folder = copied(tmp_path, "table10-precision-iou", "compare.yaml", "seeds.csv")
    generated = "<!-- catscale report -->\nold\n<!-- end -->"
    text = f"# T\n\n**Question.** Why\nnot?\n\n<script>alert(1)</script> [here](x.md) {generated}\n\n## Next\n"
    (folder / "README.md").write_text(f"{text}\n![p](p.svg)\n")
    write_report([], tmp_path / "out", folders=[folder])
    page = page_of(tmp_path / "out")
    assert "Why not?" in page.text
    assert "<script>alert(1)</script> here" in page.text
    assert "Next" in page.text
    assert not {"x.md", "p.svg"} & set(page.links)
    assert not [words for words in page.words if "catscale report -->" in words or words.strip() == "old"]


def test_where_nothing_says_how_a_folders_results_were_made_the_page_does(tmp_path: Path) -> None:
    folder = copied(tmp_path, "table10-precision-iou", "compare.yaml", "seeds.csv")
    remark = "neither README.md nor hardware.json: nothing says how it was run"
    assert write_report([], tmp_path / "out", folders=[folder]) == [f"table10-precision-iou: {remark}"]
    assert remark in (tmp_path / "out" / "index.html").read_text()
    session = {"device": "a GPU", "cores": 2, "threads": 1, "platform": "Linux", "command": "catscale search run it",
               "started": "2026-01-01"}  # fmt: skip
    (folder / "hardware.json").write_text(json.dumps({"sessions": [session]}))
    assert write_report([], tmp_path / "out", folders=[folder]) == []
    assert "catscale search run it" in (tmp_path / "out" / "index.html").read_text()


def test_a_folder_without_results_says_what_is_missing(
    cli: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    folder = copied(tmp_path, "table3-scaling", "compare.yaml")
    done = cli("report", folder, "-o", tmp_path / "out")
    assert (done.returncode, "seeds.csv: there is no such table; catscale search run writes it" in done.stderr) == (
        2,
        True,
    )
    assert not (tmp_path / "out").exists()


def test_a_damaged_study_file_of_a_folder_is_one_message_and_nothing_is_written(tmp_path: Path) -> None:
    folder = copied(tmp_path, "table10-precision-iou", "compare.yaml", "seeds.csv")
    (folder / "small.yaml").write_text("name: 3\n")
    with pytest.raises(InputError, match=r"small\.yaml"):
        write_report([], tmp_path / "out", folders=[STUDIES / "table3-scaling", folder])
    assert not (tmp_path / "out").exists()


def test_finished_results_are_not_waited_for(
    cli: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    done = cli("report", STUDIES / "table3-scaling", "-o", tmp_path / "out", "--live", timeout=60)
    assert (done.returncode, "its results are finished; --live is for studies that run" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_says_whether_it_was_run(name: str) -> None:
    text = (STUDIES / name / "README.md").read_text(encoding="utf-8")
    assert ("**Not run" in text) != has_results(name)
    assert "**Question.**" in text


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_committed_study_could_begin(definition: str) -> None:
    text = (STUDIES / definition).read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../study.schema.json\n")
    jsonschema.validate(yaml.safe_load(text), json.loads((STUDIES / "study.schema.json").read_text(encoding="utf-8")))
    study = load_study(STUDIES / definition)
    recipe_of(study)
    bases = Bases(study)
    for name in study.compared:
        bases.reference(name)
    if study.space.parameters:
        bases.candidate(next(study.space.combinations()))


@pytest.mark.parametrize("definition", [name for name in DEFINITIONS if not name.endswith("small.yaml")])
def test_the_hours_at_the_papers_scale_are_reckoned_as_stated(definition: str) -> None:
    """Three forward passes' FLOPs an image (one forward, two backward), all images, all epochs, all seeds."""
    text = (STUDIES / definition).read_text(encoding="utf-8")
    found = re.search(r"about ([\d,]+) V100-hours, an estimate", text)
    assert found is not None
    study = load_study(STUDIES / definition)
    images = COCO * recipe_of(study).epochs * len(study.training_seeds)
    hours = 3e9 * sum(flops_of_trials(study)) * images / (UTILISATION * V100_FLOPS) / 3600
    assert float(found[1].replace(",", "")) == float(f"{hours:.2g}")


def flops_of_trials(study: Study) -> list[float]:
    """GFLOPs of each trial; of a search the most that it may take."""
    bases = Bases(study, 80)
    known = [bases.reference(name).figures["gflops"] for name in study.compared]
    left = study.trials - len(known)
    if study.constraints:
        return known + [study.constraints["gflops"]] * left
    grid = Feasible(study, bases).left(()) if study.space.parameters else ()
    return known + [bases.candidate(values).figures["gflops"] for values in grid]


def test_the_index_names_every_folder() -> None:
    index = (STUDIES / "README.md").read_text(encoding="utf-8")
    assert {name for name in FOLDERS if f"({name}/" not in index} == set()


def test_results_stay_small() -> None:
    assert sum(path.stat().st_size for path in STUDIES.rglob("*") if path.is_file()) < 3_000_000
