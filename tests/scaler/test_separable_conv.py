"""Depth-wise separable convolutions: cost by closed form, the built module, scalings, counting, growth."""

from pathlib import Path

import catscale
import torch
from catscale.blocks.convs import ConvNode
from catscale.blocks.ops import Conv
from catscale.blocks.separable import SeparableConv
from catscale.scaler.architecture import Architecture, Node
from catscale.scaler.growth import grow
from catscale.scaler.official.text import official_yaml
from catscale.scaler.space_cost import SpaceCounter, Wiring
from hypothesis import given, settings
from hypothesis import strategies as st

from .trained_alike import trained_alike
from .written_out import ANCHORS

SIDE = 64  # pixels


def detector(block: SeparableConv, before: int = 24) -> Architecture:
    nodes = (
        Node("stem", ConvNode(before, 3, 2), ("image",)),
        Node("separable", block, ("stem",)),
        Node("last", ConvNode(16, 3, 2), ("separable",)),
    )
    return Architecture("separable", SIDE, nodes, ("last",), (ANCHORS,), classes=2, implicit=False)


@settings(max_examples=40, deadline=None)
@given(
    before=st.integers(1, 12).map(lambda n: 8 * n),
    out=st.integers(1, 100),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 2]),
)
def test_cost_is_the_closed_form_and_the_built_modules(before: int, out: int, kernel: int, stride: int) -> None:
    """k x k weights for each channel, then one for each pair of channels; a bias for each output channel of either."""
    architecture = detector(SeparableConv(out, kernel, stride), before)
    inside = [layer for layer in architecture.cost().deploy if layer.node == "separable"]
    cells = (SIDE // 2 // stride) ** 2
    assert [layer.cost.params for layer in inside] == [(kernel**2 + 1) * before, (before + 1) * out]
    assert [layer.cost.macs for layer in inside] == [kernel**2 * before * cells, before * out * cells]
    built = catscale.build(architecture)
    assert sum(parameter.numel() for parameter in built.parameters()) == architecture.cost().params_train
    assert built.get_submodule("separable.depthwise.conv").groups == before


def test_a_width_factor_scales_what_comes_out_and_the_filters_follow_what_comes_in() -> None:
    scaled = detector(SeparableConv(40), before=24).scale(width={"stem": 2, "separable": 0.5})
    filters, mixture = (layer.op for layer in scaled.graph().layers if layer.node == "separable")
    assert filters == Conv(48, 3, groups=48)
    assert mixture == Conv(24)  # of 20, the next multiple of 8


def test_many_are_counted_as_each_alone() -> None:
    base, widths = detector(SeparableConv(40)), [0.5, 1, 2.5]
    counts, _ = Wiring(base).count_all(widths, [SIDE] * len(widths))
    for place, factor in enumerate(widths):
        cost = base.scale(width=factor).cost()
        assert (counts.params[place], counts.macs[place]) == (cost.params, cost.macs)
        assert SpaceCounter(base).count(width=factor).macs == cost.macs


def test_it_is_a_word_of_architecture_files_and_an_official_row_for_each_of_its_layers(tmp_path: Path) -> None:
    architecture = detector(SeparableConv(40, kernel=5))
    (tmp_path / "separable.yaml").write_text(architecture.to_yaml(), encoding="utf-8")
    assert catscale.load(tmp_path / "separable.yaml") == architecture
    (tmp_path / "official.yaml").write_text(official_yaml(architecture), encoding="utf-8")
    assert catscale.load(tmp_path / "official.yaml").cost(SIDE).macs == architecture.cost().macs


def test_a_wider_one_begins_as_the_narrower() -> None:
    torch.manual_seed(0)
    base = catscale.build(detector(SeparableConv(40))).double()
    trained_alike(base)
    larger = catscale.build(detector(SeparableConv(40)).scale(width=1.5)).double()
    grow(larger, base)
    images = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64)
    with torch.no_grad():
        ours, theirs = (model.eval()(images)["lead"][0] for model in (larger, base))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
