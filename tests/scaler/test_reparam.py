"""Planned re-parameterisation: the rule of the paper, plans by name, and what they leave as it was."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import catscale
import pytest
import torch
from catscale.blocks.elan import Elan
from catscale.blocks.ops import RepConv
from catscale.scaler.architecture import Architecture
from catscale.scaler.reparam import Place, places
from catscale.search.space import Space
from hypothesis import given, settings
from hypothesis import strategies as st

from .trained_alike import trained_alike

BASES = {
    "elan": catscale.load("yolov7").scale(width=0.125),
    "tiny": catscale.load("yolov7-tiny").scale(width=0.25),
    "grouped": catscale.load("yolov7-x-light").scale(width=0.125, extend=2, form="grouped"),
    "parallel": catscale.load("yolov7-w6").scale(width=0.125, extend=2),
    "csp": catscale.load("yolor-csp").scale(width=0.125, depth=0.5),
    "reversed": catscale.load("yolor-csp").scale(width=0.125, depth=0.5, dark="reversed"),
}
HEAD = "size: 64\nanchors: [[10, 13]]\nheads: [end]\nnodes:\n  stem: {conv: {out: 16, kernel: 3, stride: 2}}\n"
plans = st.sampled_from(["none", "planned", "repconvn", "planned@backbone", "repconvn@neck", "planned@*.conv2,head"])
bases = st.sampled_from(sorted(BASES)).map(BASES.__getitem__)


def at(architecture: Architecture, beginning: str) -> list[Place]:
    return [place for place in places(architecture) if place.name.startswith(beginning)]


def broken(architecture: Architecture) -> list[Place]:
    return [place for place in places(architecture) if place.identity and place.obstacle]


def written(folder: Path, nodes: str, name: str = "small") -> Architecture:
    path = folder / f"{name}.yaml"
    path.write_text(HEAD + nodes, encoding="utf-8")
    return catscale.load(path)


# The rule, against what the paper says of its own models


def test_rep_csp_res_net_fits_the_pattern(tmp_path: Path) -> None:
    """Section 5.4.2: so does PP-YOLOE's block, x + Rep(3x3 x), whose Rep before the sum has no identity."""
    nodes = """
  first: {conv: {out: 16, kernel: 3}}
  second: {conv: {out: 16, kernel: 3}}
  end: {sum: {}, from: [stem, second]}
"""
    planned = written(tmp_path, nodes).scale(rep="planned@first,second")
    assert [(place.name, place.word) for place in places(planned)[1:]] == [("first", "repconv"), ("second", "repconvn")]


@pytest.mark.parametrize("block", ["dense: {growth: 16, layers: 3, out: 16}", "osa: {width: 16, layers: 3, out: 16}"])
def test_in_dense_net_and_vovnet_no_place_allows_an_identity(block: str, tmp_path: Path) -> None:
    """Section 4.1: it "destroys [...] the concatenation in DenseNet"."""
    found = at(written(tmp_path, f"  end: {{{block}}}\n"), "end")
    assert [place.allows for place in found] == ["repconvn"] * 3


def test_layers_without_weights_are_looked_past(tmp_path: Path) -> None:
    nodes = """
  before: {conv: {out: 16, kernel: 3}}
  pool: {max_pool: {kernel: 2, stride: 2}}
  up: {upsample: {}}
  joined: {join: {}, from: [up, stem]}
  pooled: {max_pool: {kernel: 5}}
  after: {conv: {out: 32, kernel: 3}}
  end: {conv: {out: 32, kernel: 3}}
"""
    assert {place.name: place.obstacle for place in places(written(tmp_path, nodes))} == {
        "stem": "its output is concatenated at joined",
        "before": "its output is concatenated at joined",
        "after": "it reads the concatenation joined",
        "end": "",
    }


def test_an_identity_needs_as_many_channels_and_stride_one() -> None:
    fits = {place.name: place.fits for place in places(catscale.load("yolov7"))}
    assert not fits["stem.conv1"]  # 3 to 32
    assert fits["stem.conv3"]  # 64 to 64
    assert not fits["backbone.p3.down.conv2"]  # 128 to 128 at stride 2
    assert not any(fits[f"head.p{level}"] for level in (3, 4, 5))  # yolov7-facts 1.3: no identity in a released model


# Counts


@settings(max_examples=40, deadline=None)
@given(base=bases, plan=plans, force=st.booleans())
def test_any_plan_deploys_to_the_graph_of_its_base_and_obeys_the_rule(
    base: Architecture, plan: str, force: bool
) -> None:
    planned = base.scale(rep=plan, force=force)
    assert planned.graph("deploy") == base.graph("deploy")
    assert broken(planned) == []
    assert planned.cost().params_train >= base.cost().params_train
    assert planned.scale(rep="none").graph() == base.graph()


@pytest.mark.parametrize("name", sorted(BASES))
def test_planned_puts_an_identity_wherever_rule_and_shapes_allow(name: str) -> None:
    found = places(BASES[name].scale(rep="planned"))
    assert {place.word for place in found} <= {"repconv", "repconvn"}
    assert [
        place.identity for place in found if isinstance(place.op, RepConv) and place.name.split(".")[0] != "head"
    ] == [place.fits and not place.obstacle for place in found if place.name.split(".")[0] != "head"]
    assert not any(place.identity for place in places(BASES[name].scale(rep="repconvn")))


def test_plans_that_come_to_the_same_are_the_same_detector() -> None:
    """In yolov7-tiny no conv may have an identity: a search need not train both."""
    planned, without = (BASES["tiny"].scale(rep=plan) for plan in ("planned", "repconvn"))
    assert planned.fingerprint == without.fingerprint != BASES["tiny"].fingerprint


# What breaks the rule, and what a scaling leaves of a plan


@pytest.mark.parametrize("name", ["elan", "grouped", "parallel", "csp"])
def test_force_alone_breaks_the_rule(name: str) -> None:
    base = BASES[name]
    forced = base.scale(rep="repconv", force=True)
    assert broken(forced)
    with pytest.raises(catscale.InputError) as error:
        base.scale(rep="repconv")
    first, *more = broken(forced)
    assert f"no RepConv with identity may stand at {first.name}: {first.obstacle}" in str(error.value)
    assert f"and {len(more)} more such places; use planned or repconvn there, or force it" in str(error.value)
    assert all(place.identity for place in places(forced) if place.fits)


def test_a_scaling_that_makes_a_plan_break_the_rule_is_refused() -> None:
    with pytest.raises(catscale.InputError, match=r"block1\.conv2: its output meets the sum .*, and 22 more"):
        catscale.load("yolor-w6-reprcsp").scale(dark="plain")


def test_a_file_cannot_break_the_rule_unforced(tmp_path: Path) -> None:
    forced = catscale.load("yolor-w6-repcsp").scale(width=0.125)
    (tmp_path / "forced.yaml").write_text(forced.to_yaml(), encoding="utf-8")
    assert catscale.load(tmp_path / "forced.yaml") == forced
    (tmp_path / "plain.yaml").write_text(forced.to_yaml().replace("{forced:", "{repconv:"), encoding="utf-8")
    with pytest.raises(catscale.InputError, match=r"plain\.yaml: rep: no RepConv with identity may stand at backbone"):
        catscale.load(tmp_path / "plain.yaml")


@pytest.mark.parametrize(
    "scaling", [{"depth": 2}, {"width": 0.5}, {"compound": 1.5}, {"extend": 3}, {"extend": 2, "form": "grouped"}]
)
@pytest.mark.parametrize("plan", ["planned", ["planned@backbone", "repconvn@*.p2.elan.tap1.conv1"]])
def test_a_plan_survives_scaling(scaling: dict[str, object], plan: str | list[str]) -> None:
    base = catscale.load("yolov7-x-light")
    after = base.scale(rep=plan).scale(**scaling)
    assert after.graph() == base.scale(**scaling).scale(rep=plan).graph()
    assert broken(after) == []
    assert any(place.identity for place in places(after))


def test_a_position_means_every_group_of_an_e_elan() -> None:
    position = "backbone.p2.elan.tap1.conv1"
    extended = catscale.load("yolov7-x-light").scale(rep=f"planned@{position}").scale(extend=3)
    assert [place.name for place in places(extended) if place.identity] == [
        position,
        *(f"backbone.p2.elan.group{group}.tap1.conv1" for group in (2, 3)),
    ]


def test_later_plans_hold_and_none_takes_away() -> None:
    planned = BASES["elan"].scale(rep=["planned", "none@stem,head", "repconvn@backbone.p2"])
    words = {place.name: place.word for place in places(planned)}
    assert {words[name] for name in words if name.startswith("stem")} == {"conv"}
    assert words["head.p3"] == "repconvn"  # written as RepConv in the model itself: no plan takes it away
    assert {words[name] for name in words if name.startswith("backbone.p2")} == {"repconvn"}
    assert words["backbone.p3.elan.tap1.conv1"] == "repconv"
    assert planned.scale(rep="none").rep == ()


@pytest.mark.parametrize(
    ("scalings", "message"),
    [
        ({"rep": "planed"}, r"rep: no plan is called 'planed'; did you mean 'planned'\?"),
        ({"rep": "planned@"}, r"rep: 'planned@' names no position"),
        ({"rep": "planned@bakbone"}, r"rep: no 3x3 conv is at 'bakbone'; did you mean 'backbone'\?"),
        ({"rep": [3]}, r"rep: 3 is no plan; write one as planned, or as planned@backbone"),
        ({"rep": 3}, r"rep: 3 is not a value that it takes"),
        ({"rep": "planned", "force": "yes"}, r"force: 'yes' is neither true nor false"),
        ({"force": True}, r"force is a setting of rep; add one"),
        ({"dark": "reverse"}, r"dark: no order is called 'reverse'; did you mean 'reversed'\?"),
        ({"dark": "reversed"}, r"dark: it has no dark block there to turn"),
        ({"dark": {"bakbone": "reversed"}}, r"dark: no node's name begins with 'bakbone'"),
    ],
)
def test_a_mistake_is_named(scalings: dict[str, object], message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        BASES["elan"].scale(**scalings)


# What is computed


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("elan", "planned"),
        ("grouped", "planned"),
        ("grouped", "repconv"),
        ("parallel", "planned"),
        ("csp", "repconv"),
        ("reversed", "planned"),
    ],
)
def test_a_plan_deploys_to_the_same_function(name: str, plan: str) -> None:
    torch.manual_seed(0)
    architecture = BASES[name].scale(rep=plan, force=True)
    assert any(place.identity for place in places(architecture))
    if name == "grouped":  # yolov7-facts section 8, 5: the official code folds these wrongly
        assert any(place.identity and place.op.groups == 2 for place in places(architecture))
    train = catscale.build(architecture)
    trained_alike(train)
    images = torch.rand(2, 3, 128, 128, dtype=torch.float64)
    with torch.no_grad():
        maps = train.double().eval()(images)["lead"]
        deployed = catscale.deploy(train).double()
        folded: list[torch.Tensor] = []
        for name in architecture.graph().lead:
            deployed.get_submodule(name).register_forward_hook(lambda *call: folded.append(call[-1]))
        deployed(images)
    for ours, theirs in zip(folded, maps, strict=True):
        assert float((ours - theirs).abs().max() / theirs.std()) <= 1e-4  # folded weights are float32


# For a user


def test_a_search_space_chooses_among_plans() -> None:
    choices = ["none", "planned", "repconvn@backbone"]
    space = Space.model_validate(
        {"rep": {"choices": choices}, "dark": {"choices": ["plain", "reversed"]}, "width": {"choices": [1]}}
    )
    assert list(space.parameters) == ["dark", "rep", "width"]
    assert space.size == 6
    with pytest.raises(ValueError, match=r"rep: 'planed' is not one of none, planned, .*as in planned@backbone"):
        Space.model_validate({"rep": {"choices": ["planed"]}})


def test_the_command_line_plans_lists_and_refuses(cli: Callable[..., "CompletedProcess[str]"], tmp_path: Path) -> None:
    plan = ["--dark", "backbone=reversed", "--rep", "repconv@backbone.*.csp"]
    assert cli("scale", "yolor-w6", *plan, "-o", "made.yaml", cwd=tmp_path).returncode == 0
    made, known = catscale.load(tmp_path / "made.yaml"), catscale.load("yolor-w6-reprcsp")
    assert made.graph() == known.graph()
    refused = cli("scale", "yolor-w6", *plan[2:], cwd=tmp_path)
    assert refused.returncode == 2
    assert "backbone.p2.csp.block1.conv2: its output meets the sum" in refused.stderr
    listed = json.loads(cli("reparam", "made.yaml", "--json", cwd=tmp_path).stdout)["places"]
    assert {place["name"] for place in listed if place["op"] == "repconv"} == {
        place.name for place in places(known) if place.identity
    }


def test_the_elans_of_the_bases_are_grouped() -> None:
    blocks = [node.block for node in BASES["grouped"].nodes if isinstance(node.block, Elan)]
    assert {(block.form, block.groups) for block in blocks} == {("grouped", 2)}
