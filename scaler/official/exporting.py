"""An architecture as an official model file, and the place of each layer's weights in an official checkpoint.

Rows follow the graph of layers, in order; a node that is exactly an official module of several layers is one row. What
the official loader would change in silence, or cannot say, is refused with the node and the way to mend it.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from ...blocks.errors import InputError, nearest
from ...blocks.graph import Layer
from ...blocks.heads import HEAD_WORDS
from ...blocks.levels import Predict
from ...blocks.ops import Add, Conv, Gate, GlobalPool, GroupConcat, Image, MaxPool, Op, RepConv, TakeGroup
from ..architecture import Architecture, lower
from .importing import Slot
from .modules import COMPOSITES, GROUPS, HEADS, Head, composite_of, write_plain
from .rows import IMAGE_ROW, Row, loaded_width, predictions

Form = Literal["train", "deploy"]
FORMS: tuple[Form, ...] = ("train", "deploy")
LARGEST_STRIDE = 256  # pixels of the image with which the official loader finds the strides
AUX_LEVELS = 4  # levels of auxiliary heads that the official module can run


def form_named(word: str) -> Form:
    """The form that a word names.

    Raises:
        InputError: it names none.
    """
    for form in FORMS:
        if form == word:
            return form
    raise InputError(f"form {word!r}: there is no such form; {nearest(word, FORMS)}")


@dataclass(frozen=True, slots=True)
class Written:
    """A row, the layer or node whose output it gives, and the places of its weights."""

    row: Row
    layer: str
    slots: tuple[Slot, ...]


def written(architecture: Architecture, form: Form = "train") -> tuple[Written, ...]:
    """The rows of an architecture: as trained, or without auxiliary heads and implicit vectors as deployed.

    In the deploy form, a RepConv that the official format cannot say (without the identity branch that its shapes
    allow, or with another activation) is the plain convolution that it folds to.

    Raises:
        InputError: a node has no official form that the official loader would leave as it is.
    """
    return _Writer(architecture, form).written()


def rows(architecture: Architecture, form: Form = "train") -> tuple[Row, ...]:
    """The rows alone; see `written`."""
    return tuple(each.row for each in written(architecture, form))


def slots(architecture: Architecture, form: Form = "train") -> tuple[Slot, ...]:
    """The place of every layer's weights in an official checkpoint; see `written`."""
    return tuple(slot for each in written(architecture, form) for slot in each.slots)


class _Writer:
    """Rows so far, and which row gives the output of which layer."""

    def __init__(self, architecture: Architecture, form: Form) -> None:
        self.architecture, self.form = architecture, form
        self.whole = _whole_nodes(architecture)
        graph = lower(architecture, [node.built for node in architecture.nodes], apart=self.whole)
        self.graph = graph if form == "train" else graph.lead_only()
        self.shapes = self.graph.shapes()
        self.ends = {layer.node: layer.name for layer in self.graph.layers}  # the last layer of each node
        self.found: list[Written] = []
        self.given: dict[str, int] = {}  # layer: row

    def written(self) -> tuple[Written, ...]:
        if not self.architecture.head.anchored:
            kind = HEAD_WORDS[type(self.architecture.head)]
            raise InputError(
                f"{self.architecture.name}: no official form: its head, {kind}, is no official module; an anchor head "
                "is (--head anchor)"
            )
        for layer in self.graph.layers:
            if layer.node in self.whole:
                if layer.name == self.ends[layer.node]:
                    self._composite(layer)
            else:
                self._layer(layer)
        self._head()
        return tuple(self.found)

    def _composite(self, end: Layer) -> None:
        module, repeats, rest = self.whole[end.node]
        inside = [layer for layer in self.graph.layers if layer.node == end.node]
        names = {layer.name for layer in inside}
        (source,) = {name for layer in inside for name in layer.inputs} - names
        node = next(node for node in self.architecture.nodes if node.name == end.node)
        out = self.shapes[end.name].channels
        self._check_width(end, out)
        self._row(end, (source,), module, [out, *rest], COMPOSITES[module].slots(node.built), repeats)

    def _layer(self, layer: Layer) -> None:
        op = layer.op
        match op:
            case Image():
                self.given[layer.name] = IMAGE_ROW
            case Predict():
                pass  # part of the last row
            case TakeGroup():
                self._check_folded(layer)
            case Add() if taken := self._folded(layer):
                self._row(layer, taken, "Foldcut", [1])
            case Add():
                for number, newer in enumerate(layer.inputs[1:]):
                    older = layer.inputs[0] if number == 0 else layer.name  # a sum of sums for more than two
                    self._row(layer, (newer, older), "Shortcut", [1])
            case Conv() if not op.norm and self.form == "train":
                raise self._fault(layer, "a bias instead of batch norm", "give it batch norm; official convs have it")
            case Conv() | RepConv():
                op = self._rep_checked(layer) if isinstance(op, RepConv) else op
                self._check_width(layer, op.out)
                self._plain(layer, op, {"": ""})
            case _:
                self._plain(layer, op, {})

    def _plain(self, layer: Layer, op: Op, places: dict[str, str]) -> None:
        words = write_plain(op)
        if words is None:
            raise self._fault(layer, *_unsayable(op))
        self._row(layer, layer.inputs, *words, places)

    def _row(
        self,
        layer: Layer,
        sources: tuple[str, ...],
        module: str,
        args: list[Any],
        places: dict[str, str] | None = None,
        number: int = 1,
    ) -> None:
        index = len(self.found)
        read = tuple(self.given[name] for name in sources)
        if IMAGE_ROW in read and (index > 0 or len(read) > 1):
            raise self._fault(layer, "reads the image", "only the first row can; let one node read it for all others")
        prefix, base = f"model.{index}", layer.node if layer.node in self.whole else layer.name  # of the weights' names
        found = tuple(Slot(_dotted(prefix, official), _dotted(base, ours)) for official, ours in (places or {}).items())
        self.found.append(Written(Row(index, read, number, module, tuple(args)), base, found))
        self.given[layer.name] = index

    def _head(self) -> None:
        architecture, graph, index = self.architecture, self.graph, len(self.found)
        train = self.form == "train"
        wanted = Head(implicit=architecture.implicit and train, aux=bool(architecture.aux) and train)
        _check_head(architecture, wanted)
        module = next(name for name, head in HEADS.items() if head == wanted)
        inputs = {layer.name: layer.inputs[0] for layer in graph.layers if isinstance(layer.op, Predict)}
        sources = tuple(self.given[inputs[name]] for name in (*graph.lead, *graph.aux))
        found = [Slot(f"model.{index}.m.{level}", layer) for level, layer in enumerate(graph.lead)]
        found += [Slot(f"model.{index}.m2.{level}", layer) for level, layer in enumerate(graph.aux)]
        self.found.append(Written(Row(index, sources, 1, module, ("nc", "anchors")), "detect", tuple(found)))

    def _rep_checked(self, layer: Layer) -> Conv | RepConv:
        """The RepConv, where the official module has the same branches; in the deploy form else what it folds to."""
        op = layer.op
        assert isinstance(op, RepConv)
        x = self.shapes[layer.inputs[0]]
        forbidden = op.branches(x) < replace(op, identity=True).branches(x)
        if not forbidden and op.act == "silu":
            return op
        if self.form == "deploy":
            return Conv(op.out, 3, op.stride, op.groups, op.act)
        if forbidden:
            raise self._fault(
                layer,
                f"a RepConv without identity, {x.channels} to {op.out} channels",
                "the official module adds the identity wherever shapes allow it; use a RepConv with identity or a "
                "plain conv there, or export the deploy form",
            )
        raise self._fault(
            layer, f"a RepConv with {op.act}", "the official module has SiLU; use silu, or export the deploy form"
        )

    def _folded(self, layer: Layer) -> tuple[str, ...] | None:
        """The one layer whose two groups a sum adds."""
        ops = {each.name: each for each in self.graph.layers}
        parts = [ops[name] for name in layer.inputs]
        wanted = [TakeGroup(index, GROUPS) for index in range(GROUPS)]
        sources = {name for part in parts for name in part.inputs}
        return tuple(sources) if [part.op for part in parts] == wanted and len(sources) == 1 else None

    def _check_folded(self, layer: Layer) -> None:
        readers = [each for each in self.graph.layers if layer.name in each.inputs]
        if not all(isinstance(each.op, Add) and self._folded(each) for each in readers):
            raise self._fault(layer, *_unsayable(layer.op))

    def _check_width(self, layer: Layer, out: int) -> None:
        exact = predictions(self.architecture.anchors, self.architecture.classes)
        if out != loaded_width(out) and out != exact:
            raise self._fault(
                layer,
                f"{out} channels, which the official loader would make {loaded_width(out)}",
                "widths must be multiples of 8: scale with --divisor 16, whose halves are too",
            )

    def _fault(self, layer: Layer, what: str, mend: str) -> InputError:
        place = layer.name if layer.name == layer.node else f"{layer.node} ({layer.name})"
        return InputError(f"{self.architecture.name}: no official {self.form} form: node {place}: {what}; {mend}")


def _whole_nodes(architecture: Architecture) -> dict[str, tuple[str, int, list[Any]]]:
    """Nodes that are one official row, as `composite_of` gives it: inside, everything is as released and private."""
    found = {node.name: kind for node in architecture.nodes if (kind := composite_of(node.built))}
    graph = architecture.graph()
    names = {node.name for node in architecture.nodes}
    private = {node for node in found if not _read_inside(architecture, node, names)}
    plain = {
        layer.node
        for layer in graph.layers
        if isinstance(layer.op, RepConv) or (isinstance(layer.op, Conv) and layer.op.act != "silu")
    }
    return {node: kind for node, kind in found.items() if node in private - plain}


def _read_inside(architecture: Architecture, node: str, names: set[str]) -> bool:
    """Whether another node reads a layer inside this one."""
    read = {name for other in architecture.nodes for name in other.inputs} - names
    return any(name.startswith(f"{node}.") for name in read)


def _check_head(architecture: Architecture, head: Head) -> None:
    where = f"{architecture.name}: no official form"
    levels = len(architecture.heads)
    if head.aux and not head.implicit:
        raise InputError(
            f"{where}: auxiliary heads without implicit knowledge; set implicit: true, or export the deploy form"
        )
    if head.aux and levels != AUX_LEVELS:
        raise InputError(
            f"{where}: auxiliary heads of {levels} levels, where the official module runs {AUX_LEVELS}; "
            "leave out aux, or export the deploy form"
        )
    if len({len(level) for level in architecture.anchors}) > 1:
        raise InputError(f"{where}: anchors: levels have different numbers of anchors; give each as many")
    if architecture.strides[-1] > LARGEST_STRIDE:
        raise InputError(f"{where}: heads: a stride of {architecture.strides[-1]}; {LARGEST_STRIDE} is its largest")
    first, last = architecture.anchors[0][0], architecture.anchors[-1][-1]
    if levels > 1 and (first[0] * first[1] >= last[0] * last[1]) == (
        architecture.strides[0] < architecture.strides[-1]
    ):
        raise InputError(
            f"{where}: anchors: the first is not smaller than the last, for which the official loader turns their order"
            " round; order them from small to large, as the strides are"
        )


def _unsayable(op: Op) -> tuple[str, str]:
    """What has no official module, and how to do without."""
    parallel = "use E-ELAN in its parallel form"
    match op:
        case GroupConcat(groups):
            return f"a concatenation sorted by {groups} groups", f"{parallel}; the official one has {GROUPS} groups"
        case TakeGroup():
            return (
                f"one of {op.groups} groups of channels read by itself, or folded",
                f"{parallel}, or blocks of whole features",
            )
        case Conv(act=act):
            return f"a convolution with {act}", "use silu or leaky_relu (--activation)"
        case MaxPool(kernel, stride):
            return f"a {kernel}x{kernel} pool of stride {stride}", "use kernel 2 with stride 2, or stride 1"
    if isinstance(op, GlobalPool | Gate):
        return "a channel attention", "leave it out; no official module has one"
    return f"{type(op).__name__} has no official module", parallel


def _dotted(*parts: str) -> str:
    return ".".join(part for part in parts if part)
