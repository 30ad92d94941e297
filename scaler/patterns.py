"""What block a layer may be the end of: guesses from a few of its surroundings, each to be checked by lowering it.

A pattern needs to know only how a block's numbers show in its wiring. That every layer is in its place is checked by
`scaler.raising`, against the layers that the guessed block itself writes. No torch.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..blocks.aggregation import Dense, Osa, PartialOsa
from ..blocks.convs import ConvStack
from ..blocks.elan import Elan
from ..blocks.ops import Add, Concat, GroupConcat, MaxPool, TakeGroup
from ..blocks.pyramid import TopDown
from ..blocks.residual import Chain, DarkBlock, ResBlock
from ..blocks.stems import StemBlock
from ..blocks.transitions import DownC, PoolConv
from .csp_patterns import UNIT_ORDERS, csp, csp_rep_pan, csp_rep_stage
from .pooling_patterns import pools, spp, spp_csp
from .wiring import Guess, Wiring

Pattern = Callable[[Wiring, str], Iterator[Guess]]


def stem_block(net: Wiring, end: str) -> Iterator[Guess]:
    """A strided conv and a pool of one strided conv, joined and ended by a 1x1 conv."""
    conv, parts = net.conv(end, 1), net.joined(end)
    if conv and len(parts) == 2 and isinstance(net.layers[parts[1]].op, MaxPool):
        first = net.source(parts[1])
        if net.conv(first, 3):
            yield StemBlock(conv.out), (net.source(first),)


def dense(net: Wiring, end: str) -> Iterator[Guess]:
    """A concat of a feature and of layers that each read all before them, ended by a 1x1 conv."""
    conv, parts = net.conv(end, 1), net.joined(end)
    if conv is None:
        return
    for first in range(1, len(parts) - 1):  # the block's input may be several parts itself; one layer is a one-shot
        layer = net.conv(parts[first])
        before = net.source(parts[first])
        if layer is None:
            continue
        layers = len(parts) - first
        yield Dense(layer.out, layers, conv.out, None, layer.kernel), (before,)
        if narrow := net.conv(before, 1):
            yield Dense(layer.out, layers, conv.out, narrow.out, layer.kernel), (net.source(before),)


def one_shot(net: Wiring, end: str) -> Iterator[Guess]:
    """A concat of a feature and of every conv of a chain that starts from it, ended by a 1x1 conv."""
    conv, parts = net.conv(end, 1), net.joined(end)
    if conv is None:
        return
    for newest_first in (False, True):
        ordered = parts[::-1] if newest_first else parts
        for first in range(1, len(parts)):
            if layer := net.conv(ordered[first]):
                block = Osa(layer.out, len(parts) - first, conv.out, layer.kernel, newest_first)
                yield block, (net.source(ordered[first]),)


def partial_one_shot(net: Wiring, end: str) -> Iterator[Guess]:
    """A concat of every conv of a chain that starts from one half of a feature, newest first, ended by a 1x1 conv."""
    conv, parts = net.conv(end, 1), net.joined(end)
    if conv is None or not parts or (layer := net.conv(parts[-1])) is None:
        return
    half = net.layers[net.source(parts[-1])].op
    if isinstance(half, TakeGroup) and half.groups == 2:
        block = PartialOsa(layer.out, len(parts), conv.out, "second" if half.index else "first")
        yield block, (net.source(net.source(parts[-1])),)


def conv_stack(net: Wiring, end: str) -> Iterator[Guess]:
    """Three convs or more in turns, 1x1 and 3x3 of twice its width: as many as there are."""
    first, starts, kernel = net.conv(end, 1), [end], 1
    while first and (conv := net.conv(starts[-1], kernel)) and conv.out == kernel // 2 * first.out + first.out:
        starts.append(net.source(starts[-1]))
        kernel = 4 - kernel
    for convs in range(len(starts) - 1, 2, -1):
        if first and convs % 2:
            yield ConvStack(first.out, convs), (starts[convs],)


def elan(net: Wiring, end: str) -> Iterator[Guess]:
    """Two 1x1 convs of one feature, a chain from the second with taps at equal distances, a concat, a 1x1 conv."""
    yield from _elan(net, end, net.joined(end))


def parallel_elan(net: Wiring, end: str) -> Iterator[Guess]:
    """A sum of ELANs of one feature."""
    parts = net.inputs(end, Add)
    for block, inputs in elan(net, parts[0]) if parts else ():
        assert isinstance(block, Elan)
        yield replace(block, groups=len(parts)), inputs


def grouped_elan(net: Wiring, end: str) -> Iterator[Guess]:
    """A sum of the groups of one convolution that reads taps sorted by group."""
    parts = net.inputs(end, Add)
    if not parts or not all(isinstance(net.layers[part].op, TakeGroup) for part in parts):
        return
    last, groups = net.source(parts[0]), len(parts)
    for block, inputs in _elan(net, last, net.inputs(net.source(last), GroupConcat)):
        assert isinstance(block, Elan)
        if all(number % groups == 0 for number in (block.width, block.out, block.stem or block.width)):
            stem = block.stem // groups if block.stem else None
            narrow = replace(block, width=block.width // groups, out=block.out // groups, stem=stem)
            yield replace(narrow, groups=groups, form="grouped"), inputs


def _elan(net: Wiring, end: str, parts: tuple[str, ...]) -> Iterator[Guess]:
    conv = net.conv(end, 1)
    if conv is None or len(parts) < 3:
        return
    for newest_first in (True, False):
        bypass, stem, *taps = parts[::-1] if newest_first else parts
        first, layer = net.conv(bypass, 1), net.conv(taps[-1])
        steps = _distance(net, taps[0], stem)
        if first and layer and steps:
            own = None if first.out == layer.out else first.out
            block = Elan(layer.out, len(taps), steps, conv.out, own, kernel=layer.kernel, newest_first=newest_first)
            yield block, (net.source(bypass),)


def residual_chain(net: Wiring, end: str) -> Iterator[Guess]:
    """Sums one after another, each of a feature and of two or three convs of it: as many as there are."""
    starts = [end]
    while len(parts := net.inputs(starts[-1], Add)) == 2 and net.conv(parts[1]):
        starts.append(parts[0])
    for repeats in range(len(starts) - 1, 1, -1):
        for unit, reverse in UNIT_ORDERS:
            yield Chain(net.shapes[end].channels, repeats, unit, reverse), (starts[repeats],)


def residual_block(net: Wiring, end: str) -> Iterator[Guess]:
    """A sum of a feature and of two or three convs of it."""
    parts = net.inputs(end, Add)
    if len(parts) == 2 and (conv := net.conv(parts[1])):
        for reverse in (False, True):
            yield DarkBlock(conv.out, reverse), (parts[0],)
        if middle := net.conv(net.source(parts[1]), 3):
            yield ResBlock(conv.out, middle.groups), (parts[0],)


def top_down(net: Wiring, end: str) -> Iterator[Guess]:
    """A 1x1 conv of a fine map beside a 1x1 conv of a coarse one, up-sampled."""
    lateral, up = _first_two(net, end)
    if net.upsampled(up) and (conv := net.conv(lateral, 1)):
        yield TopDown(conv.out), (net.source(net.source(up)), net.source(lateral))


def pool_conv(net: Wiring, end: str) -> Iterator[Guess]:
    """A strided conv of a 1x1 conv beside a 1x1 conv of a pool; where both kinds fit, the order of the layers tells."""
    strided, pooled = _first_two(net, end)
    if not net.conv(strided, 3) or not net.conv(pooled, 1):
        return
    conv, before, after = net.conv(strided, 3), net.source(strided), net.source(pooled)
    if conv and net.conv(before, 1):
        pool_first = net.position[after] < net.position[before]
        for kind in (PoolConv, DownC) if pool_first else (DownC, PoolConv):
            yield kind(2 * conv.out), (net.source(before),)


PATTERNS: tuple[Pattern, ...] = (
    stem_block,
    pool_conv,
    top_down,
    spp_csp,
    spp,
    csp_rep_pan,
    pools,
    parallel_elan,
    grouped_elan,
    elan,
    csp,
    csp_rep_stage,
    partial_one_shot,
    dense,
    one_shot,
    residual_chain,
    residual_block,
    conv_stack,
)


def _first_two(net: Wiring, end: str) -> tuple[str, str]:
    """What a concatenation joins first and second; the layer itself, twice, where it is none."""
    inputs = net.layers[end].inputs
    return (inputs[0], inputs[1]) if isinstance(net.layers[end].op, Concat) else (end, end)


def _distance(net: Wiring, end: str, start: str) -> int:
    """Convolutions from `start` to `end`; 0 where no chain of them leads there."""
    steps = 0
    while end != start and net.conv(end):
        end, steps = net.source(end), steps + 1
    return steps if end == start else 0
