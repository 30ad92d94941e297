"""The kind of head as a scaling: any on any neck. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..blocks.errors import nearest
from ..blocks.heads import HEAD_WORDS, HEADS, DecoupledHead, Head
from .architecture import ANCHOR_HEAD, Architecture
from .factors import ScaleError
from .stages import given_anchors


def with_head(
    architecture: Architecture, kind: str | Mapping[str, Mapping[str, Any]], *, anchors: Sequence[Any] | None = None
) -> Architecture:
    """Another kind of head at every level, by its word, or with its fields: `{decoupled: {width: 128}}`.

    A decoupled head is as wide as what the finest level's head reads, if no width is given, as in every released YOLOX.
    What belongs to an anchor head alone, anchors and implicit knowledge, goes with it; one that comes needs `anchors`:
    for every level w, h, w, h, … in pixels, finest first.

    Raises:
        ScaleError: the kind or a field is unknown, anchors are missing or have no place, or there are auxiliary heads,
            which stand beside an anchor head alone.

    Source: YOLOX, arXiv:2107.08430, section 2.1; PP-YOLOE, arXiv:2203.16250, section 2.2.
    """
    where = f"{architecture.name}: head"
    word, options = kind, {}
    if isinstance(kind, Mapping) and len(kind) == 1:
        ((word, options),) = kind.items()
    if not isinstance(word, str) or word not in HEADS:
        raise ScaleError(f"{where}: no kind is called {word!r}; {nearest(str(word), HEADS)}")
    head = _head(where, architecture, word, options or {})
    if head.anchored:
        if anchors is None and not architecture.head.anchored:
            raise ScaleError(f"{where}: an anchor head needs anchors; give w,h,w,h,... of each level, finest first")
        changed = architecture.replace(head=ANCHOR_HEAD, anchors=architecture.anchors or _none(architecture))
        return architecture if anchors is None else changed.replace(anchors=given_anchors(changed, anchors))
    if anchors is not None:
        raise ScaleError(f"{where}: anchors are of the anchor head, not of {word}; leave them out")
    if architecture.aux:
        raise ScaleError(f"{where}: auxiliary heads stand beside the anchor head alone; take them away (aux: none)")
    if head == architecture.head:
        return architecture
    return architecture.replace(head=head, anchors=(), implicit=False)


def _none(architecture: Architecture) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Anchors to hold the place of those that come."""
    return (((1.0, 1.0),),) * len(architecture.heads)


def _head(where: str, architecture: Architecture, word: str, options: Mapping[str, Any]) -> Head:
    """The head of a word and its fields."""
    names = [field.name for field in fields(HEADS[word])]
    for name, value in options.items():
        if name not in names:
            raise ScaleError(f"{where}: {word} has no {name!r}; {nearest(str(name), names)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ScaleError(f"{where}: {word}: {name}: {value!r} is no whole number from 1")
    if HEADS[word] is DecoupledHead and "width" not in options and word != HEAD_WORDS[type(architecture.head)]:
        options = {**options, "width": _finest_width(architecture)}
    same = type(architecture.head) is HEADS[word] and not options
    return architecture.head if same else HEADS[word](**options)


def _finest_width(architecture: Architecture) -> int:
    """Channels that the finest level's head reads."""
    graph = architecture.graph()
    inside = {layer.name: layer for layer in graph.layers if layer.name.startswith(graph.lead[0])}
    source = next(name for layer in inside.values() for name in layer.inputs if name not in inside)
    return graph.shapes()[source].channels
