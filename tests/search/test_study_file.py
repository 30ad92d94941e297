"""Study files: each mistake is named with its place, on the command line, before anything is written."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from catscale.blocks.errors import InputError
from catscale.search.candidates import Bases, over_budget
from catscale.search.feasible import Feasible
from catscale.search.run import run_study
from catscale.search.schema import schema_text
from catscale.search.stored_study import differences, read_stored, sealed, write_study
from catscale.search.study import Study, load_study
from catscale.trainer.data.shapes import make_shapes

from .conftest import relabel

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
        ({"space": {"recipe.lr": {"choices": [1]}}}, "recipe.lr: a recipe has no field 'lr'; did you mean 'lrf'?"),
        ({"space": {"recipe.lr0": {"choices": [-1]}}}, "recipe.lr0: -1 is not a value of a recipe's lr0"),
        ({"space": {"recipe.epochs": {"choices": [1]}}}, "recipe.epochs: epochs is no parameter; say epochs or fide"),
        ({"space": {"recipe.lr0": {"low": 0, "high": 1, "log": True}}}, "log: goes with a low above zero"),
        ({"space": {"stages.neck": {"choices": [4]}}}, "stages.neck: stages is of the whole; of parts may be depth"),
        ({"space": {"form": {"choices": ["parallel"]}}}, "form: is a setting of extend; the space must have extend"),
        ({"space": {"compound": {"choices": [1]}, "exponent": {"choices": [5]}}}, "exponent: 5 is not a number from 0"),
        (
            {"space": {"depth": {"choices": [1]}, "depth.neck": {"choices": [1]}}},
            "depth.neck: the space has depth of the whole too",
        ),
        ({"constraints": "latency <= 8"}, "constraints: no constraint is called 'latency'; did you mean 'latency_ms'?"),
        ({"constraints": "ap >= 0.4"}, "'ap >= 0.4': ap is known only after training, when nothing is saved any more"),
        ({"constraints": "params >= 4"}, "'params >= 4': bounds are upper ones; write params <= 4"),
        ({"constraints": ["params <= 4", "params <= 5"]}, "params is bounded twice, by 4 and by 5; keep one"),
        ({"constraints": ["params"]}, "'params' is no bound; write one as latency_ms <= 8"),
        ({"budget": {"trails": 2}}, "budget: unknown key 'trails'; did you mean 'trials'?"),
        ({"budget": {"trials": 3}}, "budget.trials is 3, and trials is 2: they contradict each other; keep one"),
        ({"fidelity": {"epochs": 3}, "epochs": 4}, "fidelity.epochs is 3, and epochs is 4: they contradict each other"),
        ({"fidelity": {"stop": "frnt"}}, "fidelity.stop: input should be 'none', 'front', 'halving'"),
        ({"fidelity": {"rungs": [2, 1], "stop": "front"}}, "rungs [2, 1] must be epochs from 1, ascending"),
        ({"trials": None}, "'trials' is missing; say how many there are to be, or budget: {hours: …}"),
        ({"trials": 1, "references": ["yolov7"]}, "trials: 1 are fewer than the 2 references that are trained first"),
        ({"seeds": [1, 1]}, "seeds: [1, 1]: give seeds from 0, each once"),
        ({"latency": {"predikt": "t"}}, "latency: unknown key 'predikt'; did you mean 'predict'?"),
        ({"base": ["a/x.yaml", "b/x.yaml"], "trials": 9}, "base: two are called 'x'; give one of the files another"),
        ({"keep": "some"}, "keep: input should be 'front', 'best', 'all' or 'none', not 'some'"),
        ({"space": {"width": {"low": 1, "high": 2}}, "sampler": {"kind": "brute"}}, "brute force needs a finite space"),
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


def test_what_is_said_in_two_ways_is_the_same(tmp_path: Path) -> None:
    one = load_study(written(tmp_path, constraints={"params": 2e6, "latency_ms": 8}, seed=3, seeds=2, epochs=7))
    other = written(tmp_path, trials=None, budget={"trials": 2}, constraints=["params <= 2e6", "latency_ms <= 8"],
                    seed=3, seeds=[3, 4], fidelity={"epochs": 7})  # fmt: skip
    found = load_study(other)
    assert found.model_copy(update={"fidelity": one.fidelity}) == one
    assert (found.trials, found.training_seeds, found.epochs) == (2, (3, 4), 7)


def test_trials_on_the_command_line_go_before_the_file(tmp_path: Path) -> None:
    assert load_study(written(tmp_path, trials=None, budget={"trials": 2}), {"trials": 5}).trials == 5


def test_a_study_that_was_moved_is_the_same_and_a_changed_base_is_another(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "narrow.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.25}\n")
        (tmp_path / place / "quicker.yaml").write_text("base: quick\nlr0: 0.02\n")
        (tmp_path / place / "table.json").write_text("{}")
        make_shapes(tmp_path / place / "data", train=2, val=1, test=0, size_px=64)
    named = {"base": "narrow.yaml", "recipe": "quicker.yaml", "data": "data", "latency": {"predict": "table.json"}}
    write_study(load_study(written(tmp_path / "here", **named)), tmp_path / "folder" / "study.yaml")
    before = read_stored(tmp_path / "folder" / "study.yaml")
    moved = written(tmp_path / "there", **named)
    assert differences(before, load_study(moved)) == []
    assert differences(before, load_study(tmp_path / "folder" / "study.yaml")) == []
    (tmp_path / "there" / "narrow.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.5}\n")
    (tmp_path / "there" / "quicker.yaml").write_text("base: quick\nlr0: 0.03\n")
    (tmp_path / "there" / "table.json").write_text("{ }")
    relabel(tmp_path / "there" / "data")
    data = [str(tmp_path / place / "data") for place in ("here", "there")]
    tables = [str(tmp_path / place) for place in ("folder/latency-table.json", "there/table.json")]
    assert differences(before, load_study(moved)) == [
        "base narrow is another detector now",
        "recipe.lr0 was 0.02, is 0.03",
        f"latency.predict was {tables[0]!r}, is {tables[1]!r}: another table",
        f"data was {data[0]!r}, is {data[1]!r}: other images or labels",
    ]


def test_a_study_of_before_the_order_was_noted_is_not_gone_on_with(tmp_path: Path) -> None:
    study = load_study(written(tmp_path))
    (line,) = differences(study, study)
    assert "did not note in which order it applied the scalings" in line
    single = load_study(written(tmp_path, space={"width": {"choices": [0.5, 1]}}))
    assert differences(single, single) == []


def test_a_study_whose_data_was_known_by_sizes_goes_on_with_the_same_data(tmp_path: Path) -> None:
    make_shapes(tmp_path / "data", train=2, val=1, test=0, size_px=64)
    study = sealed(load_study(written(tmp_path, data="data")))
    assert study.contents
    earlier = study.contents.model_copy(update={"format": 2, "data": "of another kind"})
    before = study.model_copy(update={"contents": earlier})
    assert differences(before, study) == []
    assert differences(before.model_copy(update={"data": "data"}), study) == [f"data was 'data', is {study.data!r}"]


def test_another_order_of_the_scalings_is_said(tmp_path: Path) -> None:
    study = sealed(load_study(written(tmp_path)))
    assert study.contents
    before = study.model_copy(update={"contents": study.contents.model_copy(update={"order": ("width", "compound")})})
    (line,) = differences(before, study)
    assert line.startswith("the scalings applied in the order width, compound, now compound, width: the same values")


def test_a_study_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    write_study(load_study(written(tmp_path)), tmp_path / "study.yaml")
    document = yaml.safe_load((tmp_path / "study.yaml").read_text())
    document["contents"]["format"] = 99
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match="written in format 99 by a newer catscale"):
        read_stored(tmp_path / "study.yaml")


def test_the_published_schema_is_that_of_the_code_and_takes_what_the_code_takes(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    assert (root / "studies" / "study.schema.json").read_text() == schema_text()
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in root.glob("studies/*.yaml"):
        text = path.read_text()
        if "space:" in text:
            assert text.startswith("# yaml-language-server: $schema=study.schema.json\n")
            jsonschema.validate(yaml.safe_load(text), schema)
    for changes in ({"trails": 3}, {"space": {"wdith": {"choices": [1]}}}, {"constraints": {"ap": 1}}, {"budget": 3}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**GOOD, **changes}, schema)
    space = {"compound.neck": {"choices": [1]}, "recipe.lr0": {"low": 0.001, "high": 0.1, "log": True}}
    more = {**GOOD, "space": space, "constraints": "params <= 2e6", "seeds": 2, "references": ["yolov7"], "trials": 5}
    jsonschema.validate(more, schema)
    load_study(written(tmp_path, **more))


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
    before = sealed(load_study(written(tmp_path)))
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
