"""Scalings: pure functions from one architecture to another, which compose. No torch.

What a factor does to one block stands in `block_scaling`, factors of parts in `factors`, the ratios of compound
scaling in `ratios`. A scaled width is rounded up to the next multiple of `DIVISOR`; a width whose factor is 1 stays as
it is. The image's 3 channels and the predictions' anchors x (5 + classes) never scale.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, get_args

from ..blocks.elan import Elan, Form
from ..blocks.errors import nearest
from ..blocks.ops import Activation
from ..blocks.roles import Block, Role, fields_with
from ..blocks.vocabulary import TRANSITIONS, Transition
from .architecture import DETECT, Architecture, Node
from .aux_heads import aux
from .block_scaling import DIVISOR, DIVISORS, FINE_DIVISORS, deepened, each, widened
from .dark_blocks import dark
from .factors import Factor, ScaleError, factors_of_nodes
from .head_kinds import with_head
from .plans import rep
from .raising import raised
from .ratios import concatenated_widths, concatenation_ratios, governing_blocks, power
from .stages import stages

__all__ = ["DIVISOR", "SCALINGS", "SETTINGS", "Factor", "ScaleError", "Step", "apply", "concatenated_widths", "steps"]


def width(architecture: Architecture, factor: Factor, *, divisor: int = DIVISOR) -> Architecture:
    """Scale every width, inside computational blocks and outside.

    Raises:
        ScaleError: a factor is not above zero, or names a part that is not there.
    """
    factors = factors_of_nodes("width", architecture, factor)
    roles = (Role.INSIDE, Role.OUTSIDE)
    return each(
        architecture,
        lambda node: widened(node.block, roles, factors[node.name], divisor),
        unchanged=set(factors.values()) == {1},
        head=widened(architecture.head, roles, factors.get(DETECT, Fraction(1)), divisor),
    )


def depth(architecture: Architecture, factor: Factor) -> Architecture:
    """Scale the depth of every computational block, and nothing else: its 1x1 conv reads a wider concatenation.

    Blocks that are written out layer by layer are found by their wiring (`raising`). Stages whose outputs are
    concatenated are scaled exactly; a chain of which only the end is, as in CSP blocks, to the nearest whole number.

    Raises:
        ScaleError: a factor is not above zero, would leave a fraction of a stage, or names a part that is not there.
    """
    architecture = raised(architecture)
    factors = factors_of_nodes("depth", architecture, factor)
    return each(
        architecture,
        lambda node: deepened(node, architecture.name, factors[node.name]),
        unchanged=set(factors.values()) == {1},
    )


def compound(
    architecture: Architecture, factor: Factor, *, exponent: float = 1, divisor: int = DIVISOR
) -> Architecture:
    """Scale depth inside computational blocks, and width outside by what the concatenations gained.

    With r = new concatenated width / old, read off the graph of each block, every width outside computational blocks
    (their own 1x1 output, transitions, laterals, pyramid pooling, stem, convs before the heads) is scaled by
    r ** exponent, and the widths inside stay. Each r governs what follows its block until the next one; what precedes
    the first block follows the first, and a head that is as wide at every level follows the finest. With the paper's
    exponent, 1, the ratio of in- to out-channels of every
    transition layer is that of the base; with 0, only depth is scaled, as where chains alone are deepened and nothing
    is concatenated.

    Raises:
        ScaleError: a factor is not above zero, would leave a fraction of a stage, or names a part that is not there;
            there is nothing to deepen.

    Source: YOLOv7, arXiv:2207.02696, section 3.2 and Fig. 3 (c).
    """
    architecture = raised(architecture)
    deeper = depth(architecture, factor)
    if not concatenated_widths(architecture):
        if any(fields_with(type(node.block), Role.REPEATS) for node in architecture.nodes):
            return deeper  # chains alone: nothing is concatenated, and no width follows
        raise ScaleError(f"{architecture.name}: compound: no block of it has a depth to scale; use width")
    ratio = {name: power(r, exponent) for name, r in concatenation_ratios(architecture, deeper).items()}
    governing = governing_blocks(architecture, ratio)
    return each(
        deeper,
        lambda node: widened(node.block, (Role.OUTSIDE,), ratio[governing[node.name]], divisor),
        unchanged=deeper is architecture,
        head=widened(architecture.head, (Role.OUTSIDE,), ratio[governing[architecture.heads[0]]], divisor),
    )


def resolution(architecture: Architecture, size: int) -> Architecture:
    """Another input size, in pixels; the graph, and the anchors in pixels, stay.

    Raises:
        InputError: the size is not a multiple of the largest stride.
    """
    if isinstance(size, bool) or size != int(size):
        raise ScaleError(f"{architecture.name}: resolution: {size!r} is not a number of pixels")
    return architecture if size == architecture.size else replace(architecture, size=int(size))


def extend(architecture: Architecture, groups: int, *, form: Form | None = None) -> Architecture:
    """Every ELAN becomes an E-ELAN with `groups` groups, in a form of `blocks.elan` if given; 1 gives back the ELANs.

    Transitions stay as they are. An auxiliary head that reads an ELAN reads the last of its groups, before the
    cardinality is merged ("partial auxiliary head"); one that reads the sum of an E-ELAN (`aux: full`) goes on to. The
    groups' outputs have the same names in every form.

    Raises:
        ScaleError: `groups` is not a whole number above zero, the form is unknown, or there is no ELAN.

    Source: YOLOv7, arXiv:2207.02696, section 3.1, Fig. 2 (d), and Table 8.
    """
    if isinstance(groups, bool) or groups != int(groups) or groups < 1:
        raise ScaleError(f"{architecture.name}: extend: {groups!r} groups; use a whole number from 1")
    if form not in (None, *get_args(Form)):
        raise ScaleError(f"{architecture.name}: form: none is called {form!r}; {nearest(str(form), get_args(Form))}")
    architecture = raised(architecture)
    elans = {node.name: node.block for node in architecture.nodes if isinstance(node.block, Elan)}
    if not elans:
        raise ScaleError(f"{architecture.name}: extend: it has no ELAN to extend")

    def partial_aux(name: str) -> str:
        elan = next((elan for elan in elans if name == elan or name.startswith(f"{elan}.group")), None)
        if elan is None or (name == elan and elans[elan].groups > 1):
            return name
        return f"{elan}.group{groups}.out" if groups > 1 else elan

    def grown(block: Elan) -> Elan:
        return replace(block, groups=int(groups), form=(form or block.form) if groups > 1 else "parallel")

    def extended(node: Node) -> Node:
        block = grown(node.block) if isinstance(node.block, Elan) else node.block
        inputs = tuple(map(partial_aux, node.inputs)) if node.name in architecture.aux else node.inputs
        return replace(node, block=block, inputs=inputs, released=None)

    nodes = tuple(map(extended, architecture.nodes))
    unchanged = all(grown(block) == block for block in elans.values())
    return architecture if unchanged else replace(architecture, nodes=nodes)


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
    wanted, architecture = TRANSITIONS[kind], raised(architecture)
    found = {type(node.block) for node in architecture.nodes if isinstance(node.block, Transition)}
    if not found:
        raise ScaleError(f"{architecture.name}: transition: it has none of {', '.join(TRANSITIONS)}")

    def exchanged(node: Node) -> Block:
        return wanted(out=node.block.out) if isinstance(node.block, Transition) else node.block

    return each(architecture, exchanged, unchanged=found == {wanted})


def activation(architecture: Architecture, kind: str) -> Architecture:
    """Another activation function, `silu`, `leaky_relu` or `mish`, wherever there is one; gates keep theirs.

    Raises:
        ScaleError: the kind is unknown.
    """
    if kind not in get_args(Activation):
        known = nearest(str(kind), get_args(Activation))
        raise ScaleError(f"{architecture.name}: activation: none is called {kind!r}; {known}")
    named = any(node.act or _names_activation(node.block) for node in architecture.nodes)
    nodes = tuple(
        replace(node, act=None, block=replace(node.block, act=None) if _names_activation(node.block) else node.block)  # type: ignore[call-arg]
        for node in architecture.nodes
    )
    return replace(architecture, activation=kind, **({"nodes": nodes} if named else {}))


def _names_activation(block: Block) -> bool:
    """Whether a block has an activation of its own, besides none at all."""
    return getattr(block, "act", None) in get_args(Activation)


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
    "dark": dark,
    "rep": rep,
    "resolution": resolution,
    "activation": activation,
    "implicit": implicit,
    "stages": stages,
    "aux": aux,
    "head": with_head,
}
SETTINGS = {
    "exponent": ("compound",),
    "divisor": ("width", "compound"),
    "anchors": ("stages", "head"),
    "form": ("extend",),
    "force": ("rep",),
}  # of which scalings; beside them, by name


@dataclass(frozen=True, slots=True)
class Step:
    """One scaling of several: its value, the settings that it took, and the detector before it and after."""

    scaling: str
    value: Any
    settings: dict[str, Any]
    before: Architecture
    after: Architecture

    @property
    def idle(self) -> bool:
        """Whether it changed nothing."""
        return self.after.replace(name=self.before.name) == self.before


def apply(architecture: Architecture, scalings: Mapping[str, Any]) -> Architecture:
    """Apply scalings by name, in the order given. The result's name says what was done.

    Raises:
        ScaleError: a scaling is unknown or cannot be done.
    """
    done = steps(architecture, scalings)
    return done[-1].after if done else architecture


def steps(architecture: Architecture, scalings: Mapping[str, Any]) -> tuple[Step, ...]:
    """Apply scalings as `apply` does, and keep what stood between."""
    settings = {name: checked_setting(name, scalings[name]) for name in SETTINGS if name in scalings}
    for name in settings:
        if not any(scaling in scalings for scaling in SETTINGS[name]):
            raise ScaleError(f"{architecture.name}: {name} is a setting of {' and '.join(SETTINGS[name])}; add one")
    scaled = architecture
    done: list[Step] = []
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
            after = after.replace(name=f"{scaled.name}-{name}{_worded(value)}")
        done.append(Step(name, value, own, scaled, after))
        scaled = after
    return tuple(done)


def checked_setting(name: str, value: Any) -> Any:
    """The value of a setting.

    Raises:
        ScaleError: it is none that the setting takes.
    """
    known = (*FINE_DIVISORS, *DIVISORS)
    if name == "divisor" and (isinstance(value, bool) or value not in known):
        raise ScaleError(f"divisor: {value!r} is none of {', '.join(map(str, known))}")
    if name == "exponent" and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 4):
        raise ScaleError(f"exponent: {value!r} is no number from 0 to 4")
    return value


def _worded(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(f"-{part}{'-' if isinstance(factor, str) else ''}{factor}" for part, factor in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "".join(map(_worded, value))
    return f"-{value}" if isinstance(value, str | bool) else str(value)
