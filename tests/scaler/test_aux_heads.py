"""Auxiliary heads on any detector: where they read, how wide they are, and that deployment knows nothing of them."""

from pathlib import Path

import catscale
import pytest
import torch
from catscale.blocks.convs import ConvNode
from catscale.scaler.architecture import Architecture
from catscale.scaler.build import build
from catscale.scaler.reparam import RepPlace
from catscale.scaler.rewiring import by_rule
from hypothesis import given, settings
from hypothesis import strategies as st

from .written_out import by_layer

WITHOUT = ["yolov7-tiny", "yolov7", "yolov7-x", "yolov4-csp", "yolor-csp", "yolor-p6", "yolor-w6", "yolor-d6"]
RELEASED = ["yolov7-w6", "yolov7-e6", "yolov7-d6", "yolov7-e6e"]


def read(architecture: Architecture) -> list[str]:
    """What the auxiliary heads' convs read, finest first."""
    inputs = {node.name: node.inputs for node in architecture.nodes}
    return [name for head in architecture.aux for name in inputs[head]]


def widths(architecture: Architecture, names: tuple[str, ...]) -> list[int]:
    blocks = {node.name: node.block for node in architecture.nodes}
    return [blocks[name].out for name in names]  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", WITHOUT)
def test_every_level_reads_its_top_down_block_and_the_coarsest_the_pooling(model: str) -> None:
    """As the released four-level models do (facts of the released models, 1.4); the convs are as wide as the lead's."""
    base = catscale.load(model)
    scaled = base.scale(aux="auto")
    *levels, top = range(3, 3 + len(base.heads))
    block = "csp1" if "csp" in base.nodes[4].name + base.nodes[5].name else "elan1"
    assert read(scaled) == [*(f"neck.p{level}.{block}" for level in levels), f"neck.p{top}.spp"]
    assert widths(scaled, scaled.aux) == widths(base, base.heads)
    assert {type(node.block) for node in scaled.nodes if node.name in scaled.aux} == {ConvNode}  # where yolov7 has Rep


@pytest.mark.parametrize("model", WITHOUT)
def test_deployment_cuts_them(model: str) -> None:
    base = catscale.load(model)
    scaled = base.scale(aux="auto")
    assert scaled.fingerprint != base.fingerprint
    assert scaled.graph("deploy") == base.graph("deploy")
    assert scaled.scale(aux="none").replace(name=model) == base


def test_what_they_add_while_training_is_a_conv_and_a_prediction_a_level() -> None:
    """3x3 weights and a batch norm, 255 predictions with a bias: T3 128 to 256, T4 256 to 512, S 512 to 1024."""
    base = catscale.load("yolov7")
    added = [9 * read * out + 2 * out + (out + 1) * 255 for read, out in ((128, 256), (256, 512), (512, 1024))]
    assert base.scale(aux="auto").cost().params_train - base.cost().params_train == sum(added)


@pytest.mark.parametrize("model", RELEASED)
def test_taken_away_and_put_back_they_are_as_released(model: str) -> None:
    base = catscale.load(model)
    bare = base.scale(aux="none")
    assert not bare.has_aux
    assert not [node for node in bare.nodes if node.name.startswith("aux")]
    assert bare.graph("deploy") == base.graph("deploy")
    assert bare.scale(aux="auto").replace(name=model) == by_rule(base)
    assert base.scale(aux="auto") is base


def test_w6_gets_the_widths_of_the_rule_in_place_of_the_released_exception() -> None:
    base = catscale.load("yolov7-w6")
    scaled = base.scale(aux="none").scale(aux="auto")
    assert read(scaled) == read(base)
    assert widths(scaled, scaled.aux) == [256, 512, 768, 1024]
    assert all(node.released is None for node in scaled.nodes)


def test_partial_reads_before_the_cardinality_is_merged_and_full_after() -> None:
    """Table 8 of the paper, rows 'partial aux' and 'aux'."""
    base = catscale.load("yolov7-e6e")
    full = base.scale(aux="full")
    blocks = [f"neck.p{level}.elan1" for level in (3, 4, 5)]
    assert base.scale(aux="partial") is base
    assert read(full) == [*blocks, "neck.p6.spp"]
    assert [node for node in full.nodes if node.name not in full.aux] == [
        node for node in base.nodes if node.name not in base.aux
    ]
    assert full.scale(aux="partial").replace(name=base.name) == base
    assert full.cost().params_train == base.cost().params_train  # a group is as wide as the sum


@settings(max_examples=15, deadline=None)
@given(model=st.sampled_from(["yolov7-tiny", "yolov7", "yolov7-e6"]), first=st.integers(1, 3), second=st.integers(1, 3))
def test_extending_and_auxiliary_heads_commute(model: str, first: int, second: int) -> None:
    base = catscale.load(model).scale(aux="none")
    before, after = base.scale(aux="auto", extend=first), base.scale(extend=first, aux="auto")
    assert by_rule(before).nodes == after.nodes
    assert by_rule(after.scale(extend=second)).nodes == base.scale(extend=second, aux="auto").nodes


@settings(max_examples=10, deadline=None)
@given(first=st.integers(2, 4), second=st.integers(2, 4))
def test_an_auxiliary_head_on_the_sum_stays_there_whatever_the_groups(first: int, second: int) -> None:
    base = catscale.load("yolov7-tiny")
    full = base.scale(extend=first, aux="full")
    assert read(full.scale(extend=second)) == read(full) == read(base.scale(aux="auto"))


@settings(max_examples=15, deadline=None)
@given(
    model=st.sampled_from(["yolov7-tiny", "yolov7-x-light", "yolov7-w6", "yolor-p6"]),
    scaling=st.sampled_from(
        [{"width": 0.5}, {"width": 1.25}, {"compound": 1.5}, {"compound": 2, "transition": "downc"}]
    ),
)
def test_other_scalings_carry_them_along(model: str, scaling: dict[str, object]) -> None:
    base = catscale.load(model).scale(aux="none")
    assert base.scale(aux="auto", **scaling).nodes == base.scale(**scaling, aux="auto").nodes


@pytest.mark.parametrize("model", ["yolov7", "yolov7-w6", "yolov4-csp"])
def test_they_are_found_without_names_and_without_blocks(model: str) -> None:
    """Each layer a node called `nK`: the graph that results is that of the detector made of blocks."""
    base = catscale.load(model).scale(aux="none")
    assert by_layer(base).fingerprint == base.fingerprint
    assert by_layer(base).scale(aux="auto").fingerprint == base.scale(aux="auto").fingerprint


def test_a_head_without_a_conv_of_its_own_gives_its_feature_s_width() -> None:
    base = catscale.load("yolov7-tiny")
    nodes = tuple(node for node in base.nodes if not node.name.startswith("head"))
    direct = base.replace(nodes=nodes, heads=("neck.p3.elan1", "neck.p4.elan2", "neck.p5.elan2"))
    scaled = direct.scale(aux="auto")
    assert read(scaled) == ["neck.p3.elan1", "neck.p4.elan1", "neck.p5.spp"]
    assert widths(scaled, scaled.aux) == [64, 128, 256]


def test_a_list_names_what_they_read() -> None:
    """Nodes, or layers inside of them."""
    names = ["neck.p3.elan1.tap4.conv1", "neck.p4.elan2", "backbone.p5.elan"]
    scaled = catscale.load("yolov7").scale(aux=names)
    assert read(scaled) == names
    assert scaled.name == "yolov7-aux-neck.p3.elan1.tap4.conv1-neck.p4.elan2-backbone.p5.elan"


def test_a_plan_for_their_convs_goes_with_them() -> None:
    base = catscale.load("yolov7-tiny")
    plan = (RepPlace("head.*", "repconvn"),)
    planned = base.replace(rep=plan).scale(aux="auto")
    planned = planned.replace(rep=(*plan, RepPlace("aux.p4", "repconvn")))
    assert planned.scale(aux="none").replace(name=base.name) == base.replace(rep=plan)


@pytest.mark.parametrize("model", ["yolov7-tiny", "yolov4-csp", "yolov7-e6e"])
@pytest.mark.parametrize("reading", ["partial", "full"])
def test_the_train_model_has_a_map_of_each_level_and_head(model: str, reading: str) -> None:
    architecture = catscale.load(model).scale(width=0.0625, aux=reading).replace(classes=2)
    size = 2 * architecture.strides[-1]
    outputs = build(architecture)(torch.rand(2, 3, size, size))
    shapes = [(2, 3, size // stride, size // stride, 7) for stride in architecture.strides]
    assert [tuple(y.shape) for y in outputs["lead"]] == [tuple(y.shape) for y in outputs["aux"]] == shapes


NO_WAY_BACK = """
size: 64
anchors: [[10, 13], [30, 61]]
nodes:
  stem: {conv: {out: 8, kernel: 3, stride: 2}}
  fine: {strided_conv: {out: 8}}
  coarse: {strided_conv: {out: 8}}
heads: [fine, coarse]
"""


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ("atuo", r"yolov7: aux: 'atuo' is no way to read; did you mean 'auto'\?"),
        (["neck.p3.elan1", "neck.p4.elan1"], r"aux: 2 nodes for 3 levels; name one a level, finest first"),
        (
            ["neck.p4.elan1", "neck.p3.elan1", "neck.p5.spp"],
            r"aux: neck\.p4\.elan1 has stride 16, the head of its level 8; name them finest first",
        ),
        (["neck.p3.elan1", "neck.p4.elan", "neck.p5.spp"], r"reads 'neck\.p4\.elan', .*did you mean 'neck\.p4\.elan"),
        (3, r"aux: 3 is not a value that it takes"),
    ],
)
def test_what_cannot_be_read_is_refused(reading: object, message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        catscale.load("yolov7").scale(aux=reading)


def test_a_detector_without_a_top_down_path_wants_names(tmp_path: Path) -> None:
    (tmp_path / "flat.yaml").write_text(NO_WAY_BACK, encoding="utf-8")
    flat = catscale.load(tmp_path / "flat.yaml")
    with pytest.raises(catscale.InputError, match=r"flat: aux: no one node has the top-down feature of stride 4; name"):
        flat.scale(aux="auto")
    assert read(flat.scale(aux=["fine", "coarse"])) == ["fine", "coarse"]
