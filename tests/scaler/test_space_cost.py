"""Counting many detectors at once gives, for each, what counting it alone gives."""

from fractions import Fraction

import catscale
import numpy as np
import pytest
from catscale.scaler.space_cost import count_widths
from hypothesis import given, settings
from hypothesis import strategies as st

BASES = ["yolov7-tiny", "yolov7", "yolov7-w6", "yolov7-e6e", "yolor-csp"]


@settings(max_examples=20, deadline=None)
@given(
    base=st.sampled_from(BASES),
    factors=st.lists(st.integers(1, 200).map(lambda n: Fraction(n, 64)), min_size=1, max_size=4),
    multiples=st.integers(1, 20),
    divisor=st.sampled_from([8, 16, 32]),
)
def test_every_count_is_that_of_the_detector_alone(
    base: str, factors: list[Fraction], multiples: int, divisor: int
) -> None:
    architecture = catscale.load(base)
    sizes = [architecture.strides[-1] * (multiples + place) for place in range(len(factors))]
    counts = count_widths(architecture, factors, sizes, divisor)
    for place, (factor, size) in enumerate(zip(factors, sizes, strict=True)):
        alone = architecture.scale(width=float(factor), divisor=divisor)
        alone = alone if factor != 1 else architecture
        cost = alone.cost(size)
        assert counts.params[place] == cost.params
        assert counts.macs[place] == cost.macs
        assert counts.activations[place] == cost.activations
        assert counts.flops[place] == cost.flops("paper")


def test_counts_are_whole_numbers_far_beyond_float_precision() -> None:
    counts = count_widths(catscale.load("yolov7-e6e"), [8], [12_800])
    assert counts.macs.dtype == np.int64
    assert int(counts.macs[0]) == catscale.load("yolov7-e6e").scale(width=8).cost(12_800).macs > 2**53 / 4


@pytest.mark.parametrize(
    ("factors", "sizes", "message"),
    [([0], [640], "every factor must be above 0"), ([1], [650], "multiples of the largest stride, 32")],
)
def test_what_cannot_be_counted_is_refused(factors: list[float], sizes: list[int], message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        count_widths(catscale.load("yolov7"), factors, sizes)
