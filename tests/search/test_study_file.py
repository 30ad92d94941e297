"""Study files: each mistake is named with its place, on the command line, before anything is written."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from catscale.blocks.errors import InputError
from catscale.search.candidates import Bases, over_budget
from catscale.search.feasible import Feasible
from catscale.search.run import run_study
from catscale.search.stored_study import differences, write_study
from catscale.search.study import Study, load_study

GOOD: dict[str, Any] = {
    "name": "small",
    "base": "yolov7-tiny",
    "space": {"width": {"choices": [0.125, 0.25]}, "compound": {"low": 0.5, "high": 1.5, "step": 0.5}},
    "objectives": ["ap", "gflops"],
    "trials": 2,
    "size_px": 64,
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**GOOD, **changes}.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 3}, "unknown key 'trails'; did you mean 'trials'?"),
        ({"base": None}, "'base' is missing"),
        ({"trials": 0}, "trials: input should be greater than or equal to 1, not 0"),
        ({"objectives": ["ap", "gflop"]}, "objectives: no objective is called 'gflop'; did you mean 'gflops'?"),
        ({"objectives": ["gflops"]}, "name ap or ap50 too: without it there is nothing to train for"),
        ({"objectives": {"ap": "up"}}, "objectives.ap: input should be 'maximize' or 'minimize', not 'up'"),
        ({"constraints": {"parms": 1}}, "constraints: no constraint is called 'parms'; did you mean 'params'?"),
        ({"constraints": {"ap": 0.4}}, "constraints: ap is known only after training"),
        ({"constraints": {"params": -1}}, "constraints: params: an upper bound must be above zero, not -1"),
        ({"sampler": {"kind": "tpe", "sed": 1}}, "sampler: unknown key 'sed'; did you mean 'seed'?"),
        ({"space": {"wdith": {"choices": [1]}}}, "wdith: no scaling is called 'wdith'; did you mean 'width'?"),
        ({"space": {"width": {"choises": [1]}}}, "space.width: unknown key 'choises'; did you mean 'choices'?"),
        ({"space": {"width": {"choices": []}}}, "space.width: choices is empty"),
        ({"space": {"width": {"choices": [1, 1.0]}}}, "space.width: choices names 1 twice"),
        ({"space": {"width": {"low": 2, "high": 1}}}, "space.width: low 2 is above high 1"),
        ({"space": {"width": {"low": 1, "high": 2, "step": 0}}}, "space.width: step 0 is not above zero"),
        ({"space": {"width": {"choices": [0]}}}, "width: 0 is not a factor above 0"),
        ({"space": {"width": {"choices": [True]}}}, "width: True is not a factor above 0"),
        ({"space": {"extend": {"choices": [1.5]}}}, "extend: 1.5 is not a whole number of groups from 1"),
        ({"space": {"transition": {"choices": ["down"]}}}, "transition: 'down' is not one of"),
        ({"space": {"transition": {"low": 1, "high": 2}}}, "transition: is a word: give choices"),
        ({"space": {"compound": {"low": 1, "high": 2}}}, "compound: most values between low and high cannot be built"),
        ({"space": {"size_px": {"choices": [64]}}}, "size_px: the space already chooses the resolution"),
        ({"space": {}}, "space: is empty; name at least one parameter"),
        ({"space": {"width": {"low": 1, "high": 2}}, "sampler": {"kind": "grid"}}, "a grid needs a finite space"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(InputError) as error:
        load_study(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 3}, "unknown key 'trails'"),
        ({"base": "yolov7-tiyn"}, "base: no architecture is called 'yolov7-tiyn'; did you mean 'yolov7-tiny'?"),
        ({"data": "nowhere"}, "nowhere: there is no such file or folder"),
        ({"size_px": None, "space": {"resolution": {"choices": [100]}}}, "resolution: yolov7-tiny: size 100 is not"),
    ],
)
def test_the_command_line_refuses_it_and_writes_nothing(
    cli: Any, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    result = cli("search", "run", written(tmp_path, **changes), cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs" / "search").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "mine.yaml"}, "mine.yaml: there is no such file"),
        ({"recipe": "qick"}, "did you mean 'quick'?"),
        ({"overrides": {"lr": 1}}, "small: recipe: "),
        ({"size_px": 100}, "size 100 is not a multiple of the largest stride, 32"),
    ],
)
def test_what_a_study_names_is_checked_before_it_begins(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    study = load_study(written(tmp_path, **changes))
    with pytest.raises(InputError) as error:
        run_study(study, tmp_path / "folder", device="cpu")
    assert message in str(error.value)
    assert not (tmp_path / "folder").exists()


def test_a_study_reads_back_as_it_was_written(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, constraints={"params": 8e6}, sampler={"kind": "nsga2", "seed": 3}))
    write_study(study, tmp_path / "again.yaml")
    again = load_study(tmp_path / "again.yaml")
    assert again.model_copy(update={"contents": None}) == study
    assert differences(again, study) == []


def test_scalings_are_applied_in_one_order_whatever_the_file_says(tmp_path: Path) -> None:
    space = {
        "size_px": {"choices": [64]},
        "extend": {"choices": [2]},
        "transition": {"choices": ["downc"]},
        "depth": {"choices": [1.0]},
        "width": {"choices": [0.5]},
    }
    study = load_study(written(tmp_path, space=space, size_px=None))
    assert list(study.space.parameters) == ["depth", "transition", "extend", "width", "resolution"]


def test_files_are_looked_for_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "narrow.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.25}\n")
    study = load_study(written(tmp_path, base="narrow.yaml"))
    assert study.base == (str(tmp_path / "narrow.yaml"),)


def test_what_changed_is_named(tmp_path: Path) -> None:
    before = load_study(written(tmp_path))
    now = load_study(written(tmp_path, seed=1, trials=9, space={"width": {"choices": [0.5]}}))
    assert differences(before, now) == [
        "space.compound.low was 0.5, is not there",
        "space.compound.high was 1.5, is not there",
        "space.compound.step was 0.5, is not there",
        "space.width.choices was [0.125, 0.25], is [0.5]",
        "seed was 0, is 1",
    ]


def feasible(folder: Path, **changes: Any) -> Study:
    study = load_study(written(folder, **changes))
    Feasible(study, Bases(study)).check()
    return study


def test_a_space_without_a_candidate_that_fits_names_the_nearest_miss(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"none of the space's 6 candidates fits, as none keeps params <= .* M; .*compound0\.5-width0\.125 is",
    ):
        feasible(tmp_path, constraints={"params": 1000})


def test_a_space_that_cannot_be_built_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of its 1 candidates can be built; .*depth 0\.75 turns 2"):
        feasible(tmp_path, space={"compound": {"choices": [0.75]}})


def test_a_bound_names_what_breaks_it(tmp_path: Path) -> None:
    study = feasible(tmp_path, constraints={"params": 1e6, "latency_ms": 30})
    assert over_budget(study, {"params": 2_500_000}) == "over budget: params 2.50 M above 1.00 M"
    assert over_budget(study, {"params": 5e5, "latency_ms": 31.25}) == "over budget: latency_ms 31.25 ms above 30.00 ms"
    assert over_budget(study, {"params": 5e5}) == ""
