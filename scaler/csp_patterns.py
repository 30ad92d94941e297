"""Guesses of cross-stage partial blocks: see `patterns`. No torch."""

from collections.abc import Iterator
from itertools import product

from ..blocks.csp import CspA, CspB
from ..blocks.ops import Add, Gate, RepConv
from ..blocks.rep_csp import CspRepPan, CspRepStage
from ..blocks.residual import UnitWord
from .wiring import Guess, Wiring

UNIT_ORDERS: tuple[tuple[UnitWord, bool], ...] = (  # residual units, and whether they are reversed
    ("dark", False),
    ("dark", True),
    ("dark_half", False),
    ("dark_half", True),
    ("res", False),
    ("resx", False),
)


def csp(net: Wiring, end: str) -> Iterator[Guess]:
    """A concat of a chain of residual units and of a branch past it, ended by a 1x1 conv."""
    conv, parts = net.conv(end, 1), net.joined(end)
    branch = net.conv(parts[1], 1) if len(parts) == 2 else None
    if conv is None or branch is None:
        return
    past = net.source(parts[1])
    options = list(product(UNIT_ORDERS, (True, False)))  # residual
    half = None if 2 * branch.out == conv.out else branch.out
    for tail in (False, True):
        chain = _kernels(net, net.source(parts[0]) if tail else parts[0], past)
        for (unit, reverse), residual in options if chain else ():
            yield CspA(conv.out, chain, tail, reverse, residual, half, unit), (past,)
    whole = None if branch.out == conv.out else branch.out
    if net.conv(past, 1) and (chain := _kernels(net, parts[0], past)):
        for (unit, reverse), residual in options:
            yield CspB(conv.out, chain, reverse, residual, whole, unit), (net.source(past),)


def csp_rep_stage(net: Wiring, end: str) -> Iterator[Guess]:
    """A concat of two branches, the second a chain of RepConvs, gated as one, ended by a 1x1 conv."""
    conv = net.conv(end, 1)
    if conv and isinstance(net.layers[net.source(end)].op, Gate):
        parts = net.joined(net.source(end))
        if len(parts) == 2 and net.conv(parts[0], 1):
            past = net.source(parts[0])
            if repeats := _rep_convs(net, parts[1], past):
                yield CspRepStage(conv.out, repeats), (past,)


def csp_rep_pan(net: Wiring, end: str) -> Iterator[Guess]:
    """A concat of two branches, the second a chain of RepConvs, with or without pools among them; then a 1x1 conv."""
    conv, parts = net.conv(end, 1), net.joined(end)
    if conv and len(parts) == 2 and net.conv(parts[0], 1):
        past = net.source(parts[0])
        for spp in (False, True):
            if repeats := _rep_convs(net, parts[1], past):
                yield CspRepPan(conv.out, repeats, spp), (past,)


def _kernels(net: Wiring, end: str, start: str) -> int:
    """Convolutions larger than 1x1 on the way back from `end` to `start`, through sums by their younger term."""
    found = 0
    while end != start and (net.conv(end) or net.inputs(end, Add)):
        if conv := net.conv(end):
            found += conv.kernel > 1
            end = net.source(end)
        else:
            end = net.inputs(end, Add)[-1]
    return found


def _rep_convs(net: Wiring, end: str, start: str) -> int:
    """RepConvs from `end` back to `start`, through sums by their younger term, through joins by the first."""
    found = 0
    while end != start and (inputs := net.layers[end].inputs):
        found += isinstance(net.layers[end].op, RepConv)
        end = net.inputs(end, Add)[-1] if net.inputs(end, Add) else inputs[0]
    return found if end == start else 0
