"""Levels of the pyramid added and dropped, each with its backbone stage, path steps, heads and anchors. No torch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import floor, inf

from ..blocks.levels import Anchors
from ..blocks.roles import Block, Role, fields_with
from .architecture import Architecture, Node
from .block_scaling import DIVISOR, rounded, widened
from .factors import ScaleError
from .pyramid_graph import Pyramid
from .raising import raised
from .reparam import RepPlace
from .rewiring import by_rule, rebuilt, redirected, reread

FEWEST, MOST = 2, 5  # a pyramid has a step between levels; the objectness of more than five has no published weights
ANCHOR_GROWTH = 2  # a new level's anchors, in the last one's: as its stride
WIDTHS = (Role.INSIDE, Role.OUTSIDE)


def stages(
    architecture: Architecture, levels: int | str, *, anchors: Sequence[Sequence[float]] | None = None
) -> Architecture:
    """As many pyramid levels as wanted, added and dropped at the coarse end, or the levels `pA-pB`, as in `p4-p6`.

    A new level copies the coarsest backbone stage, bottom-up step and heads, one step further; the former coarsest
    gets a top-down step, copied from the level before; the pyramid pooling moves to the top. Widths go on as they came:
    a width is to the coarsest level's as w + (w - v) is to w, where w and v are the widths of the last two levels'
    features (of the backbone, of the neck, of what the heads read), and at least w. All published four-level models
    follow from their first three levels by this rule. Scaled widths are rounded up to multiples of 8; dropping is the
    inverse, and rounds down.

    Anchors of a new level are the coarsest level's times 2, as the stride is; with `anchors` (for every level of the
    result w, h, w, h, … in pixels, finest first), those. Where a span begins further up, as `p4-p6`, the finest levels
    go, and their backbone stages stay.

    Raises:
        ScaleError: the number is not one from 2 to 5, the levels are none of its own, the graph is no pyramid, the
            input size does not fit the new stride, or anchors do not fit.

    Source: ours; the skeletons compared are those of the released models.
    """
    scaled = architecture = raised(architecture)
    first, last = _wanted(architecture, levels)
    while _numbers(scaled)[0] < first:
        scaled = _without_finest(scaled)
    while _numbers(scaled)[-1] > last:
        scaled = _without_coarsest(scaled)
    while _numbers(scaled)[-1] < last:
        scaled = _with_coarser(scaled)
    if anchors is None:
        return scaled
    return scaled.replace(anchors=given_anchors(scaled, anchors))


def _numbers(architecture: Architecture) -> tuple[int, ...]:
    return tuple(stride.bit_length() - 1 for stride in architecture.strides)


def _wanted(architecture: Architecture, levels: int | str) -> tuple[int, int]:
    """The finest and the coarsest level that are wanted."""
    where, (finest, *_) = f"{architecture.name}: stages", _numbers(architecture)
    if isinstance(levels, str) and (span := re.fullmatch(r"p(\d+)-p(\d+)", levels)):
        first, last = int(span[1]), int(span[2])
        if first < finest:
            raise ScaleError(f"{where}: its finest level is p{finest}; finer ones than that cannot be added")
    elif isinstance(levels, int) and not isinstance(levels, bool):
        first, last = finest, finest + levels - 1
    else:
        raise ScaleError(f"{where}: {levels!r} is neither a number of levels nor a span of them, as p3-p6")
    if not FEWEST <= last - first + 1 <= MOST:
        raise ScaleError(f"{where}: {levels} means {last - first + 1} of them; use from {FEWEST} to {MOST}")
    if first >= _numbers(architecture)[-1]:
        raise ScaleError(f"{where}: {levels} drops all levels but one; add coarser ones first")
    return first, last


def given_anchors(architecture: Architecture, given: Sequence[Sequence[float]]) -> tuple[Anchors, ...]:
    """Anchors from a list of widths and heights in px for each level of an architecture, finest first.

    Raises:
        ScaleError: too many or too few levels, an odd number of sides, or one that is not above zero.
    """
    where = f"{architecture.name}: anchors"
    if not architecture.head.anchored:
        raise ScaleError(f"{where}: its head has none; leave them out")
    if len(given) != len(architecture.heads):
        levels = f"{len(given)} levels of anchors for {len(architecture.heads)} levels of the pyramid"
        raise ScaleError(f"{where}: {levels}; give a list of widths and heights for each, finest first")
    for level in given:
        if not level or len(level) % 2 or not all(isinstance(side, int | float) and 0 < side < inf for side in level):
            raise ScaleError(f"{where}: {level!r} is no list of widths and heights in pixels, as [10, 13, 16, 30]")
    return tuple(tuple(zip(level[::2], level[1::2], strict=True)) for level in given)


def _with_coarser(architecture: Architecture) -> Architecture:
    """One level more, on top."""
    base = by_rule(architecture)
    pyramid = Pyramid.of(base)
    below, last = pyramid.levels[-2:]
    top = len(pyramid.levels) - 1
    _check_size(base, 2 * last.stride)

    stage, up, head, aux = (
        part(top) for part in (pyramid.backbone_step, pyramid.bottom_up_step, pyramid.head, pyramid.aux)
    )
    down = pyramid.top_down_step(top - 1)
    moved = {name: _numbered(name, last.number, 1) or name for name in pyramid.pooling}
    names = _names_of_copies(base, {last.number: stage | up | head | aux, below.number: down}, set(moved.values()))
    pooled, lateral = moved.get(last.top_down, names[last.backbone]), names[below.top_down]
    reads = {**names, below.backbone: last.backbone, below.bottom_up: last.bottom_up, last.top_down: pooled}

    def copied(part: frozenset[str], growth: Fraction) -> list[Node]:
        nodes = (_wider(reread(node, reads), growth) for node in base.nodes if node.name in part)
        return [replace(node, name=names[node.name]) for node in nodes]

    def width(name: str) -> int:
        return pyramid.wiring.shapes[name].channels

    neck = _growth(width(last.bottom_up), width(below.bottom_up))
    order = [node.name for node in base.nodes]
    heads_between = order.index(below.head) < order.index(last.bottom_up)  # each head before the next bottom-up step
    behind = [
        (last.backbone, copied(stage, _growth(width(last.backbone), width(below.backbone)))),
        (last.top_down, copied(down, Fraction(width(last.bottom_up), width(below.bottom_up)))),
        (last.head if heads_between else last.bottom_up, copied(up, neck)),
        (last.head, copied(head, _growth(width(last.head), width(below.head)))),
    ]
    partial = _inside(base, pyramid.aux(top - 1), below.top_down)
    if base.aux:
        behind.append((base.aux[top], copied(aux, _growth(width(base.aux[top]), width(base.aux[top - 1])))))

    def kept(node: Node) -> Node:
        if node.name in pyramid.pooling:
            node = _wider(reread(node, {**moved, last.backbone: names[last.backbone]}), neck)
            return replace(node, name=moved[node.name])
        if node.name in aux:
            return reread(node, {last.top_down: lateral + partial})
        return reread(node, {last.top_down: lateral}) if node.name in down | up else node

    nodes: list[Node] = []
    for node in base.nodes:
        nodes.append(kept(node))
        nodes += [copy for place, copies in behind if place == node.name for copy in copies]
    return rebuilt(
        base,
        tuple(nodes),
        heads=(*base.heads, reads[last.head]),
        anchors=(*base.anchors, *map(_grown, base.anchors[-1:])),
        aux=tuple(redirected(name, {last.top_down: lateral}) for name in base.aux)
        + tuple(reads[name] for name in base.aux[top:]),
        rep=_planned_copies(base.rep, names, moved),
    )


def _without_coarsest(architecture: Architecture) -> Architecture:
    """One level less, on top: the inverse."""
    base = by_rule(architecture)
    pyramid = Pyramid.of(base)
    below, last = pyramid.levels[-2:]
    top = len(pyramid.levels) - 1
    gone = frozenset().union(
        pyramid.backbone_step(top),
        pyramid.top_down_step(top - 1),
        pyramid.bottom_up_step(top),
        pyramid.head(top),
        pyramid.aux(top),
    )
    moved = {name: _numbered(name, last.number, -1) or name for name in pyramid.pooling}
    pooled = moved.get(last.top_down, below.backbone)
    shapes = pyramid.wiring.shapes
    shrinkage = Fraction(shapes[below.bottom_up].channels, shapes[last.bottom_up].channels)

    def kept(node: Node) -> Node:
        if node.name in pyramid.pooling:
            node = reread(node, {**moved, last.backbone: below.backbone})
            return replace(node, name=moved[node.name], block=_narrowed(node.block, shrinkage))
        inside = _inside(base, frozenset({node.name}), below.top_down)  # a group of an E-ELAN that goes
        return reread(node, {below.top_down + inside: pooled})

    return rebuilt(
        base,
        tuple(kept(node) for node in base.nodes if node.name not in gone),
        heads=base.heads[:-1],
        anchors=base.anchors[:-1],
        aux=tuple(redirected(name, {below.top_down: pooled}) for name in base.aux[:-1]),
        rep=tuple(replace(place, at=redirected(place.at, moved)) for place in base.rep),
    )


def _without_finest(architecture: Architecture) -> Architecture:
    """One level less, at the fine end: the next one's top-down feature is where the bottom-up path begins."""
    base = by_rule(architecture)
    pyramid = Pyramid.of(base)
    own = pyramid.levels[1]
    gone = pyramid.top_down_step(0) | pyramid.bottom_up_step(1) | pyramid.head(0) | pyramid.aux(0)
    begins = {own.bottom_up: own.top_down}
    return rebuilt(
        base,
        tuple(reread(node, begins) for node in base.nodes if node.name not in gone),
        heads=tuple(redirected(name, begins) for name in base.heads[1:]),
        anchors=base.anchors[1:],
        aux=base.aux[1:],
    )


def _grown(anchors: Anchors) -> Anchors:
    return tuple((ANCHOR_GROWTH * w, ANCHOR_GROWTH * h) for w, h in anchors)


def _check_size(architecture: Architecture, stride: int) -> None:
    if architecture.size % stride:
        good = max(1, round(architecture.size / stride)) * stride
        raise ScaleError(
            f"{architecture.name}: stages: its size {architecture.size} is not a multiple of the new largest stride, "
            f"{stride}; scale its resolution first, to {good} (--size {good})"
        )


def _wider(node: Node, factor: Fraction) -> Node:
    return replace(node, block=widened(node.block, WIDTHS, factor, DIVISOR))


def _narrowed(block: Block, factor: Fraction) -> Block:
    """A block whose widths are scaled, and rounded down to multiples of 8: what `widened` made wider, as it was."""
    widths = {name: getattr(block, name) for name in fields_with(type(block), *WIDTHS)}
    scaled = {
        name: value if factor == 1 else max(DIVISOR, DIVISOR * floor(value * factor / DIVISOR))
        for name, value in widths.items()
        if value is not None
    }
    return replace(block, **scaled)  # type: ignore[type-var]


def _growth(width: int, before: int) -> Fraction:
    """What multiplies the last level's widths to give a new one's, from the widths of the last two levels' features."""
    wanted = Fraction(width + max(0, width - before), width)
    return Fraction(rounded(width, wanted, DIVISOR), width)


def _inside(architecture: Architecture, part: frozenset[str], feature: str) -> str:
    """The place inside a feature's node that a part reads: `.group2.out`, or nothing."""
    reads = (name for node in architecture.nodes if node.name in part for name in node.inputs)
    return next((name.removeprefix(feature) for name in reads if name.startswith(f"{feature}.")), "")


def _numbered(name: str, number: int, step: int) -> str | None:
    """A name with `p5` as `p6`; None where the level does not stand in it."""
    changed, count = re.subn(rf"(?<![a-z0-9])p{number}(?![0-9])", f"p{number + step}", name)
    return changed if count else None


def _names_of_copies(
    architecture: Architecture, parts: Mapping[int, frozenset[str]], taken: set[str]
) -> dict[str, str]:
    """A free name for the copy, at the next level, of each node of these parts, which are given by level."""
    taken = taken.union(node.name for node in architecture.nodes)
    names: dict[str, str] = {}
    for number, part in parts.items():
        for name in sorted(part):
            new = _numbered(name, number, 1) or f"{name}_p{number + 1}"
            while new in taken:
                new = f"{new}_p{number + 1}"
            names[name] = new
            taken.add(new)
    return names


def _planned_copies(
    rep: tuple[RepPlace, ...], names: Mapping[str, str], moved: Mapping[str, str]
) -> tuple[RepPlace, ...]:
    """A plan whose places follow the nodes that moved, and hold for copies as for what they are copies of."""
    places: list[RepPlace] = []
    for place in rep:
        places.append(replace(place, at=redirected(place.at, moved)))
        if (copy := redirected(place.at, names)) != place.at:
            places.append(replace(place, at=copy))
    return tuple(places)
