"""Nodes taken out of an architecture, or read in place of others; plans of re-parameterisation follow. No torch."""

from collections.abc import Mapping
from dataclasses import replace

from .architecture import Architecture, Node
from .reparam import RepPlace, convs_3x3


def redirected(name: str, to: Mapping[str, str]) -> str:
    """What a reference becomes where nodes, or layers inside of them, are to be read under other names."""
    for old, new in to.items():
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return name


def reread(node: Node, to: Mapping[str, str]) -> Node:
    """A node that reads others instead."""
    return replace(node, inputs=tuple(redirected(name, to) for name in node.inputs))


def by_rule(architecture: Architecture) -> Architecture:
    """Without the published exceptions (`Node.released`), which no scaling carries along."""
    return architecture.replace(nodes=tuple(replace(node, released=None) for node in architecture.nodes))


def rebuilt(architecture: Architecture, nodes: tuple[Node, ...], **facts: object) -> Architecture:
    """An architecture of other nodes, without the places of its plan where no 3x3 conv stands any more."""
    rep = facts.pop("rep", architecture.rep)
    assert isinstance(rep, tuple)
    bare = architecture.replace(nodes=nodes, rep=(), **facts)
    return bare.replace(rep=_holding(bare, rep)) if rep else bare


def _holding(architecture: Architecture, rep: tuple[RepPlace, ...]) -> tuple[RepPlace, ...]:
    convs = [layer.name for layer, _ in convs_3x3(architecture.graph())]
    return tuple(place for place in rep if any(map(place.covers, convs)))
