"""A detector's layers as its blocks write them, with who reads whom: where patterns of blocks are looked for."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ..blocks.graph import Feature, Layer
from ..blocks.measures import Shape
from ..blocks.ops import Add, Concat, Conv, Op, RepConv, Upsample
from ..blocks.roles import Block
from .architecture import Architecture, written_out

Guess = tuple[Block, tuple[str, ...]]  # a block, and the layers that it would read


@dataclass(frozen=True)
class Wiring:
    """Layers by name, in order, before a plan of RepConvs and without heads."""

    layers: dict[str, Layer]
    features: dict[str, Feature]  # what each node passes on
    shapes: dict[str, Shape]

    @cached_property
    def position(self) -> dict[str, int]:
        """Place of every layer in the order."""
        return {name: place for place, name in enumerate(self.layers)}

    @cached_property
    def readers(self) -> dict[str, list[Layer]]:
        """Layers that read a layer."""
        readers: dict[str, list[Layer]] = {name: [] for name in self.layers}
        for layer in self.layers.values():
            for name in layer.inputs:
                readers[name].append(layer)
        return readers

    @cached_property
    def sizes(self) -> Counter[str]:
        """How many layers a node has."""
        return Counter(layer.node for layer in self.layers.values())

    def conv(self, name: str, kernel: int | None = None) -> Conv | None:
        """The convolution at a layer, of any kernel where none is named; a RepConv is one of 3x3."""
        op = plain(self.layers[name].op)
        return op if isinstance(op, Conv) and kernel in (None, op.kernel) else None

    def inputs(self, name: str, kind: type[Op]) -> tuple[str, ...]:
        """What a layer of a kind reads; nothing where it is of another. Sums of sums and joins of joins are one."""
        layer = self.layers[name]
        if not isinstance(layer.op, kind):
            return ()
        parts = [part for source in layer.inputs for part in (self._nested(source, kind) or (source,))]
        return tuple(sorted(parts, key=self.position.__getitem__)) if kind is Add else tuple(parts)

    def joined(self, end: str) -> tuple[str, ...]:
        """What the concatenation before a layer joins; nothing where there is none."""
        return self.inputs(self.source(end), Concat) if self.layers[end].inputs else ()

    def _nested(self, name: str, kind: type[Op]) -> tuple[str, ...]:
        single = kind is Concat or len(self.readers[name]) == 1  # a sum that is read again is a value of its own
        return self.inputs(name, kind) if kind in (Add, Concat) and single else ()

    def reference(self, name: str) -> str:
        """How a node reads a layer: by the name of the node that passes it on, else by its own."""
        return self._owners.get(name, name)

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {feature.layer: node for node, feature in self.features.items()}

    def source(self, name: str) -> str:
        """The first layer that a layer reads."""
        return self.layers[name].inputs[0]

    def upsampled(self, name: str) -> bool:
        """Whether a layer is an up-sampling."""
        return isinstance(self.layers[name].op, Upsample)


def plain(op: Op) -> Op:
    """An op, or of a RepConv the 3x3 convolution in whose place it stands."""
    return Conv(op.out, 3, op.stride, op.groups, op.act) if isinstance(op, RepConv) else op


@lru_cache(maxsize=64)
def wiring(architecture: Architecture) -> Wiring:
    """The wiring of an architecture."""
    layers, features = written_out(architecture, [node.built for node in architecture.nodes])
    shapes: dict[str, Shape] = {}
    for layer in layers:
        shapes[layer.name] = layer.op.shape(*(shapes[name] for name in layer.inputs))
    return Wiring({layer.name: layer for layer in layers}, features, shapes)
