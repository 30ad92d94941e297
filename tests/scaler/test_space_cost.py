"""Counting many scalings of a detector gives, for each, what counting it alone gives."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import catscale
import numpy as np
import pytest
from catscale.blocks.convs import ConvNode
from catscale.blocks.errors import InputError
from catscale.blocks.graph import Feature, Lowering
from catscale.blocks.roles import OutsideWidth
from catscale.scaler.architecture import Architecture, Node
from catscale.scaler.space_cost import Counts, SpaceCounter, Wiring
from hypothesis import given, settings
from hypothesis import strategies as st

from .zoo_models import MODELS

BASES = ["yolov7-tiny", "yolov7", "yolov7-w6", "yolov7-e6e", "yolov4-csp", "yolor-p6", "yolox-s", "pp-yoloe-s"]

factors = st.integers(1, 400).map(lambda n: n / 128) | st.floats(0.01, 5)
of_parts = st.dictionaries(st.sampled_from(["backbone", "neck", "backbone.p4"]), factors | st.just(1.0), min_size=1)
whole_depths = st.sampled_from([1, 1.5, 2, 3.0])
SCALINGS: dict[str, st.SearchStrategy[Any]] = {
    "depth": whole_depths | st.fixed_dictionaries({"neck": whole_depths}),
    "compound": whole_depths | st.fixed_dictionaries({"backbone": whole_depths, "neck": whole_depths}),
    "transition": st.sampled_from(["strided_conv", "pool_conv", "downc"]),
    "extend": st.integers(1, 3),
    "activation": st.sampled_from(["silu", "leaky_relu"]),
    "implicit": st.booleans(),
    "width": factors | of_parts,
    "resolution": st.integers(1, 20).map(lambda n: 64 * n),
}


@st.composite
def scalings(draw: st.DrawFn) -> dict[str, Any]:
    """Any of them, in any order, with settings where they belong."""
    chosen = draw(st.lists(st.sampled_from([*SCALINGS]), unique=True, max_size=4))
    drawn = {name: draw(SCALINGS[name]) for name in chosen}
    if "compound" in drawn:
        drawn |= draw(st.fixed_dictionaries({}, optional={"exponent": st.sampled_from([0, 0.5, 1, 1.3])}))
    if "compound" in drawn or "width" in drawn:
        drawn |= draw(st.fixed_dictionaries({}, optional={"divisor": st.sampled_from([1, 2, 4, 8, 16, 32])}))
    return drawn


@cache
def counter(base: str) -> SpaceCounter:
    """One for all examples, so that most of them find their wiring there."""
    return SpaceCounter(catscale.load(base))


def alone(base: str, scaled: dict[str, Any]) -> tuple[int, ...]:
    cost = catscale.load(base).scale(**scaled).cost()
    return cost.params, cost.macs, cost.total.biases, cost.activations, cost.flops("paper")


def figures(counts: Counts[int]) -> tuple[int, ...]:
    found = counts.params, counts.macs, counts.biases, counts.activations, counts.flops
    assert {type(figure) for figure in found} == {int}
    return found


@settings(max_examples=150, deadline=None)
@given(base=st.sampled_from(BASES), scaled=scalings())
def test_every_count_is_that_of_the_detector_alone(base: str, scaled: dict[str, Any]) -> None:
    try:
        expected: object = alone(base, scaled)
    except InputError as error:
        expected = f"{error!r}"
    try:
        counted: object = figures(counter(base).count(**scaled))
    except InputError as error:
        counted = f"{error!r}"
    assert counted == expected


@settings(max_examples=30, deadline=None)
@given(
    base=st.sampled_from(BASES),
    widths=st.lists(factors | st.just(1.0), min_size=1, max_size=4),
    multiples=st.integers(1, 20),
    divisor=st.sampled_from([8, 16, 32]),
)
def test_arrays_of_counts_are_those_of_the_detectors_alone(
    base: str, widths: list[float], multiples: int, divisor: int
) -> None:
    wiring = counter(base).wiring({"depth": 2})
    sizes = [wiring.stride * (multiples + place) for place in range(len(widths))]
    counts, _ = wiring.count_all(widths, sizes, divisor)
    for place, (width, size) in enumerate(zip(widths, sizes, strict=True)):
        expected = alone(base, {"depth": 2, "width": width, "divisor": divisor, "resolution": size})
        got = (counts.params, counts.macs, counts.biases, counts.activations, counts.flops)
        assert tuple(int(count[place]) for count in got) == expected


@pytest.mark.parametrize("base", MODELS)
def test_the_counts_of_every_zoo_model_are_forms_in_its_widths(base: str) -> None:
    assert Wiring(catscale.load(base)).forms() is not None


def test_maps_of_one_cell_are_counted_once_whatever_the_size() -> None:
    """PP-YOLOE gates channels by means over whole maps, which another size does not make more of."""
    sizes = [32, 320, 1280]
    counts, _ = Wiring(catscale.load("pp-yoloe-s")).count_all([0.5, 1, 2], sizes)
    for place, (width, size) in enumerate(zip([0.5, 1, 2], sizes, strict=True)):
        cost = catscale.load("pp-yoloe-s").scale(width=width).cost(size)
        found = counts.params[place], counts.macs[place], counts.biases[place], counts.activations[place]
        assert found == (cost.params, cost.macs, cost.total.biases, cost.activations)


def test_counts_are_whole_numbers_far_beyond_float_precision() -> None:
    counts, _ = Wiring(catscale.load("yolov7-e6e")).count_all([8], [12_800])
    assert counts.macs.dtype == np.int64
    assert int(counts.macs[0]) == catscale.load("yolov7-e6e").scale(width=8).cost(12_800).macs > 2**53 / 4


def test_equal_detectors_have_equal_identities_and_others_have_not() -> None:
    """Also where they come from another base by other scalings; sizes and activations make a difference."""
    by_identity, by_fingerprint = defaultdict(set), defaultdict(set)
    for base, compound in (("yolov7-x-light", 1), ("yolov7-x-light", 1.5), ("yolov7-x", 1), ("yolov7-w6", 1)):
        for activation in ("silu", "leaky_relu"):
            wiring = counter(base).wiring({"compound": compound, "activation": activation})
            widths, sizes = [0.5, 0.501, 1.0, 1.001, 0.5], [640, 640, 640, 640, 1280]
            identities = wiring.count_all(widths, sizes)[1].tolist()
            for width, size, identity in zip(widths, sizes, identities, strict=True):
                detector = wiring.architecture.scale(width=width)
                key = (base, compound, activation, width, size)
                by_identity[identity].add(key)
                by_fingerprint[f"{detector.fingerprint}@{size}"].add(key)
    assert sorted(map(sorted, by_identity.values())) == sorted(map(sorted, by_fingerprint.values()))
    assert 8 < len(by_identity) < 40


@pytest.mark.parametrize(
    ("widths", "sizes", "divisor", "message"),
    [
        ([0], [640], 8, "factor must be above 0"),
        ([1e-9], [640], 8, "factor must be above 0"),
        ([1], [650], 8, "650 is not a multiple of the largest stride, 32"),
        ([1], [640], 12, "divisor: 12 is none of 1, 2, 4, 8, 16, 32"),
        ([1], [640], 4, "divisor: 4 is counted one by one alone; many at once by one of 8, 16, 32"),
        ([1], [32 * 10**8], 8, "counts beyond"),
    ],
)
def test_what_cannot_be_counted_is_refused(widths: list[float], sizes: list[int], divisor: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        counter("yolov7").wiring({}).count_all(widths, sizes, divisor)


@pytest.mark.parametrize(
    "scaled",
    [
        {"width": 0},
        {"width": True},
        {"width": "wide"},
        {"width": [1.5]},
        {"width": {"nck": 2}},
        {"wdith": 2},
        {"extend": True},
        {"extend": [2]},
        {"compound": {"backbone": True}},
        {"divisor": 16},
        {"exponent": 0.5, "width": 2},
        {"width": 2, "divisor": 12},
        {"resolution": 100},
        {"resolution": True},
    ],
)
def test_what_a_scaling_refuses_the_counter_refuses_in_its_words(scaled: dict[str, Any]) -> None:
    counter("yolov7").count(extend=1)  # what is equal to True is known by now
    counter("yolov7").count(compound={"backbone": 1})
    with pytest.raises(InputError) as expected:
        catscale.load("yolov7").scale(**scaled)
    with pytest.raises(InputError) as error:
        counter("yolov7").count(**scaled)
    assert (type(error.value), str(error.value)) == (type(expected.value), str(expected.value))


@dataclass(frozen=True)
class Uneven:
    """A 3x3 conv in three groups, of at least 40 channels: what it costs is no polynomial in its width."""

    out: OutsideWidth
    groups: int

    arity: ClassVar[int | None] = 1

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        wide = net.conv(x, self.out if self.groups > 1 else max(self.out, 40), at="wide")
        return net.conv(wide, self.out, kernel=3, groups=self.groups)


def small(groups: int) -> Architecture:
    nodes = (
        Node("stem", ConvNode(24, kernel=3, stride=2), ("image",)),
        Node("uneven", Uneven(24, groups), ("stem",)),
    )
    return Architecture("small", 64, nodes, ("uneven",), (((10, 10),),))


@pytest.mark.parametrize("groups", [1, 3])
def test_what_is_no_polynomial_in_the_widths_is_counted_by_itself(groups: int) -> None:
    base = small(groups)
    wiring = Wiring(base)
    assert wiring.forms() is None
    counts, _ = wiring.count_all([1, 2, 3], [64, 64, 32])
    for place, (width, size) in enumerate([(1, 64), (2, 64), (3, 32)]):
        cost = base.scale(width=width, resolution=size).cost()
        assert (counts.params[place], counts.flops[place]) == (cost.params, cost.flops("paper"))
        assert figures(SpaceCounter(base).count(width=width, resolution=size))[0] == cost.params


def test_a_width_that_cannot_be_built_is_refused_with_its_node() -> None:
    for count in (lambda: Wiring(small(3)).count_all([4 / 3], [64]), lambda: SpaceCounter(small(3)).count(width=4 / 3)):
        with pytest.raises(InputError, match="node uneven: 32 channels in and 32 out cannot be split into 3 groups"):
            count()
