"""Stems of several branches: what the image goes through before the first stage."""

from dataclasses import dataclass
from typing import ClassVar

from .graph import Feature, Lowering
from .roles import CLOSED, OutsideWidth


@dataclass(frozen=True, slots=True)
class StemBlock:
    """To a quarter of the side: a strided 3x3 conv, halved again by a pool beside a 1x1 and a strided 3x3 conv.

    Source: PeleeNet, arXiv:1804.06882 ("stem block"); widths as in YOLOR as released ("Stem").
    """

    out: OutsideWidth

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        half = self.out // 2
        first = net.conv(x, half, 3, 2, at="conv1")
        strided = net.conv(net.conv(first, half, at="conv2"), half, 3, 2, at="conv3")
        pooled = net.max_pool(first, 2, 2, at="pool")
        return net.conv(net.concat(strided, pooled), self.out, at="out")
