"""The architecture file: YAML in either of two forms, a detector written out or a recipe that derives it from another.

Written out, `nodes` maps a name to a block and, where it does not read the node before it, to its inputs:

    nodes:
      backbone.p3.elan: {elan: {width: 128, taps: 2, convs_per_tap: 2, out: 512}}
      neck.p4.top_down: {top_down: {out: 256}, from: [neck.p5.spp, backbone.p4.elan]}

With `rep`, 3x3 convs named by their places within nodes train as RepConv, in a form of `reparam.FORMS`; of two entries
that cover a conv, the last holds:

    rep: [{planned: backbone}, {repconvn: neck.*.tap*.conv1}]

The activation of one node's convolutions is named beside its block (`act: mish`), the kind of head by `head`, where it
is not the one with anchors:

    head: {decoupled: {width: 256}}

A recipe says base and scalings, nothing else:

    base: yolov7-w6
    scale: {compound: 1.5, transition: downc}
"""

from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from ..blocks.errors import InputError, nearest
from ..blocks.heads import HEAD_WORDS, HEADS, Head
from ..blocks.ops import Activation
from ..blocks.roles import Block
from ..blocks.vocabulary import BLOCKS, WORDS
from .architecture import ANCHOR_HEAD, IMAGE, Architecture, Node
from .documents import dump_yaml, parse, read_yaml
from .official.importing import import_document
from .official.rows import is_official
from .reparam import RepForm, RepPlace
from .scaling import apply

Side = Annotated[float, Field(gt=0)]


class _WrittenOut(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = None
    size: int
    classes: int = 80
    activation: Activation = "silu"
    implicit: bool = True
    head: dict[str, Any] | None = None
    anchors: list[list[Side]] = []  # of each level w, h, w, h, ... in pixels
    nodes: dict[str, dict[str, Any]]
    heads: list[str]
    aux: list[str] = []
    rep: list[dict[RepForm, str]] = []


class _Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = None
    base: str
    scale: dict[str, Any]


def read_architecture(path: Path, load_base: Callable[[str, Path], Architecture]) -> Architecture:
    """Read an architecture file of either form, or an official one; `load_base` finds the base that a recipe names.

    Raises:
        InputError: the file is not one; the message says the place and how to mend it.
    """
    document = read_yaml(path)
    where = str(path)
    if is_official(document):
        return import_document(document, where, path.stem).architecture
    if "base" in document:
        recipe: _Recipe = parse(_Recipe, document, where)
        base = load_base(recipe.base, path)
        try:
            return apply(base, recipe.scale).replace(name=recipe.name or path.stem)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    written: _WrittenOut = parse(_WrittenOut, document, where)
    name = written.name or path.stem
    try:
        return Architecture(
            name=name,
            size=written.size,
            nodes=_nodes(written.nodes, where),
            heads=tuple(written.heads),
            anchors=tuple(_pairs(level, f"{where}: anchors") for level in written.anchors),
            aux=tuple(written.aux),
            classes=written.classes,
            activation=written.activation,
            implicit=written.implicit,
            head=_head(written.head, where),
            rep=tuple(RepPlace(at, form) for entry in written.rep for form, at in entry.items()),
        )
    except InputError as error:
        fault = str(error).removeprefix(f"{name}: ")
        raise InputError(fault if fault.startswith(where) else f"{where}: {fault}") from error


def _pairs(level: list[float], where: str) -> tuple[tuple[float, float], ...]:
    if len(level) % 2:
        raise InputError(f"{where}: {len(level)} numbers in a level; anchors are pairs of width and height")
    return tuple(zip(level[::2], level[1::2], strict=True))


def _nodes(document: dict[str, dict[str, Any]], where: str) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for name, entry in document.items():
        place = f"{where}: nodes.{name}"
        words = [key for key in entry if key not in ("from", "released", "act")]
        if len(words) != 1 or words[0] not in BLOCKS:
            unknown = next((word for word in words if word not in BLOCKS), None)
            fault = (
                f"unknown block {unknown!r}; {nearest(unknown, BLOCKS)}"
                if unknown
                else "name one block, as in {conv: {out: 64}}"
            )
            raise InputError(f"{place}: {fault}")
        (word,) = words
        block = _block(word, entry[word], place)
        released = _block(word, {**(entry[word] or {}), **entry["released"]}, place) if entry.get("released") else None
        nodes.append(Node(name, block, _inputs(entry, nodes, place), released, _act(entry.get("act"), place)))
    return tuple(nodes)


def _head(document: dict[str, Any] | None, where: str) -> Head:
    if document is None:
        return ANCHOR_HEAD
    word = next(iter(document), "")
    if len(document) != 1 or word not in HEADS:
        raise InputError(f"{where}: head: name one kind, as in {{decoupled: {{width: 256}}}}; {nearest(word, HEADS)}")
    return parse(HEADS[word], document[word] or {}, f"{where}: head.{word}")


def _act(word: Any, place: str) -> Activation | None:
    if word is not None and word not in get_args(Activation):
        raise InputError(f"{place}.act: no activation is called {word!r}; {nearest(str(word), get_args(Activation))}")
    return word


def _block(word: str, options: Any, place: str) -> Block:
    kind = BLOCKS[word]
    names = {"": tuple(field.name for field in fields(kind))}
    return parse(kind, options or {}, f"{place}.{word}", names=names)


def _inputs(entry: dict[str, Any], before: list[Node], place: str) -> tuple[str, ...]:
    inputs = entry.get("from", before[-1].name if before else IMAGE)
    inputs = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(inputs, list) or not all(isinstance(name, str) for name in inputs):
        raise InputError(f"{place}.from: expected a node's name or a list of names, not {inputs!r}")
    return tuple(inputs)


def to_yaml(architecture: Architecture) -> str:
    """Write an architecture out; `read_architecture` gives an equal one back."""
    nodes: dict[str, Any] = {}
    before = IMAGE
    for node in architecture.nodes:
        entry: dict[str, Any] = {WORDS[type(node.block)]: _options(node.block)}
        if node.released:
            written = _options(node.block)
            entry["released"] = {
                key: value for key, value in _options(node.released).items() if written.get(key) != value
            }
        if node.act:
            entry["act"] = node.act
        if node.inputs != (before,):
            entry["from"] = node.inputs[0] if len(node.inputs) == 1 else list(node.inputs)
        nodes[node.name] = entry
        before = node.name
    document = {
        "name": architecture.name,
        "size": architecture.size,
        "classes": architecture.classes,
        "activation": architecture.activation,
        "implicit": architecture.implicit,
        **_head_document(architecture),
        "nodes": nodes,
        "heads": list(architecture.heads),
    }
    if architecture.aux:
        document["aux"] = list(architecture.aux)
    if architecture.rep:
        document["rep"] = [{place.form: place.at} for place in architecture.rep]
    return dump_yaml(document)


def _head_document(architecture: Architecture) -> dict[str, Any]:
    """The anchors, or the head that has none."""
    if architecture.head.anchored:
        return {"anchors": [[_short(side) for anchor in level for side in anchor] for level in architecture.anchors]}
    return {"head": {HEAD_WORDS[type(architecture.head)]: _options(architecture.head)}}


def _short(side: float) -> float:
    return int(side) if side == int(side) else side


def _options(block: Block | Head) -> dict[str, Any]:
    """The block's fields, without those that keep their default."""
    values = {field.name: (getattr(block, field.name), field.default) for field in fields(block)}  # type: ignore[arg-type]
    return {name: value for name, (value, default) in values.items() if default is MISSING or value != default}
