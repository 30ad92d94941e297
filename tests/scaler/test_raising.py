"""Blocks found in graphs that are written out layer by layer, and scaled as the rule has it."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import catscale
import pytest
from catscale.blocks.aggregation import Dense, Osa
from catscale.blocks.csp import CspA, CspB
from catscale.blocks.elan import Elan
from catscale.blocks.ops import Conv
from catscale.blocks.roles import Block, Role, fields_with
from catscale.scaler.architecture import Architecture
from catscale.scaler.places import named_by_place
from catscale.scaler.raising import raised
from catscale.scaler.scaling import extend
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from .written_out import Writer, by_layer
from .zoo_models import MODELS

widths = st.integers(1, 12).map(lambda n: 8 * n)
whole = st.sampled_from([2.0, 3.0])


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_the_zoo_written_out_by_layer_comes_back_node_by_node(name: str) -> None:
    model = catscale.load(name)
    by_rule = model.replace(nodes=tuple(replace(node, released=None) for node in model.nodes))
    again = named_by_place(raised(by_layer(model)))
    assert again.replace(rep=()) == by_rule.replace(rep=())
    assert again.graph() == by_rule.graph()  # a plan of RepConvs comes back conv by conv


@pytest.mark.parametrize("name", MODELS)
def test_a_detector_of_blocks_is_left_as_it_is(name: str) -> None:
    assert raised(catscale.load(name)) is catscale.load(name)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Callable[[Writer, str], str], Block]:
    """A block to write out by hand after a feature, and what it should be found as."""
    width, out, other, depth = draw(widths), draw(widths), draw(widths), draw(st.integers(1, 4))
    flag, shared, residual = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    match draw(st.sampled_from(["elan", "osa", "dense", "csp"])):
        case "elan":
            convs = draw(st.integers(1, 2))
            stem = None if other == width else other
            found = Elan(width, depth, convs, out, stem, newest_first=flag)
            return lambda net, x: net.elan(x, width, depth, convs, out, other, flag), found
        case "osa":
            found = Osa(width, depth, out, newest_first=flag)
            return lambda net, x: net.one_shot(x, width, depth, out, flag), found
        case "dense":
            found = Dense(width, depth + 1, out, bottleneck=other if shared else None)
            bottleneck = other if shared else None
            return lambda net, x: net.dense(x, width, depth + 1, out, bottleneck, flag), found
        case _:
            hidden, tail = None if width == (out if shared else out / 2) else width, flag and not shared
            csp_a = CspA(out, depth, tail, residual=residual, hidden=hidden)
            found = CspB(out, depth, residual=residual, hidden=hidden) if shared else csp_a
            return lambda net, x: net.csp(x, width, depth, out, residual, shared, tail), found


@st.composite
def detectors(draw: st.DrawFn) -> tuple[Architecture, list[Block]]:
    """A stem, then two or three levels of a strided conv and a block each, a head on the last two of them."""
    net = Writer()
    x = net.conv("image", draw(widths), 3, 2)
    x = net.conv(x, draw(widths), 3, 2)
    ends, expected = [], []
    for _ in range(draw(st.integers(2, 3))):
        write, found = draw(blocks())
        x = write(net, net.conv(x, draw(widths), 3, 2))
        ends.append(x)
        expected.append(found)
    return net.detector(ends[-2:]), expected


@settings(max_examples=60, deadline=None)
@given(detectors())
def test_every_block_is_found_whatever_its_layers_are_called(case: tuple[Architecture, list[Block]]) -> None:
    written, expected = case
    found = raised(written)
    deep = [node.block for node in found.nodes if fields_with(type(node.block), Role.DEPTH, Role.REPEATS)]
    assert deep == expected
    ours, theirs = found.cost(), written.cost()
    assert (ours.total, ours.params_train) == (theirs.total, theirs.params_train)
    nested = any(isinstance(block, Dense) for block in expected)  # a concat of a concat is written as one
    assert nested or found.fingerprint == written.fingerprint


@settings(max_examples=60, deadline=None)
@given(detectors(), whole)
def test_compound_scaling_keeps_the_ratio_of_every_transition(
    case: tuple[Architecture, list[Block]], depth: float
) -> None:
    """In : out of each conv outside a block, and of each block's last 1x1 conv, is the base's up to the rounding."""
    written, _ = case
    base, scaled = raised(written), written.scale(compound=depth)
    before, after = outer_convs(base), outer_convs(scaled)
    assert before.keys() == after.keys()
    for name, (inputs, out) in before.items():
        new_inputs, new_out = after[name]
        rounding = Fraction(8, out) + Fraction(8 * parts(base, name), inputs)
        grown = 1 if name == "layer0" else Fraction(new_inputs, inputs)  # the image keeps its three channels
        assert name == "layer0" or abs(Fraction(new_out, out) - grown) <= 2 * rounding * max(1, grown), name


@settings(max_examples=40, deadline=None)
@given(detectors(), whole)
def test_compound_scaling_keeps_the_widths_inside_blocks(case: tuple[Architecture, list[Block]], depth: float) -> None:
    base, scaled = raised(case[0]), case[0].scale(compound=depth)
    for old, new in zip(base.nodes, scaled.nodes, strict=True):
        for name in fields_with(type(old.block), Role.INSIDE):
            assert getattr(new.block, name) == getattr(old.block, name)


@settings(max_examples=40, deadline=None)
@given(detectors(), whole)
def test_depth_and_its_inverse_give_back_the_base(case: tuple[Architecture, list[Block]], depth: float) -> None:
    base = raised(case[0])
    assert base.scale(depth=depth).scale(depth=1 / depth).nodes == base.nodes


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(detectors(), whole, whole)
def test_compound_scalings_compose(case: tuple[Architecture, list[Block]], first: float, second: float) -> None:
    base = case[0]
    once, twice = base.scale(compound=first * second), base.scale(compound=first).scale(compound=second)
    before, after = outer_convs(raised(base)), outer_convs(base.scale(compound=first))
    grown = {
        name: (Fraction(after[name][0], before[name][0]), Fraction(after[name][1], before[name][1])) for name in after
    }
    assume(all(inputs == out for name, (inputs, out) in grown.items() if name != "layer0"))  # nothing was rounded
    assert once.nodes == twice.nodes


@settings(max_examples=5, deadline=None)
@given(detectors())
def test_scaled_variants_build_and_run(case: tuple[Architecture, list[Block]]) -> None:
    import torch

    scaled = case[0].scale(compound=2.0, width=0.25)
    maps = catscale.build(scaled)(torch.rand(2, 3, 64, 64))["lead"]
    assert [tuple(raw.shape[2:4]) for raw in maps] == [(64 // stride,) * 2 for stride in scaled.strides]


def test_a_taken_in_layer_that_others_read_is_read_inside_the_block() -> None:
    net = Writer()
    x = net.conv(net.conv("image", 16, 3, 2), 16, 3, 2)
    end = net.elan(x, 16, 2, 2, 32, 16, True)
    tap = net.nodes[-3].name  # the last 3x3 conv
    late = net.conv(tap, 24)
    found = raised(net.detector([net.conv(net.join(end, late), 16, 3)]))
    assert [node.inputs for node in found.nodes if node.name == late] == [(f"{end}.tap2.conv2",)]


def test_a_layer_that_is_read_before_the_block_ends_keeps_the_block_apart() -> None:
    """The chain goes through a conv of another kind that reads a tap: this is no block of the vocabulary."""
    net = Writer()
    x = net.conv(net.conv("image", 16, 3, 2), 16, 3, 2)
    first, second = net.conv(x, 16), net.conv(x, 16)
    tap = net.conv(second, 16, 3)
    odd = net.conv(tap, 24, 5)
    end = net.conv(net.join(odd, tap, second, first), 32)
    written = net.detector([net.conv(end, 16, 3)])
    assert raised(written).nodes == written.nodes
    with pytest.raises(catscale.ScaleError, match="no block of it has a depth to scale; use width"):
        written.scale(compound=2)


@pytest.mark.parametrize("form", ["parallel", "grouped"])
def test_extended_elans_are_found_in_either_form(form: str) -> None:
    net = Writer()
    x = net.conv(net.conv("image", 16, 3, 2), 16, 3, 2)
    end = net.elan(x, 16, 2, 2, 32, 24, True)
    base = raised(net.detector([net.conv(end, 16, 3)]))
    nodes = [replace(n, block=replace(n.block, form=form)) if isinstance(n.block, Elan) else n for n in base.nodes]
    extended = extend(base.replace(nodes=tuple(nodes)), 3)
    (found,) = [node.block for node in extended.nodes if isinstance(node.block, Elan)]
    assert (found.groups, found.form) == (3, form)
    again = raised(extended)
    assert again is extended


def outer_convs(architecture: Architecture) -> dict[str, tuple[int, int]]:
    """In- and out-channels of every conv outside blocks, and of the last conv of each block; by node."""
    graph = architecture.graph()
    shapes = graph.shapes()
    last = {layer.node: layer for layer in graph.layers if isinstance(layer.op, Conv)}
    return {
        node: (shapes[layer.inputs[0]].channels, shapes[layer.name].channels)
        for node, layer in last.items()
        if node != "detect"
    }


def parts(architecture: Architecture, node: str) -> int:
    """How many features are joined before the last conv of a node."""
    graph = architecture.graph()
    layers = {layer.name: layer for layer in graph.layers}
    last = [layer for layer in graph.layers if layer.node == node][-1]
    return len(layers[last.inputs[0]].inputs)
