"""Heads and assigners in a space: what goes with what is known before a trial, and the rest is named."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from catscale.blocks.errors import InputError
from catscale.search.candidates import Bases
from catscale.search.feasible import Feasible
from catscale.search.stored_study import recipe_of
from catscale.search.study import Study
from catscale.trainer.pairings import ASSIGNERS

HEADS = {"choices": ["anchor", "decoupled"]}
MEANINGFUL = {("anchor", "simple"), ("anchor", "ota"), ("decoupled", "simota"), ("decoupled", "task-aligned")}


def study_of(**changes: Any) -> Study:
    document = {"name": "s", "base": "yolov7-tiny", "space": {"head": HEADS}, "objectives": ["ap", "gflops"]}
    return Study.model_validate({**document, "trials": 9, "size_px": 64, "references": False, **changes})


def checked(**changes: Any) -> Feasible:
    study = study_of(**changes)
    feasible = Feasible(study, Bases(study))
    feasible.check()
    return feasible


def test_what_goes_together_is_a_candidate_and_the_rest_is_counted_by_its_reason() -> None:
    """Of two heads, four assigners and two rates, each meaningful pair stays with both rates."""
    space = {"head": HEADS, "recipe.assigner": {"choices": ASSIGNERS}, "recipe.lr0": {"choices": [0.01, 0.02]}}
    feasible = checked(space=space)
    left = list(feasible.left(()))
    assert len(left) == feasible.fitting == 2 * len(MEANINGFUL)
    assert {(values["head"], values["recipe.assigner"]) for values in left} == MEANINGFUL
    assert feasible.left_out == {
        f"head {head} goes with assigner {good}, not with {bad}": 2
        for head, good, others in (
            ("anchor", "ota or simple", ("simota", "task-aligned")),
            ("decoupled", "simota or task-aligned", ("simple", "ota")),
        )
        for bad in others
    }
    assert [feasible.reason(values) for values in left] == [""] * len(left)


def test_a_candidate_has_the_head_and_the_assigner_of_its_values() -> None:
    feasible = checked(space={"head": HEADS, "recipe.assigner": {"choices": ASSIGNERS}})
    for values in feasible.left(()):
        candidate = feasible.bases.candidate(values)
        assert candidate.architecture.head.anchored == (values["head"] == "anchor")
        assert candidate.trained_by(recipe_of(feasible.study)).assigner == values["recipe.assigner"]


def test_a_head_comes_before_widths_are_scaled() -> None:
    space = {"width": {"choices": [0.5]}, "head": {"choices": ["decoupled"]}, "aux": {"choices": ["none"]}}
    study = study_of(space=space, overrides={"assigner": "simota"})
    assert list(study.space.parameters) == ["aux", "head", "width"]
    candidate = Bases(study).candidate({"width": 0.5, "head": "decoupled", "aux": "none"})
    whole = Bases(study).candidate({"width": 1, "head": "decoupled", "aux": "none"})
    assert candidate.architecture.head.width == whole.architecture.head.width // 2  # type: ignore[attr-defined]


def test_a_sampler_proposes_nothing_meaningless_in_a_continuum() -> None:
    space = {"head": HEADS, "width": {"low": 0.1, "high": 0.5}, "recipe.assigner": {"choices": ASSIGNERS}}
    found = checked(space=space).several((), np.random.default_rng(0), 40)
    assert {(values["head"], values["recipe.assigner"]) for values in found} == MEANINGFUL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"head": {"choices": ["anchors"]}}}, "'anchors' is not one of anchor, decoupled, et"),
        (
            {"space": {"head": {"choices": ["decoupled"]}, "recipe.assigner": {"choices": ["ota"]}}},
            "nothing of it can be trained: head decoupled goes with assigner simota or task-aligned, not with ota",
        ),
        ({"space": {"head": {"choices": ["decoupled"]}}}, "nothing of it can be trained: .*, not with simple"),
        (
            {"space": {"head": {"choices": ["anchor"]}}, "base": "yolox-s"},
            "none of its 1 candidates can be built; head: an anchor head needs anchors",
        ),
        (
            {"base": ["yolov7-tiny", "yolox-s"], "references": True, "space": {"width": {"choices": [0.5]}}},
            r"base: yolox-s: assigner: simple chooses among anchors.* overrides_by_head: \{decoupled: \{assigner: simo",
        ),
        ({"overrides_by_head": {"et": {"asigner": "simota"}}}, "no field 'asigner'; did you mean 'assigner'"),
        ({"overrides_by_head": {"et": {"assigner": "tal"}}}, "et: 'tal' is not a value of a recipe's assigner"),
        ({"overrides_by_head": {"et": {"epochs": 3}}}, "epochs is no parameter; say epochs or fidelity instead"),
        ({"overrides_by_head": {"te": {}}}, "no head is called 'te'; known: anchor, decoupled, et"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, ValueError), match=message):
        checked(**changes)


def test_heads_may_have_recipes_of_their_own_and_the_space_has_the_last_word() -> None:
    own = {"decoupled": {"assigner": "simota", "box": 0.5, "augment": {"hsv_h": 0.3}}}
    document = {"base": ["yolov7-tiny", "yolox-s"], "references": True, "overrides_by_head": own}
    bases = checked(**document, space={"recipe.box": {"choices": [0.1]}}).bases
    recipe = recipe_of(bases.study)
    reference = bases.reference("yolox-s").trained_by(recipe)
    assert (reference.assigner, reference.box, reference.augment.hsv_h) == ("simota", 0.5, 0.3)
    assert reference.augment.hsv_v == recipe.augment.hsv_v
    assert bases.reference("yolov7-tiny").trained_by(recipe) == recipe
    searched = bases.candidate({"base": "yolox-s", "recipe.box": 0.1}).trained_by(recipe)
    assert (searched.assigner, searched.box) == ("simota", 0.1)


def test_a_dry_run_says_how_many_are_left_out_and_why(tiny: Callable[..., Path], cli: Any) -> None:
    space = {"head": HEADS, "recipe.assigner": {"choices": ["simple", "simota"]}}
    path = tiny("heads", space=space)
    done = cli("search", "run", path, "--dry-run", cwd=path.parent)
    assert done.returncode == 0, done.stderr
    assert "fits: 2 of 4 (50.0%)" in done.stdout
    assert "left out, 1: head decoupled goes with assigner simota or task-aligned, not with simple" in done.stdout
    bad = cli("search", "run", tiny("bad", space={"head": {"choices": ["decoupled"]}}), cwd=path.parent)
    assert (bad.returncode, bad.stderr.count("nothing of it can be trained"), "Traceback" in bad.stderr) == (
        2,
        1,
        False,
    )


@pytest.mark.slow
def test_every_meaningful_pair_is_trained_on_photographs(cli: Any, real_data: Path, tmp_path: Path) -> None:
    document = {
        "name": "heads", "base": "base.yaml", "objectives": ["ap", "gflops"], "trials": 6, "sampler": {"kind": "grid"},
        "space": {"head": {"choices": ["anchor", "decoupled", "et"]}, "recipe.assigner": {"choices": [*ASSIGNERS]}},
        "epochs": 1, "references": False, "latency": {"runs": 1}, "data": str(real_data / "bccd"),
    }  # fmt: skip
    (tmp_path / "base.yaml").write_text("base: yolov7-tiny\nscale: {width: 0.125, resolution: 96}\n")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(document))
    done = cli("search", "run", "study.yaml", "--folder", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "run" / "trials.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["complete"] * 6
    tried = {(row["head"], row["recipe.assigner"]) for row in rows}
    assert tried == MEANINGFUL | {("et", "task-aligned"), ("et", "simota")}
