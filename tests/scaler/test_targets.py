"""Bounds as people write them, and what is refused."""

from decimal import Decimal

import catscale
import pytest
from catscale.scaler.targets import Target, parse_target, parse_targets


@pytest.mark.parametrize(
    ("word", "quantity", "bound"),
    [
        ("params=20M", "params", 20_000_000),
        ("params=1.5g", "params", 1_500_000_000),
        ("params=6.2e6", "params", 6_200_000),
        ("macs=2B", "macs", 2_000_000_000),
        ("activations=512k", "activations", 512_000),
        ("gflops=104.7", "gflops", Decimal("104.7")),
        ("latency_ms=8", "latency_ms", 8),
    ],
)
def test_bounds_are_read_as_people_write_them(word: str, quantity: str, bound: Decimal) -> None:
    assert parse_target(word) == Target(quantity, Decimal(bound))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["20M"], r"--fit 20M: expected QUANTITY=BOUND, such as params=20M"),
        (["parms=20M"], r"no quantity is called 'parms'; did you mean 'params'\?"),
        (["params=many"], r"'many' is not a number above zero; write params=20M"),
        (["params=-5"], r"'-5' is not a number above zero"),
        (["params=20Q"], r"'20Q' is not a number above zero"),
        (["params=nan"], r"'nan' is not a number"),
        (["params=0"], r"the bound must be above zero"),
        (["gflops=60G"], r"gflops is in GFLOPs already; write gflops=60"),
        (["params=2M", "params=3M"], r"params has two bounds; keep the smaller one"),
    ],
)
def test_what_is_no_bound_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        parse_targets(words)
