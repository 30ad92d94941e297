"""Why a scaling made a detector as it is: what each concatenation gained, and which widths that governed. No torch.

By the functions that the scaling itself uses (`ratios`), and by the graphs before and after it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..blocks.graph import Graph
from ..blocks.heads import HEAD_WORDS, Head
from ..blocks.ops import Concat, Conv, GroupConcat, Image, RepConv
from ..blocks.roles import Block, Role, fields_with
from ..blocks.vocabulary import WORDS, Transition
from .architecture import DETECT, Architecture
from .block_scaling import each
from .ratios import concatenated_widths, concatenation_ratios, governing_blocks, power
from .scaling import Step, depth, steps

FACTORS = ("width", "depth", "compound")
DEEPENING = ("compound", "depth")  # the scalings that change what is concatenated


@dataclass(frozen=True, slots=True)
class Widened:
    """A width outside computational blocks, before and after."""

    node: str  # or `detect`, the head
    kind: str  # the block's, or the head's, word in an architecture file
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Gain:
    """What one block's concatenation gained, and the widths that it governed: transitions first."""

    block: str
    before: int  # channels concatenated
    after: int
    r: Fraction  # what it gained, before its own input was rounded to a divisor
    factor: Fraction  # by which the widths were scaled, before rounding
    widened: tuple[Widened, ...]


@dataclass(frozen=True, slots=True)
class Deviation:
    """A transition layer whose ratio of in- to out-channels is no longer that of the base."""

    layer: str
    wanted: Fraction
    got: Fraction


@dataclass(frozen=True, slots=True)
class Explanation:
    """One compound or depth scaling, explained."""

    scaling: str
    value: Any
    gains: tuple[Gain, ...]
    deviations: tuple[Deviation, ...]  # from rounding to the divisor, from depth alone, or where two r meet

    def to_json(self) -> dict[str, Any]:
        """Plain data; ratios as fractions and as numbers."""
        return {
            "scaling": self.scaling,
            "value": self.value,
            "blocks": [
                {
                    "block": gain.block,
                    "concat": [gain.before, gain.after],
                    "r": str(gain.r),
                    "r_decimal": float(gain.r),
                    "width_factor": float(gain.factor),
                    "widened": [
                        {"node": to.node, "kind": to.kind, "before": to.before, "after": to.after}
                        for to in gain.widened
                    ],
                }
                for gain in self.gains
            ],
            "deviations": [
                {
                    "layer": deviation.layer,
                    "wanted": str(deviation.wanted),
                    "got": str(deviation.got),
                    "got_per_wanted": float(deviation.got / deviation.wanted),
                }
                for deviation in self.deviations
            ],
        }


def explain(step: Step) -> Explanation:
    """Explain a step of `scaling.steps` that is one of `DEEPENING`.

    The base is taken by the rule, without the published exceptions to it (`Node.released`), as no scaling carries
    them along.
    """
    base = each(step.before, lambda node: node.block, unchanged=False)
    before, after = concatenated_widths(base), concatenated_widths(step.after)
    if not before:  # depth alone may be asked of a detector without one
        return Explanation(step.scaling, step.value, (), ())
    governing = governing_blocks(base, before)
    r, exponent = {block: Fraction(after[block], before[block]) for block in before}, 0
    if step.scaling == "compound":
        r, exponent = concatenation_ratios(base, depth(base, step.value)), step.settings.get("exponent", 1)
    pairs = [
        (governing[old.name], widened)
        for old, new in sorted(
            zip(base.nodes, step.after.nodes, strict=True), key=lambda pair: not isinstance(pair[0].block, Transition)
        )
        for widened in _widened(old.name, WORDS[type(old.block)], old.block, new.block)
    ]
    head = base.head
    pairs += [
        (governing[base.heads[0]], widened)
        for widened in _widened(DETECT, HEAD_WORDS[type(head)], head, step.after.head)
    ]
    gains = tuple(
        Gain(
            block,
            before[block],
            after[block],
            r[block],
            power(r[block], exponent),
            tuple(widened for governed_by, widened in pairs if governed_by == block),
        )
        for block in before
    )
    wanted, got = transition_ratios(base), transition_ratios(step.after)
    shared = (layer for layer in wanted if layer in got)
    deviations = tuple(Deviation(layer, wanted[layer], got[layer]) for layer in shared if wanted[layer] != got[layer])
    return Explanation(step.scaling, step.value, gains, deviations)


def transition_ratios(architecture: Architecture) -> dict[str, Fraction]:
    """In : out channels of every transition layer: a conv that stands neither inside a block nor at the image.

    Inside a computational block are the convs on whose way there is still a concatenation of it; its last ones, after
    that, are transitions.
    """
    graph = architecture.graph()
    shapes = graph.shapes()
    inside, image = _inside(graph, set(concatenated_widths(architecture))), _unweighted(graph)
    return {
        layer.name: Fraction(shapes[layer.inputs[0]].channels, shapes[layer.name].channels)
        for layer in graph.layers
        if isinstance(layer.op, Conv | RepConv) and layer.name not in inside and layer.inputs[0] not in image
    }


def _inside(graph: Graph, blocks: set[str]) -> set[str]:
    """Layers of computational blocks that lead to a concatenation of the same block."""
    inside: set[str] = set()
    node = {layer.name: layer.node for layer in graph.layers}
    for layer in reversed(graph.layers):
        if layer.node in blocks and (isinstance(layer.op, Concat | GroupConcat) or layer.name in inside):
            inside.update(name for name in layer.inputs if node[name] == layer.node)
    return inside


def _unweighted(graph: Graph) -> set[str]:
    """Layers that are the image, or only rearrange it: their channels never scale."""
    found: set[str] = set()
    for layer in graph.layers:
        if isinstance(layer.op, Image) or (not isinstance(layer.op, Conv | RepConv) and found.issuperset(layer.inputs)):
            found.add(layer.name)
    return found


def _widened(name: str, word: str, old: Block | Head, new: Block | Head) -> Iterator[Widened]:
    for field in fields_with(type(old), Role.OUTSIDE):
        before, after = getattr(old, field), getattr(new, field)
        if before is not None:
            yield Widened(name, word, before, after)


def remarks(done: tuple[Step, ...]) -> Iterator[str]:
    """Factors that changed nothing, or not what their scaling's name promises."""
    for step in done:
        if step.scaling not in FACTORS or step.value == 1:
            continue
        parts = step.value if isinstance(step.value, Mapping) else {}
        if step.idle:
            yield f"{step.scaling} {_words(step.value)} changes nothing in {step.before.name}"
        elif step.scaling == "compound" and all(gain.r == 1 for gain in explain(step).gains):
            yield (
                f"compound {_words(step.value)}: no concatenation of {step.before.name} grew: only depth was scaled, "
                "and no width"
            )
        elif len(parts) > 1:
            alone = (steps(step.before, {step.scaling: {part: parts[part]}, **step.settings})[0] for part in parts)
            for single in alone:
                if single.idle and set(single.value.values()) != {1}:
                    yield f"{step.scaling} {_words(single.value)} changes nothing in {step.before.name}"


def _words(value: Any) -> str:
    return (
        " ".join(f"{part}={factor:g}" for part, factor in value.items()) if isinstance(value, Mapping) else f"{value:g}"
    )
