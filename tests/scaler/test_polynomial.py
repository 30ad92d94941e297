"""Arithmetic with unknown widths is the arithmetic of whatever they turn out to be."""

from operator import add, floordiv, mod, mul

import pytest
from catscale.scaler.polynomial import NotPolynomialError, Polynomial, Whole
from hypothesis import given
from hypothesis import strategies as st

OPERATIONS = {"+": add, "x": mul}


def valued(whole: Whole, unknowns: list[int]) -> int:
    return whole.at(unknowns) if isinstance(whole, Polynomial) else whole


@st.composite
def polynomials(draw: st.DrawFn) -> Polynomial:
    sums = [Polynomial.unknown(draw(st.integers(0, 2)), 8) for _ in range(draw(st.integers(1, 3)))]
    constant = draw(st.integers(0, 5))
    return sum(sums[1:], sums[0] + constant)


numbers = polynomials() | st.integers(-3, 12)
unknowns = st.lists(st.integers(1, 50), min_size=3, max_size=3)


@given(numbers, numbers, unknowns, st.sampled_from(["+", "x"]))
def test_sums_and_products_are_those_of_the_values(a: Whole, b: Whole, k: list[int], operation: str) -> None:
    operate = OPERATIONS[operation]
    assert valued(operate(a, b), k) == operate(valued(a, k), valued(b, k))


@given(polynomials(), unknowns, st.sampled_from([2, 3, 4, 8]), st.sampled_from([floordiv, mod]))
def test_a_quotient_is_exact_or_refused(a: Polynomial, k: list[int], divisor: int, operate: object) -> None:
    """Refused where the remainder depends on the unknowns: of 8k by 3, but not of 8k + 5 by 4."""
    try:
        result = operate(a, divisor)  # type: ignore[operator]
    except NotPolynomialError:
        assert divisor == 3  # every coefficient is a multiple of 8
    else:
        assert valued(result, k) == operate(a.at(k), divisor)  # type: ignore[operator]


def test_equal_is_equal_whatever_the_unknowns() -> None:
    k, m = Polynomial.unknown(0, 8), Polynomial.unknown(1, 8)
    assert k + m == m + k
    assert k * m + 3 == 3 + m * k
    assert k != m
    assert k * 0 == 0
    assert k != 8


def test_what_depends_on_the_unknowns_otherwise_is_refused() -> None:
    k = Polynomial.unknown(0, 8)
    with pytest.raises(NotPolynomialError, match="remainder that depends on the widths"):
        _ = k // 3
    with pytest.raises(TypeError):
        max(k, 40)  # type: ignore[type-var]
