"""Every scaling keeps the invariant of its kind, for any factor that it accepts."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import catscale
import pytest
from catscale.blocks.elan import Elan
from catscale.blocks.measures import Shape
from catscale.blocks.ops import Concat, Conv, Image, RepConv
from catscale.scaler.architecture import Architecture
from catscale.scaler.scaling import concatenated_widths
from hypothesis import given, settings
from hypothesis import strategies as st

BASES = ["yolov7-tiny", "yolov7", "yolov7-x-light", "yolov7-w6"]
bases = st.sampled_from(BASES).map(catscale.load)
whole_depths = st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
kinds = st.sampled_from(["strided_conv", "pool_conv", "downc"])


def ratios(architecture: Architecture) -> dict[str, Fraction]:
    """In : out channels of every transition layer: convs that neither read the image nor stand inside an ELAN."""
    graph = architecture.graph()
    shapes = graph.shapes()
    elans = {node.name for node in architecture.nodes if isinstance(node.block, Elan)}
    reads_image = {"stem.conv1", "stem.reorg", "stem.conv"}
    return {
        layer.name: Fraction(shapes[layer.inputs[0]].channels, shapes[layer.name].channels)
        for layer in graph.layers
        if isinstance(layer.op, Conv | RepConv)
        and layer.name not in reads_image
        and (layer.node not in elans or layer.name.endswith("elan.out"))
    }


def inside(architecture: Architecture) -> dict[str, int]:
    """Widths of the convs inside computational blocks, by layer."""
    elans = {node.name for node in architecture.nodes if isinstance(node.block, Elan)}
    layers = architecture.graph().layers
    return {
        layer.name: layer.op.out
        for layer in layers
        if layer.node in elans and isinstance(layer.op, Conv) and not layer.name.endswith(".out")
    }


def outside_widths(architecture: Architecture) -> list[int]:
    return [getattr(node.block, "out") for node in architecture.nodes if hasattr(node.block, "out")]  # noqa: B009


def by_rule(architecture: Architecture) -> Architecture:
    """Without the published exceptions, which a scaling does not carry along."""
    return architecture.replace(nodes=tuple(replace(node, released=None) for node in architecture.nodes))


def rounded_up(channels: Fraction) -> int:
    return -(-channels // 8) * 8


@settings(max_examples=25, deadline=None)
@given(base=bases, depth=whole_depths)
def test_compound_keeps_every_transition_ratio_and_every_inside_width(base: Architecture, depth: float) -> None:
    scaled = base.scale(compound=depth)
    before, after = concatenated_widths(base), concatenated_widths(scaled)
    (r,) = {Fraction(after[name], before[name]) for name in before}
    outside = outside_widths(base)
    if all((width * r) % 8 == 0 for width in outside):
        assert ratios(by_rule(scaled)) == ratios(by_rule(base))
    assert outside_widths(scaled) == [width if r == 1 else rounded_up(width * r) for width in outside]
    common = inside(base).keys() & inside(scaled).keys()
    assert common
    assert {name: inside(scaled)[name] for name in common} == {name: inside(base)[name] for name in common}


@pytest.mark.parametrize(("depth", "r"), [(0.5, "3/4"), (1.5, "5/4"), (2.0, "3/2"), (3.0, "2")])
def test_r_follows_from_the_concatenation(depth: float, r: str) -> None:
    """2 stems and 2 taps become 2 stems and 2 x depth taps: r = (2 + 2 depth) / 4, whatever the widths."""
    base, scaled = (catscale.load("yolov7-w6").scale(compound=factor) for factor in (1, depth))
    before, after = concatenated_widths(base), concatenated_widths(scaled)
    assert {Fraction(after[name], before[name]) for name in before} == {Fraction(r)}


@settings(max_examples=25, deadline=None)
@given(base=bases, factor=st.integers(1, 40).map(lambda n: n / 16))
def test_width_scales_every_width_rounded_up_to_eight(base: Architecture, factor: float) -> None:
    scaled = base.scale(width=factor)
    assert [layer.name for layer in scaled.graph().layers] == [layer.name for layer in base.graph().layers]
    for old, new in zip(base.nodes, scaled.nodes, strict=True):
        for field in ("width", "stem", "out"):
            if getattr(old.block, field, None) is not None:
                channels = getattr(old.block, field)
                expected = channels if factor == 1 else rounded_up(channels * Fraction(factor))
                assert getattr(new.block, field) == expected


@settings(max_examples=25, deadline=None)
@given(base=bases, depth=whole_depths)
def test_depth_changes_nothing_but_the_stages(base: Architecture, depth: float) -> None:
    scaled = base.scale(depth=depth)
    for old, new in zip(base.nodes, scaled.nodes, strict=True):
        if isinstance(old.block, Elan):
            assert isinstance(new.block, Elan)
            assert new.block.taps == old.block.taps * depth
            assert (new.block.width, new.block.stem, new.block.out) == (old.block.width, old.block.stem, old.block.out)
        else:
            assert new.block == old.block


@settings(max_examples=20, deadline=None)
@given(base=bases, depth=whole_depths)
def test_depth_then_its_inverse_gives_back_the_base(base: Architecture, depth: float) -> None:
    assert by_rule(base.scale(depth=depth).scale(depth=1 / depth)).nodes == by_rule(base).nodes


@settings(max_examples=15, deadline=None)
@given(first=st.sampled_from([1.0, 2.0]), second=st.sampled_from([1.0, 1.5, 2.0]))
def test_compound_factors_multiply(first: float, second: float) -> None:
    base = catscale.load("yolov7-x-light")
    assert base.scale(compound=first).scale(compound=second).nodes == base.scale(compound=first * second).nodes


@settings(max_examples=20, deadline=None)
@given(base=bases, groups=st.integers(1, 5))
def test_extend_multiplies_the_blocks_and_leaves_the_transitions(base: Architecture, groups: int) -> None:
    scaled = base.scale(extend=groups)
    assert ratios(scaled).keys() >= ratios(base).keys()
    assert [node.block for node in scaled.nodes if not isinstance(node.block, Elan)] == [
        node.block for node in base.nodes if not isinstance(node.block, Elan)
    ]
    ours, theirs = scaled.cost(base.strides[-1] * 4), base.cost(base.strides[-1] * 4)
    for node in base.nodes:
        if isinstance(node.block, Elan):
            assert ours.blocks[node.name].params == groups * theirs.blocks[node.name].params
    assert by_rule(scaled.scale(extend=1)).nodes == by_rule(base).nodes


@settings(max_examples=20, deadline=None)
@given(base=bases, kind=kinds, other=kinds)
def test_transitions_are_exchanged_in_place(base: Architecture, kind: str, other: str) -> None:
    scaled = base.scale(transition=kind)
    widths, before = ({layer.name: layer.op for layer in a.graph("deploy").layers} for a in (scaled, base))
    assert [widths[name] for name in base.graph().lead] == [before[name] for name in base.graph().lead]
    assert scaled.scale(transition=other).nodes == base.scale(transition=kind).scale(transition=other).nodes
    assert by_rule(scaled.scale(transition=other).scale(transition=kind)).nodes == by_rule(scaled).nodes


@settings(max_examples=20, deadline=None)
@given(base=bases, multiple=st.integers(1, 24))
def test_resolution_scales_macs_by_area_and_keeps_params(base: Architecture, multiple: int) -> None:
    size = multiple * base.strides[-1]
    cost, unit = base.scale(resolution=size).cost(), base.cost(base.strides[-1])
    assert cost.params == unit.params
    assert cost.macs == multiple**2 * unit.macs


def test_a_scaling_by_one_changes_nothing() -> None:
    base = catscale.load("yolov7-w6")
    assert base.scale(width=1, depth=1, compound=1, transition="strided_conv", extend=1, resolution=1280) == base


def test_each_r_governs_what_follows_its_own_block(tmp_path: Path) -> None:
    """One block with other stems gains another share: its r reaches to the next block, and no further."""
    text = """
size: 64
anchors: [[10, 13], [30, 61]]
nodes:
  stem.conv: {conv: {out: 32, kernel: 3, stride: 2}}
  stage1.elan: {elan: {width: 32, taps: 2, convs_per_tap: 1, out: 64}}
  stage1.down: {strided_conv: {out: 64}}
  stage2.elan: {elan: {width: 32, taps: 2, convs_per_tap: 1, out: 64, stem: 64}}
  stage2.down: {strided_conv: {out: 64}}
heads: [stage1.down, stage2.down]
"""
    path = tmp_path / "two.yaml"
    path.write_text(text, encoding="utf-8")
    scaled = catscale.load(path).scale(compound=2)
    widths = dict(zip((node.name for node in scaled.nodes), outside_widths(scaled), strict=True))
    # (2 + 4) / (2 + 2) = 3/2 and (2 x 64 + 4 x 32) / (2 x 64 + 2 x 32) = 4/3, rounded up to 8
    assert widths == {"stem.conv": 48, "stage1.elan": 96, "stage1.down": 96, "stage2.elan": 88, "stage2.down": 88}


@pytest.mark.parametrize(
    ("scalings", "message"),
    [
        ({"compound": 1.3}, r"backbone\.p2\.elan: depth 1\.3 turns 2 taps into 2\.6; use a multiple of 0\.5"),
        ({"depth": 0.25}, r"backbone\.p2\.elan: depth 0\.25 turns 2 taps into 0\.5"),
        ({"width": 0}, r"width: the factor must be above 0"),
        ({"width": float("nan")}, r"width: the factor must be above 0"),
        ({"width": "wide"}, r"width: 'wide' is not a value that it takes"),
        ({"extend": 1.5}, r"extend: 1\.5 groups; use a whole number"),
        ({"extend": 0}, r"extend: 0 groups; use a whole number"),
        ({"transition": "down"}, r"transition: no kind is called 'down'; did you mean 'downc'\?"),
        ({"activation": "relu6"}, r"activation: none is called 'relu6'"),
        ({"resolution": 650}, r"size 650 is not a multiple of the largest stride, 32; use 640"),
        ({"depth": {"bakcbone": 2}}, r"no node's name begins with 'bakcbone'; did you mean 'backbone'\?"),
        ({"width": 2, "divisor": 12}, r"divisor: 12 is none of 1, 2, 4, 8, 16, 32"),
        ({"compound": 1.5, "exponent": -1}, r"exponent: -1 is no number from 0 to 4"),
        ({"depth": 2, "exponent": 1}, r"exponent is a setting of compound; add one"),
        ({"implicit": "no"}, r"implicit: 'no' is neither true nor false"),
        ({"widht": 2}, r"no scaling is called 'widht'; did you mean 'width'\?"),
    ],
)
def test_what_cannot_be_scaled_exactly_is_refused(scalings: dict[str, object], message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        catscale.load("yolov7").scale(**scalings)


@pytest.mark.parametrize(("depth", "repeats"), [(1.33, [3, 11, 11, 5]), (0.33, [1, 3, 3, 1]), (0.1, [1, 1, 1, 1])])
def test_a_chain_is_scaled_to_the_nearest_whole_number(depth: float, repeats: list[int]) -> None:
    """Of 2, 8, 8, 4 dark blocks: 1.33 gives YOLOR-CSP-X's; half way goes to the even number, at least one stays."""
    scaled = catscale.load("yolor-csp").scale(depth=depth)
    chains = [getattr(node.block, "repeats", None) for node in scaled.nodes if node.name.startswith("backbone.p")]
    assert [count for count in chains if count] == repeats


def test_a_chain_adds_nothing_to_its_concatenation() -> None:
    """So compound scaling of a CSP detector is depth scaling: r is 1."""
    base = catscale.load("yolor-w6")
    assert base.scale(compound=2).nodes == base.scale(depth=2).nodes


def test_parts_are_scaled_by_the_longest_beginning_of_their_names() -> None:
    base = catscale.load("yolov7")
    scaled = base.scale(depth={"backbone": 2, "backbone.p3": 3, "neck": 0.5})
    taps = {node.name: node.block.taps for node in scaled.nodes if isinstance(node.block, Elan)}
    before = {node.name: node.block.taps for node in base.nodes if isinstance(node.block, Elan)}
    assert {name: taps[name] / before[name] for name in taps} == {
        "backbone.p2.elan": 2,
        "backbone.p3.elan": 3,
        "backbone.p4.elan": 2,
        "backbone.p5.elan": 2,
        **{name: 0.5 for name in before if name.startswith("neck")},
    }


def test_compound_parts_each_have_their_own_r() -> None:
    """Depth times 1.5 gives r = 5/4 in the backbone and what leads to it; the neck, at 2, has 6/4."""
    base = catscale.load("yolov7-x-light")
    scaled = base.scale(compound={"backbone": 1.5, "neck": 2})
    ratio = {
        old.name: Fraction(new.block.out, old.block.out)  # type: ignore[attr-defined]
        for old, new in zip(base.nodes, scaled.nodes, strict=True)
        if hasattr(old.block, "out")
    }
    assert {r for name, r in ratio.items() if name.startswith(("stem", "backbone"))} == {Fraction(5, 4)}
    assert {r for name, r in ratio.items() if name.startswith("neck") and "elan" in name} == {Fraction(3, 2)}
    assert ratio["neck.p5.spp"] == Fraction(5, 4)  # it follows the backbone's last block
    assert ratio["head.p3"] == Fraction(3, 2)


@pytest.mark.parametrize(("exponent", "out"), [(0, 256), (0.5, 288), (1, 320), (1.5, 360)])
def test_transitions_scale_with_a_power_of_r(exponent: float, out: int) -> None:
    """256 x 1.25 ** exponent, rounded up to 8: 0 is depth only, 1 the paper's rule."""
    scaled = catscale.load("yolov7-x-light").scale(compound=1.5, exponent=exponent)
    assert outside_widths(scaled)[4] == out
    if exponent == 0:
        assert scaled.nodes == catscale.load("yolov7-x-light").scale(depth=1.5).nodes


@pytest.mark.parametrize("divisor", [2, 4, 8, 16, 32])
def test_widths_are_multiples_of_the_divisor(divisor: int) -> None:
    scaled = catscale.load("yolov7-tiny").scale(width=0.3, divisor=divisor)
    assert all(width % divisor == 0 for width in outside_widths(scaled))


def test_concat_widths_are_those_of_figure_3() -> None:
    image = Image(8).shape()
    assert Concat().shape(image, Shape(5, 8, 8)).channels == image.channels + 5
    assert concatenated_widths(catscale.load("yolov7"))["backbone.p2.elan"] == 4 * 64
