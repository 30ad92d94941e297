"""Scalings: pure functions from one architecture to another, which compose. No torch.

Which field of a block is a width inside a computational block, a width outside, or a depth, its type says
(`blocks.roles`); a scaling needs no list of blocks. A scaled width is rounded up to the next multiple of `DIVISOR`; a
width whose factor is 1 stays as it is. The image's 3 channels and the predictions' anchors x (5 + classes) never scale.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, get_args

from ..blocks.elan import Elan
from ..blocks.errors import InputError, nearest
from ..blocks.ops import Activation, Concat
from ..blocks.roles import Block, Role, fields_with
from ..blocks.vocabulary import TRANSITIONS, Transition
from .architecture import Architecture, Node

DIVISORS = (8, 16, 32)
DIVISOR = 8  # widths are multiples of it, as in every published YOLO since v5; tensor cores want it


Factor = float | Mapping[str, float]  # of the whole, or of parts by the beginning of their nodes' names


class ScaleError(InputError):
    """A scaling that cannot be done, or not exactly; the message names the node and a factor that works."""


def width(architecture: Architecture, factor: Factor, *, divisor: int = DIVISOR) -> Architecture:
    """Scale every width, inside computational blocks and outside.

    Raises:
        ScaleError: a factor is not above zero, or names a part that is not there.
    """
    factors = _factors("width", architecture, factor)
    roles = (Role.INSIDE, Role.OUTSIDE)
    return _each(
        architecture,
        lambda node: _widened(node.block, roles, factors[node.name], divisor),
        unchanged=set(factors.values()) == {1},
    )


def depth(architecture: Architecture, factor: Factor) -> Architecture:
    """Scale the depth of every computational block, and nothing else: its 1x1 conv reads a wider concatenation.

    Stages whose outputs are concatenated are scaled exactly; a chain of which only the end is, as in CSP blocks, to
    the nearest whole number.

    Raises:
        ScaleError: a factor is not above zero, would leave a fraction of a stage, or names a part that is not there.
    """
    factors = _factors("depth", architecture, factor)
    return _each(
        architecture,
        lambda node: _deepened(node, architecture.name, factors[node.name]),
        unchanged=set(factors.values()) == {1},
    )


def compound(
    architecture: Architecture, factor: Factor, *, exponent: float = 1, divisor: int = DIVISOR
) -> Architecture:
    """Scale depth inside computational blocks, and width outside by what the concatenations gained.

    With r = new concatenated width / old, read off the graph of each block, every width outside computational blocks
    (their own 1x1 output, transitions, laterals, pyramid pooling, stem, convs before the heads) is scaled by
    r ** exponent, and the widths inside stay. Each r governs what follows its block until the next one; what precedes
    the first block follows the first. With the paper's exponent, 1, the ratio of in- to out-channels of every
    transition layer is that of the base; with 0, only depth is scaled.

    Raises:
        ScaleError: a factor is not above zero, would leave a fraction of a stage, or names a part that is not there;
            there is nothing to deepen.

    Source: YOLOv7, arXiv:2207.02696, section 3.2 and Fig. 3 (c).
    """
    deeper = depth(architecture, factor)
    before, after = concatenated_widths(architecture), concatenated_widths(deeper)
    if not before:
        raise ScaleError(f"{architecture.name}: compound: no block of it has a depth to scale; use width")
    ratio = {name: _power(Fraction(after[name], before[name]), exponent) for name in before}
    governing = _governing_ratios(architecture, ratio)
    return _each(
        deeper,
        lambda node: _widened(node.block, (Role.OUTSIDE,), governing[node.name], divisor),
        unchanged=deeper is architecture,
    )


def resolution(architecture: Architecture, size: int) -> Architecture:
    """Another input size, in pixels; the graph, and the anchors in pixels, stay.

    Raises:
        InputError: the size is not a multiple of the largest stride.
    """
    if isinstance(size, bool) or size != int(size):
        raise ScaleError(f"{architecture.name}: resolution: {size!r} is not a number of pixels")
    return architecture if size == architecture.size else replace(architecture, size=int(size))


def extend(architecture: Architecture, groups: int) -> Architecture:
    """Every ELAN becomes an E-ELAN with `groups` groups; 1 gives back the ELANs.

    Transitions stay as they are. An auxiliary head that reads an ELAN reads the last of its groups, before the
    cardinality is merged ("partial auxiliary head").

    Raises:
        ScaleError: `groups` is not a whole number above zero, or there is no ELAN.

    Source: YOLOv7, arXiv:2207.02696, section 3.1, Fig. 2 (d), and Table 8.
    """
    if isinstance(groups, bool) or groups != int(groups) or groups < 1:
        raise ScaleError(f"{architecture.name}: extend: {groups!r} groups; use a whole number from 1")
    elans = {node.name: node.block for node in architecture.nodes if isinstance(node.block, Elan)}
    if not elans:
        raise ScaleError(f"{architecture.name}: extend: it has no ELAN to extend")

    def partial_aux(name: str) -> str:
        elan = next((elan for elan in elans if name == elan or name.startswith(f"{elan}.group")), None)
        if elan is None:
            return name
        return f"{elan}.group{groups}.out" if groups > 1 else elan

    def extended(node: Node) -> Node:
        block = replace(node.block, groups=int(groups)) if isinstance(node.block, Elan) else node.block
        inputs = tuple(map(partial_aux, node.inputs)) if node.name in architecture.aux else node.inputs
        return replace(node, block=block, inputs=inputs, released=None)

    nodes = tuple(map(extended, architecture.nodes))
    return (
        architecture if all(block.groups == groups for block in elans.values()) else replace(architecture, nodes=nodes)
    )


def transition(architecture: Architecture, kind: str) -> Architecture:
    """Exchange every transition that halves height and width for another kind of the same output width.

    Kinds are `strided_conv`, `pool_conv` and `downc`. A bare max-pool stays: it has no width of its own.

    Raises:
        ScaleError: the kind is unknown, or there is no transition to exchange.
    """
    if kind not in TRANSITIONS:
        raise ScaleError(
            f"{architecture.name}: transition: no kind is called {kind!r}; {nearest(str(kind), TRANSITIONS)}"
        )
    wanted = TRANSITIONS[kind]
    found = {type(node.block) for node in architecture.nodes if isinstance(node.block, Transition)}
    if not found:
        raise ScaleError(f"{architecture.name}: transition: it has none of {', '.join(TRANSITIONS)}")

    def exchanged(node: Node) -> Block:
        return wanted(out=node.block.out) if isinstance(node.block, Transition) else node.block

    return _each(architecture, exchanged, unchanged=found == {wanted})


def activation(architecture: Architecture, kind: str) -> Architecture:
    """Another activation function, everywhere: `silu` or `leaky_relu`.

    Raises:
        ScaleError: the kind is unknown.
    """
    if kind not in get_args(Activation):
        known = nearest(str(kind), get_args(Activation))
        raise ScaleError(f"{architecture.name}: activation: none is called {kind!r}; {known}")
    return replace(architecture, activation=kind)


def implicit(architecture: Architecture, wanted: bool) -> Architecture:
    """With implicit knowledge in the lead head while training, or without (section 4.3 of the paper).

    Raises:
        ScaleError: `wanted` is neither true nor false.
    """
    if not isinstance(wanted, bool):
        raise ScaleError(f"{architecture.name}: implicit: {wanted!r} is neither true nor false")
    return architecture if wanted == architecture.implicit else replace(architecture, implicit=wanted)


SCALINGS: dict[str, Callable[..., Architecture]] = {
    "width": width,
    "depth": depth,
    "compound": compound,
    "transition": transition,
    "extend": extend,
    "resolution": resolution,
    "activation": activation,
    "implicit": implicit,
}
SETTINGS = {"exponent": ("compound",), "divisor": ("width", "compound")}  # of which scalings; beside them, by name


def apply(architecture: Architecture, scalings: Mapping[str, Any]) -> Architecture:
    """Apply scalings by name, in the order given. The result's name says what was done.

    Raises:
        ScaleError: a scaling is unknown or cannot be done.
    """
    settings = {name: checked_setting(name, scalings[name]) for name in SETTINGS if name in scalings}
    for name in settings:
        if not any(scaling in scalings for scaling in SETTINGS[name]):
            raise ScaleError(f"{architecture.name}: {name} is a setting of {' and '.join(SETTINGS[name])}; add one")
    scaled = architecture
    for name, value in scalings.items():
        if name in SETTINGS:
            continue
        if name not in SCALINGS:
            raise ScaleError(f"no scaling is called {name!r}; {nearest(name, (*SCALINGS, *SETTINGS))}")
        own = {setting: given for setting, given in settings.items() if name in SETTINGS[setting]}
        try:
            after = SCALINGS[name](scaled, value, **own)
        except (TypeError, ValueError, OverflowError) as error:
            raise ScaleError(f"{architecture.name}: {name}: {value!r} is not a value that it takes") from error
        if after is not scaled:
            scaled = after.replace(name=f"{scaled.name}-{name}{_worded(value)}")
    return scaled


def checked_setting(name: str, value: Any) -> Any:
    """The value of a setting, if it may have it.

    Raises:
        ScaleError: it may not.
    """
    if name == "divisor" and (isinstance(value, bool) or value not in DIVISORS):
        raise ScaleError(f"divisor: {value!r} is none of {', '.join(map(str, DIVISORS))}")
    if name == "exponent" and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 4):
        raise ScaleError(f"exponent: {value!r} is no number from 0 to 4")
    return value


def _worded(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(f"-{part}{factor}" for part, factor in value.items())
    return f"-{value}" if isinstance(value, str | bool) else str(value)


def concatenated_widths(architecture: Architecture) -> dict[str, int]:
    """Channels joined inside each computational block that has a depth, read off the graph; by node."""
    deep = {node.name for node in architecture.nodes if fields_with(type(node.block), Role.DEPTH, Role.REPEATS)}
    graph = architecture.graph()
    shapes = graph.shapes()
    widths: dict[str, int] = {}
    for layer in graph.layers:
        if layer.node in deep and isinstance(layer.op, Concat):
            widths[layer.node] = widths.get(layer.node, 0) + shapes[layer.name].channels
    return widths


def _governing_ratios(architecture: Architecture, ratio: dict[str, Fraction]) -> dict[str, Fraction]:
    """For every node the ratio that scales its outside widths: its own, else that of the block it follows."""
    first = next(iter(ratio.values()))
    governing: dict[str, Fraction] = {}
    for node in architecture.nodes:
        upstream = node.inputs[0]
        while upstream not in governing and "." in upstream:  # a layer inside a node is governed as its node
            upstream = upstream.rpartition(".")[0]
        governing[node.name] = ratio.get(node.name) or governing.get(upstream, first)
    return governing


def _factors(scaling: str, architecture: Architecture, factor: Factor) -> dict[str, Fraction]:
    """The factor of every node: that of the longest part that its name begins with, 1 where none does."""
    if not isinstance(factor, Mapping):
        return dict.fromkeys((node.name for node in architecture.nodes), exact_factor(scaling, factor))
    parts = {part: exact_factor(f"{scaling}: {part}", value) for part, value in factor.items()}
    of_nodes = parts_of_nodes(scaling, architecture, tuple(parts))
    return {name: Fraction(1) if part is None else parts[part] for name, part in of_nodes.items()}


def parts_of_nodes(scaling: str, architecture: Architecture, parts: tuple[str, ...]) -> dict[str, str | None]:
    """For every node the longest of the parts that its name begins with; None where none does.

    Raises:
        ScaleError: no node's name begins with one of the parts.
    """
    names = [node.name for node in architecture.nodes]
    for part in parts:
        if not any(f"{name}.".startswith(f"{part}.") for name in names):
            known = {".".join(name.split(".")[:length]) for name in names for length in range(1, name.count(".") + 2)}
            raise ScaleError(
                f"{architecture.name}: {scaling}: no node's name begins with {part!r}; {nearest(part, known)}"
            )
    longest_first = sorted(parts, key=len, reverse=True)
    return {name: next((part for part in longest_first if f"{name}.".startswith(f"{part}.")), None) for name in names}


def exact_factor(scaling: str, factor: float) -> Fraction:
    """A factor as a fraction: the nearest whose denominator is at most a million, so that 0.1 is a tenth.

    Raises:
        ScaleError: it is not above zero, or not below 1000.
    """
    if not isinstance(factor, bool) and 0 < factor < 1000 and (exact := Fraction(factor).limit_denominator(10**6)):
        return exact
    raise ScaleError(f"{scaling}: the factor must be above 0 and below 1000, not {factor!r}")


def _power(ratio: Fraction, exponent: float) -> Fraction:
    return ratio if exponent == 1 else Fraction(float(ratio) ** exponent).limit_denominator(10**6)


def _each(architecture: Architecture, change: Callable[[Node], Block], *, unchanged: bool) -> Architecture:
    """Change every block; a published exception to the rule (`Node.released`) is not carried along."""
    if unchanged:
        return architecture
    nodes = tuple(replace(node, block=change(node), released=None) for node in architecture.nodes)
    return replace(architecture, nodes=nodes)


def _widened(block: Block, roles: tuple[Role, ...], factor: Fraction, divisor: int) -> Block:
    widths = {name: getattr(block, name) for name in fields_with(type(block), *roles)}
    scaled = {
        name: value if factor == 1 else rounded(value, factor.numerator, factor.denominator, divisor)
        for name, value in widths.items()
        if value is not None
    }
    return replace(block, **scaled)  # type: ignore[type-var]


def rounded(channels: Any, numerator: Any, denominator: Any, divisor: int) -> Any:
    """The least multiple of `divisor` from channels x numerator / denominator on: whole numbers, or arrays of them."""
    return divisor * -(-channels * numerator // (divisor * denominator))


def _deepened(node: Node, where: str, factor: Fraction) -> Block:
    """A block with its stages multiplied, exactly, and its chains, to the nearest whole number from 1.

    Half way between, a chain goes to the even number, as in the released configurations.
    """
    chains = {name: max(1, round(getattr(node.block, name) * factor)) for name in _named(node, Role.REPEATS)}
    depths = {name: getattr(node.block, name) for name in _named(node, Role.DEPTH)}
    for name, value in depths.items():
        if (value * factor).denominator != 1:
            raise ScaleError(
                f"{where}: {node.name}: depth {float(factor):g} turns {value} {name} into {float(value * factor):g}; "
                f"use a multiple of {float(Fraction(1, value)):g}"
            )
    stages = {name: int(value * factor) for name, value in depths.items()}
    return replace(node.block, **stages, **chains)  # type: ignore[type-var]


def _named(node: Node, role: Role) -> tuple[str, ...]:
    return fields_with(type(node.block), role)
