"""Planned re-parameterisation: which 3x3 convolutions may train as RepConv, and a plan applied to a graph. No torch.

The rule (YOLOv7, arXiv:2207.02696, section 4.1 and Fig. 4): the identity connection of a RepConv "destroys the residual
in ResNet and the concatenation in DenseNet", so that "a layer with residual or concatenation connections" may have one
without identity only, RepConvN. On a graph, looking past layers without weights (pools, up-sampling, the channels of
one group), a 3x3 convolution has such a connection where

- its output meets a sum: the identity branch would lie beside the residual, or
- its output is concatenated: it would lie beside the features that it is joined with, or
- it reads a concatenation, as a layer of DenseNet does.

One that *reads* a sum, or a feature that also goes past it to a sum or a concatenation, is free: the paper reverses the
dark block to get there (Fig. 7), and each block of its RepRCSP reads the sum of the block before (Table 5). Likewise
the first conv of each stage of a 3-stacked ELAN is free, and the second, which is tapped, is not (Table 4, whose drawn
positions the text does not say). That a read concatenation counts follows the words on DenseNet; no table tests it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from ..blocks.errors import InputError, nearest
from ..blocks.graph import Graph, Layer
from ..blocks.ops import (
    Add,
    ChannelShuffle,
    Concat,
    Conv,
    GroupConcat,
    MaxPool,
    RepConv,
    SpaceToDepth,
    TakeGroup,
    Upsample,
)

if TYPE_CHECKING:
    from .architecture import Architecture

RepForm = Literal["none", "planned", "repconv", "repconvn", "forced"]
FORMS: dict[RepForm, str] = {
    "none": "plain convs",
    "planned": "RepConv, with identity where the rule allows it",
    "repconv": "RepConv with identity; refused where the rule forbids it",
    "repconvn": "RepConv without identity",
    "forced": "RepConv with identity, also where the rule forbids it",
}
WEIGHTLESS = MaxPool | Upsample | SpaceToDepth | TakeGroup | ChannelShuffle  # of one input, passed over by the rule
GROUP = re.compile(r"\.group\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class RepPlace:
    """3x3 convolutions that train as RepConv, in one of the forms of `FORMS`; the identity only where shapes allow one.

    `at` is a layer's name, the beginning of one (`backbone.p3`), or a pattern of either in which `*` stands for
    anything (`backbone.*.tap*.conv1`). A name without `groupN` means every group of an E-ELAN.
    """

    at: str
    form: RepForm

    def covers(self, layer: str) -> bool:
        names = (layer, GROUP.sub("", layer))
        return any(fnmatchcase(name, pattern) for name in names for pattern in (self.at, f"{self.at}.*"))


@dataclass(frozen=True, slots=True)
class Place:
    """A 3x3 convolution of the train graph, as it stands, and what it may become."""

    name: str
    op: Conv | RepConv
    channels: int  # that it reads
    obstacle: str  # why the rule forbids an identity here, in words; empty where it does not

    @property
    def fits(self) -> bool:
        """Whether shapes allow an identity: as many channels out as in, at stride 1."""
        return _fits(self.op, self.channels)

    @property
    def allows(self) -> Literal["repconv", "repconvn"]:
        """What the rule allows, whatever the shapes."""
        return "repconvn" if self.obstacle else "repconv"

    @property
    def identity(self) -> bool:
        """Whether an identity branch is there."""
        return isinstance(self.op, RepConv) and self.op.identity and self.fits

    @property
    def word(self) -> Literal["conv", "repconv", "repconvn"]:
        """What stands here now; a RepConv whose shapes allow no identity is a RepConvN."""
        if isinstance(self.op, Conv):
            return "conv"
        return "repconv" if self.identity else "repconvn"


def places(architecture: "Architecture") -> list[Place]:
    """Every 3x3 convolution of the train graph, in order, RepConvs among them."""
    graph = architecture.graph()
    obstacles, shapes = _obstacles(graph), graph.shapes()
    return [
        Place(layer.name, op, shapes[layer.inputs[0]].channels, obstacles[layer.name]) for layer, op in convs_3x3(graph)
    ]


def planned(layers: list[Layer], rep: tuple[RepPlace, ...], where: str) -> list[Layer]:
    """The layers of a train graph, with RepConvs where the plan has them; convs that blocks write as RepConv stay.

    Of two places that cover the same conv, the last holds.

    Raises:
        InputError: a place covers no 3x3 conv, or an identity would break the rule where it is not forced.
    """
    if not rep:
        return layers
    graph = Graph(tuple(layers), ())
    forms = _forms(graph, rep, where)
    obstacles, shapes = _obstacles(graph), graph.shapes()
    broken: list[str] = []

    def turned(layer: Layer) -> Layer:
        op, form = layer.op, forms.get(layer.name, "none")
        if form == "none" or not isinstance(op, Conv):
            return layer
        fits, obstacle = _fits(op, shapes[layer.inputs[0]].channels), obstacles[layer.name]
        if form == "repconv" and fits and obstacle:
            broken.append(f"{layer.name}: {obstacle}")
        identity = fits and (form in ("repconv", "forced") or (form == "planned" and not obstacle))
        return replace(layer, op=RepConv(op.out, op.stride, op.groups, op.act, identity))

    layers = [turned(layer) for layer in layers]
    if broken:
        more = f", and {len(broken) - 1} more such places" if len(broken) > 1 else ""
        raise InputError(
            f"{where}: rep: no RepConv with identity may stand at {broken[0]}{more}; "
            "use planned or repconvn there, or force it"
        )
    return layers


def _forms(graph: Graph, rep: tuple[RepPlace, ...], where: str) -> dict[str, RepForm]:
    convs = [layer.name for layer, _ in convs_3x3(graph)]
    forms: dict[str, RepForm] = {}
    for place in rep:
        found = [name for name in convs if place.covers(name)]
        if not found:
            hint = nearest(place.at, {name.split(".")[0] for name in convs}) if convs else "it has none"
            raise InputError(f"{where}: rep: no 3x3 conv is at {place.at!r}; {hint}")
        forms.update(dict.fromkeys(found, place.form))
    return forms


def _obstacles(graph: Graph) -> dict[str, str]:
    """For every convolution with a weight why the rule forbids an identity; empty where it does not."""
    layers = {layer.name: layer for layer in graph.layers}
    readers: dict[str, list[Layer]] = {name: [] for name in layers}
    for layer in graph.layers:
        for name in layer.inputs:
            readers[name].append(layer)

    def followers(name: str) -> Iterator[Layer]:
        for layer in readers[name]:
            if isinstance(layer.op, WEIGHTLESS):
                yield from followers(layer.name)
            else:
                yield layer

    def obstacle(conv: Layer) -> str:
        for layer in followers(conv.name):
            if isinstance(layer.op, Add):
                return f"its output meets the sum {layer.name}"
            if isinstance(layer.op, Concat | GroupConcat):
                return f"its output is concatenated at {layer.name}"
        source = layers[conv.inputs[0]]
        while isinstance(source.op, WEIGHTLESS):
            source = layers[source.inputs[0]]
        return f"it reads the concatenation {source.name}" if isinstance(source.op, Concat | GroupConcat) else ""

    return {layer.name: obstacle(layer) for layer in graph.layers if isinstance(layer.op, Conv | RepConv)}


def convs_3x3(graph: Graph) -> Iterator[tuple[Layer, Conv | RepConv]]:
    """Its 3x3 convolutions, RepConvs among them."""
    for layer in graph.layers:
        op = layer.op
        if isinstance(op, RepConv) or (isinstance(op, Conv) and op.kernel == 3 and op.norm):
            yield layer, op


def _fits(op: Conv | RepConv, channels: int) -> bool:
    """Whether an identity fits."""
    return op.stride == 1 and channels == op.out
