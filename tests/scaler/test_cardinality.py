"""E-ELAN in its forms: one function side by side or grouped, with weights carried over; another one when shuffled."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import catscale
import pytest
import torch
from catscale.blocks.elan import Elan
from catscale.blocks.ops import Conv
from catscale.scaler.architecture import Architecture
from catscale.scaler.cardinality import regroup
from catscale.scaler.reparam import places
from torch import Tensor, fx

from .trained_alike import trained_alike

FORMS = ("parallel", "grouped", "shuffled")
SIZE = 64  # pixels: one cell at the coarsest of four levels


def narrow(groups: int, form: str = "parallel", **scalings: object) -> Architecture:
    """A detector with partial auxiliary heads on every level but the coarsest."""
    return catscale.load("yolov7-w6").scale(width=0.125, extend=groups, form=form, **scalings)


def randomised(architecture: Architecture, seed: int = 0) -> fx.GraphModule:
    """A train model in float64 with batch norms as after training."""
    torch.manual_seed(seed)
    model = catscale.build(architecture).double().eval()
    trained_alike(model)
    return model


@torch.no_grad()
def maps(model: fx.GraphModule) -> list[Tensor]:
    images = torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outputs = model(images)
    return [*outputs["lead"], *outputs["aux"]]


def difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest difference, relative to the spread of the map that it is in."""
    return max(float((a - b).abs().max() / b.std()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("groups", [2, 3, 4])
@pytest.mark.parametrize("rep", ["none", "planned"])
def test_both_forms_are_one_function(groups: int, rep: str) -> None:
    parallel = randomised(narrow(groups, rep=rep))
    grouped = regroup(parallel, "grouped")
    assert difference(maps(grouped), maps(parallel)) <= 1e-10
    again = regroup(grouped, "parallel")
    assert difference(maps(again), maps(parallel)) <= 1e-10
    weights, back = parallel.state_dict(), again.state_dict()
    assert weights.keys() == back.keys()
    assert all(torch.equal(weights[name], back[name]) for name in weights)


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_group_convolutions_start_where_they_were_drawn(groups: int) -> None:
    """From weights that were made in the grouped form."""
    grouped = randomised(narrow(groups, "grouped", rep="planned"))
    some = [place for place in places(grouped.meta["architecture"]) if place.identity and place.op.groups == groups]
    assert some
    assert difference(maps(regroup(grouped, "parallel")), maps(grouped)) <= 1e-10


@pytest.mark.parametrize("groups", [2, 3, 4])
@pytest.mark.parametrize("rep", ["none", "planned"])
def test_every_form_costs_the_same(groups: int, rep: str) -> None:
    costs = [narrow(groups, form, rep=rep).cost() for form in FORMS]
    figures = {(c.params, c.params_train, c.macs, c.flops("paper"), c.flops("unfused-bn")) for c in costs}
    assert len(figures) == 1


def test_a_shuffle_between_groups_is_another_function() -> None:
    grouped = randomised(narrow(2, "grouped"))
    shuffled = randomised(narrow(2, "shuffled"))
    shuffled.load_state_dict(grouped.state_dict())
    assert difference(maps(shuffled), maps(grouped)) > 0.01


def test_regrouping_leaves_the_model_and_keeps_its_mode() -> None:
    model = randomised(narrow(2)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert regroup(model, "grouped").training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_partial_auxiliary_heads_have_one_name_in_every_form() -> None:
    read = {
        form: [
            node.inputs for node in catscale.load("yolov7-e6").scale(extend=2, form=form).nodes if "aux" in node.name
        ]
        for form in FORMS
    }
    assert read["parallel"] == [(f"neck.p{level}.elan1.group2.out",) for level in (3, 4, 5)] + [("neck.p6.spp",)]
    assert read["grouped"] == read["shuffled"] == read["parallel"]


def test_the_grouped_form_is_as_drawn() -> None:
    """Fig. 2 (d): stems expand, 3x3 convs and the last conv have groups, and nothing else changes."""
    base = {layer.name: layer.op for layer in catscale.load("yolov7-w6").scale(width=0.5).graph().layers}
    for layer in catscale.load("yolov7-w6").scale(width=0.5, extend=3, form="grouped").graph().layers:
        op, before = layer.op, base.get(layer.name)
        if not isinstance(op, Conv) or not isinstance(before, Conv):
            continue
        in_elan = re.search(r"elan\d?\.", layer.name)
        assert op.out == (3 if in_elan else 1) * before.out
        assert op.groups == (3 if re.search(r"elan\d?\.(tap|out)", layer.name) else 1)


def test_extend_by_one_gives_back_the_elans() -> None:
    base = catscale.load("yolov7-x")
    assert base.scale(extend=2).scale(extend=2, form="grouped").nodes == base.scale(extend=2, form="grouped").nodes
    assert base.scale(extend=2, form="grouped").scale(extend=1, form="grouped").nodes == base.nodes


@pytest.mark.parametrize(
    ("model", "form", "message"),
    [
        (lambda: catscale.build(narrow(2, "shuffled")), "grouped", r"backbone\.p2\.elan: a shuffled E-ELAN mixes"),
        (lambda: catscale.build(narrow(2)), "shuffled", r"backbone\.p2\.elan: a shuffled E-ELAN mixes channels"),
        (
            lambda: catscale.build(narrow(1)),
            "grouped",
            r"it has no E-ELAN to regroup; make one with the scaling extend",
        ),
        (lambda: catscale.build(narrow(2), "deploy"), "grouped", r"a deploy model is not regrouped"),
        (lambda: catscale.build(narrow(2)), "gruped", r"form: none is called 'gruped'; did you mean 'grouped'\?"),
        (
            lambda: catscale.build(narrow(2, rep="planned@neck.p3.elan1.group2")),
            "grouped",
            r"rep: no 3x3 conv is at 'neck\.p3\.elan1\.group2'",
        ),
    ],
)
def test_what_cannot_be_regrouped_is_refused(model: Callable[[], fx.GraphModule], form: str, message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        regroup(model(), form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scalings", "message"),
    [
        ({"extend": 2, "form": "group"}, r"form: none is called 'group'; did you mean 'grouped'\?"),
        ({"form": "grouped"}, r"form is a setting of extend; add one"),
    ],
)
def test_a_mistake_is_named(scalings: dict[str, object], message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        catscale.load("yolov7").scale(**scalings)


def test_the_command_line_and_a_recipe_know_the_form(
    cli: Callable[..., "CompletedProcess[str]"], tmp_path: Path
) -> None:
    done = cli("scale", "yolov7-tiny", "--extend", "2", "--form", "grouped", "-o", "made.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "recipe.yaml").write_text("base: yolov7-tiny\nscale: {extend: 2, form: grouped}\n", encoding="utf-8")
    made, recipe = (catscale.load(tmp_path / name) for name in ("made.yaml", "recipe.yaml"))
    assert made.graph() == recipe.graph()
    assert {node.block.form for node in made.nodes if isinstance(node.block, Elan)} == {"grouped"}
