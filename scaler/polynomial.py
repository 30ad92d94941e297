"""Whole numbers that are not known yet: what the lowering runs on in place of channel counts, to count a whole space.

A width that is still to be scaled is `step x k`, with an unknown whole number k. Everything that the lowering and the
cost rules make of such widths (sums, products, exact halves) is a polynomial in the unknowns, and stays exact. What is
none, such as a half that is a whole number only for some k, is refused, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


class NotPolynomialError(ArithmeticError):
    """A result that depends on the unknowns otherwise than by sums and products."""


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """A sum of products of unknowns, each with a whole coefficient; a constant is the coefficient of no unknown."""

    terms: Mapping[tuple[int, ...], int]  # places of the unknowns in a product, ascending, and its coefficient, not 0

    @classmethod
    def unknown(cls, place: int, step: int = 1) -> Self:
        """`step x k`, of the unknown in that place."""
        return cls({(place,): step})

    def __add__(self, other: "Whole") -> "Polynomial":
        terms = dict(self.terms)
        for product, coefficient in terms_of(other).items():
            terms[product] = terms.get(product, 0) + coefficient
        return _polynomial(terms)

    def __mul__(self, other: "Whole") -> "Polynomial":
        terms: dict[tuple[int, ...], int] = {}
        for product, coefficient in self.terms.items():
            for factors, times in terms_of(other).items():
                joined = tuple(sorted(product + factors))
                terms[joined] = terms.get(joined, 0) + coefficient * times
        return _polynomial(terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> "Polynomial":
        """Whole part of the quotient, where it is a polynomial.

        Raises:
            NotPolynomialError: the remainder depends on the unknowns.
        """
        _ = self % divisor
        return _polynomial({product: coefficient // divisor for product, coefficient in self.terms.items()})

    def __mod__(self, divisor: int) -> int:
        """The remainder, where it is the same whatever the unknowns.

        Raises:
            NotPolynomialError: it depends on them.
        """
        if any(coefficient % divisor for product, coefficient in self.terms.items() if product):
            raise NotPolynomialError(f"{self} by {divisor} leaves a remainder that depends on the widths")
        return self.terms.get((), 0) % divisor

    def __eq__(self, other: object) -> bool:
        """Whether both are the same whatever the unknowns."""
        return isinstance(other, int | Polynomial) and self.terms == _polynomial(terms_of(other)).terms

    __hash__ = None  # type: ignore[assignment]  # equal to ints that it would have to share a hash with

    def at(self, unknowns: list[int]) -> int:
        """The value for these unknowns."""
        value = 0
        for product, coefficient in self.terms.items():
            for place in product:
                coefficient *= unknowns[place]
            value += coefficient
        return value


Whole = int | Polynomial


def terms_of(whole: Whole) -> Mapping[tuple[int, ...], int]:
    """The terms of a number, known or not."""
    return whole.terms if isinstance(whole, Polynomial) else {(): whole}


def _polynomial(terms: Mapping[tuple[int, ...], int]) -> Polynomial:
    return Polynomial({product: coefficient for product, coefficient in terms.items() if coefficient})
