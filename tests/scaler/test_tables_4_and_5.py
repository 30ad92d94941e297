"""The models of Tables 4 and 5 of arXiv:2207.02696: where RepConvs stand in them, by the rule, and their counts."""

import catscale
import pytest
from catscale.scaler.architecture import Architecture
from catscale.scaler.cost import CONVENTIONS
from catscale.scaler.reparam import Place, places


def at(architecture: Architecture, beginning: str) -> list[Place]:
    return [place for place in places(architecture) if place.name.startswith(beginning)]


def broken(architecture: Architecture) -> list[Place]:
    return [place for place in places(architecture) if place.identity and place.obstacle]


def test_the_dark_block_has_no_place_for_an_identity_and_the_reversed_one_has() -> None:
    """Section 5.4.2: "the original dark block does not have a 3x3 convolution block that conforms to our design"."""
    plain, turned = (at(catscale.load(name), "backbone") for name in ("yolor-w6", "yolor-w6-rcsp"))
    blocks = [[place for place in found if ".block" in place.name] for found in (plain, turned)]
    assert [len(found) for found in blocks] == [3 + 7 + 7 + 3 + 3] * 2
    assert {place.allows for place in blocks[0]} == {"repconvn"}
    assert blocks[0][0].obstacle == "its output meets the sum backbone.p2.csp.block1.sum"
    assert {place.allows for place in blocks[1]} == {"repconv"}


def test_table_5_rep_csp_breaks_the_rule_and_rep_rcsp_obeys() -> None:
    repcsp, reprcsp = catscale.load("yolor-w6-repcsp"), catscale.load("yolor-w6-reprcsp")
    assert len(broken(repcsp)) == 23
    assert broken(reprcsp) == broken(catscale.load("yolor-csp-reprcsp")) == []
    assert sum(place.identity for place in places(reprcsp)) == 23


def test_in_a_stacked_elan_the_tapped_convs_alone_are_concatenated() -> None:
    """Table 4: each stage of a 3-stacked ELAN has one conv before the tapped one."""
    found = at(catscale.load("yolov7-x-light-3-stacked"), "backbone.p3.elan")
    assert [(place.name.removeprefix("backbone.p3.elan."), place.allows) for place in found] == [
        (f"tap{tap}.conv{conv}", allows) for tap in (1, 2, 3) for conv, allows in ((1, "repconv"), (2, "repconvn"))
    ]
    assert found[1].obstacle == "its output is concatenated at backbone.p3.elan.concat"


def test_the_base_of_table_4_counts_as_reconstructed() -> None:
    cost = catscale.load("yolov7-x-light-3-stacked").cost(640)  # yolov7-facts 1.9: 58.2 M, 156.4 G
    assert (round(cost.params / 1e6, 1), round(cost.flops("paper") / 1e9, 1)) == (58.2, 156.4)


@pytest.mark.parametrize("model", ["yolor-w6", "yolor-csp", "yolov4-csp"])
@pytest.mark.parametrize("order", ["reversed", {"backbone": "reversed"}])
def test_reversed_dark_blocks_have_as_many_params_and_operations(model: str, order: object) -> None:
    """Section 5.4.2: "exactly the same amount of parameters and operations"."""
    base = catscale.load(model)
    turned = base.scale(dark=order)
    ours, theirs = turned.cost(), base.cost()
    assert turned.graph() != base.graph()
    assert (ours.params, ours.params_train, ours.macs, ours.activations) == (
        (theirs.params, theirs.params_train, theirs.macs, theirs.activations)
    )
    assert [ours.flops(name) for name in CONVENTIONS] == [theirs.flops(name) for name in CONVENTIONS]
    assert turned.scale(dark="plain").nodes == base.nodes


@pytest.mark.parametrize("model", ["yolor-w6-repcsp", "yolor-w6-reprcsp"])
def test_a_rep_conv_costs_a_1x1_conv_and_two_batch_norms_while_training(model: str) -> None:
    """yolov7-facts 1.8: a RepConv from c to c adds c^2 + 2c, and 2c more with identity."""
    base, rep = catscale.load("yolor-w6").cost(), catscale.load(model).cost()
    chains = zip((64, 128, 256, 384, 512), (3, 7, 7, 3, 3), strict=True)
    assert rep.params_train - base.params_train == sum(repeats * (c * c + 4 * c) for c, repeats in chains)
    assert (rep.params, rep.macs, rep.flops("paper")) == (base.params, base.macs, base.flops("paper"))
