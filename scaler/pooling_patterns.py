"""Guesses of spatial pyramid pooling: see `patterns`. No torch."""

from collections.abc import Iterator

from ..blocks.ops import Concat, MaxPool
from ..blocks.pyramid import POOLS, Pools, Spp, SppCspc, SppTiny
from .wiring import Guess, Wiring


def spp_csp(net: Wiring, end: str) -> Iterator[Guess]:
    """Two branches joined and ended by a 1x1 conv, one of them pooled."""
    parts = net.joined(end)
    if len(parts) == 2 and net.conv(parts[1], 1) and (conv := net.conv(end, 1)):
        for block in (SppCspc(conv.out), SppTiny(conv.out)):
            yield block, (net.source(parts[1]),)


def spp(net: Wiring, end: str) -> Iterator[Guess]:
    """A 1x1 conv and pools of it, joined and ended by a 1x1 conv."""
    conv, parts = net.conv(end, 1), net.joined(end)
    if conv and len(parts) == 1 + len(POOLS) and net.conv(parts[0], 1):
        chained = isinstance(net.layers[net.source(parts[-1])].op, MaxPool)
        yield Spp(conv.out, chained), (net.source(parts[0]),)


def pools(net: Wiring, end: str) -> Iterator[Guess]:
    """Pools of a feature, and the feature itself, joined."""
    parts = net.inputs(end, Concat)
    if len(parts) == 1 + len(POOLS) and isinstance(net.layers[parts[0]].op, MaxPool):
        yield Pools(), (parts[-1],)
