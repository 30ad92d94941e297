"""The graph of primitive layers, and the lowering that blocks write it with. No torch here."""

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace

from .levels import LEVELS, Detect, Level
from .measures import Cost, Shape
from .ops import (
    Activation,
    Add,
    ChannelShuffle,
    Concat,
    Conv,
    Gate,
    Gating,
    GlobalPool,
    GroupConcat,
    MaxPool,
    Op,
    SpaceToDepth,
    TakeGroup,
    Upsample,
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One primitive op in its place. `node` is the node of the architecture that it was lowered from."""

    name: str  # "backbone.p3.elan.tap2.conv1"
    op: Op
    inputs: tuple[str, ...]
    node: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Layers in an order in which each stands after its inputs.

    `lead` and `aux` name the layers with the heads' raw maps, finest level first; `decoded` the layer with boxes
    (deploy graph only).
    """

    layers: tuple[Layer, ...]
    lead: tuple[str, ...]
    aux: tuple[str, ...] = ()
    decoded: str | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.decoded,) if self.decoded else (*self.lead, *self.aux)

    def shapes(self, size: int | None = None) -> dict[str, Shape]:
        """Output shape of every layer, for an image of `size` pixels (the graph's own where None)."""
        shapes: dict[str, Shape] = {}
        for layer in self.layers:
            op = layer.op
            if size is not None and not layer.inputs:
                op = replace(op, size=size)  # type: ignore[type-var]  # the one op without inputs is Image
            shapes[layer.name] = op.shape(*(shapes[name] for name in layer.inputs))
        return shapes

    def costs(self, size: int | None = None) -> Iterator[tuple[Layer, Shape, Cost]]:
        """Every layer with its output shape and cost, in order."""
        shapes = self.shapes(size)
        for layer in self.layers:
            yield layer, shapes[layer.name], layer.op.cost(*(shapes[name] for name in layer.inputs))

    def keep(self, outputs: tuple[str, ...]) -> tuple[Layer, ...]:
        """The layers that `outputs` depend on."""
        needed = set(outputs)
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(layer.inputs)
        return tuple(layer for layer in self.layers if layer.name in needed)

    def depth_first(self) -> Iterator[Layer]:
        """The layers that the heads depend on, each after its inputs, in an order that only who reads whom decides."""
        layers = {layer.name: layer for layer in self.layers}
        seen: set[str] = set()
        waiting = list(reversed((*self.lead, *self.aux)))
        while waiting:
            layer = layers[waiting[-1]]
            unseen = [name for name in layer.inputs if name not in seen]
            if layer.name not in seen and unseen:
                waiting += reversed(unseen)
                continue
            if layer.name not in seen:
                seen.add(layer.name)
                yield layer
            waiting.pop()

    def lead_only(self) -> "Graph":
        """Without the auxiliary heads and whatever only they need."""
        return replace(self, layers=self.keep(self.lead), aux=())

    def deployed(self) -> "Graph":
        """The deploy graph: auxiliary heads cut; batch norm, RepConv and implicit vectors folded; boxes decoded."""
        lead = self.lead_only()
        layers = tuple(replace(layer, op=layer.op.folded()) for layer in lead.layers)
        levels = replace(lead, layers=layers).levels
        detect = Layer("detect.decode", Detect(tuple(levels[name] for name in self.lead)), self.lead, "detect")
        return Graph((*layers, detect), self.lead, decoded=detect.name)

    @property
    def levels(self) -> dict[str, Level]:
        """The ops that the heads end in, by the names of their layers."""
        return {layer.name: layer.op for layer in self.layers if isinstance(layer.op, LEVELS)}

    def flattened(self, apart: Container[str] = ()) -> "Graph":
        """A concat that feeds only another concat becomes part of it: one copy of the features instead of two.

        Concats of the nodes in `apart` stay as they are.
        """
        readers = Counter(name for layer in self.layers for name in layer.inputs)
        inner = {
            layer.name: layer.inputs
            for layer in self.layers
            if isinstance(layer.op, Concat)
            and readers[layer.name] == 1
            and layer.name not in self.outputs
            and layer.node not in apart
        }
        layers: list[Layer] = []
        for layer in self.layers:
            if isinstance(layer.op, Concat):
                joined = tuple(part for name in layer.inputs for part in inner.get(name, (name,)))
                if layer.name in inner:
                    inner[layer.name] = joined  # for a concat of a concat of a concat
                layer = replace(layer, inputs=joined)
            layers.append(layer)
        flat = replace(self, layers=tuple(layers))
        return replace(flat, layers=flat.keep(flat.outputs))


@dataclass(frozen=True, slots=True)
class Feature:
    """A layer's output while lowering: what a block passes on."""

    layer: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Lowering:
    """What a block writes its layers with. `at` names a layer by its place within the node, stable under scaling."""

    node: str
    act: Activation  # of what is lowered
    layers: list[Layer] = field(default_factory=list)
    prefix: str = ""

    def inside(self, place: str) -> "Lowering":
        """The same lowering, one place further in."""
        return replace(self, prefix=f"{self.prefix}{place}.")

    def layer(self, op: Op, *inputs: Feature, at: str = "") -> Feature:
        """Append a layer.

        Raises:
            ShapeError: the op cannot take these shapes.
        """
        name = ".".join(part for part in (self.node, f"{self.prefix}{at}".rstrip(".")) if part)
        self.layers.append(Layer(name, op, tuple(x.layer for x in inputs), self.node))
        return Feature(name, op.shape(*(x.shape for x in inputs)))

    def conv(self, x: Feature, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, at: str = "") -> Feature:
        """Convolution, batch norm, the architecture's activation."""
        return self.layer(Conv(out, kernel, stride, groups, self.act), x, at=at)

    def group_concat(self, groups: int, *parts: Feature, at: str = "concat") -> Feature:
        """Channels of all parts, sorted by group."""
        return self.layer(GroupConcat(groups), *parts, at=at)

    def shuffle(self, x: Feature, groups: int, at: str = "shuffle") -> Feature:
        """Channels mixed between groups."""
        return self.layer(ChannelShuffle(groups), x, at=at)

    def fold(self, x: Feature, groups: int) -> Feature:
        """Groups of channels added up; each stands at `groupN.out`, from 1."""
        parts = (self.layer(TakeGroup(index, groups), x, at=f"group{index + 1}.out") for index in range(groups))
        return self.add(*parts)

    def max_pool(self, x: Feature, kernel: int, stride: int = 1, at: str = "") -> Feature:
        """Maximum over a window."""
        return self.layer(MaxPool(kernel, stride), x, at=at)

    def upsample(self, x: Feature, at: str = "") -> Feature:
        """Twice the height and width."""
        return self.layer(Upsample(), x, at=at)

    def excite(self, x: Feature, act: Gating, at: str = "excite") -> Feature:
        """A number for each channel, by a 1x1 conv of its mean, that the channel is multiplied by ("effective" SE).

        Source: squeeze and excitation in the form of CenterMask, arXiv:1911.06667, section 3.4.
        """
        net = self.inside(at)
        mean = net.layer(GlobalPool(), x, at="mean")
        return net.layer(Gate(), x, net.layer(Conv(x.shape.channels, act=act, norm=False), mean, at="conv"), at="gate")

    def space_to_depth(self, x: Feature, at: str = "") -> Feature:
        """Half the height and width, four times the channels."""
        return self.layer(SpaceToDepth(), x, at=at)

    def concat(self, *parts: Feature, at: str = "concat") -> Feature:
        """Channels of all parts, in order."""
        return self.layer(Concat(), *parts, at=at)

    def add(self, *parts: Feature, at: str = "sum") -> Feature:
        """Element-wise sum."""
        return self.layer(Add(), *parts, at=at)
