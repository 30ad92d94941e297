"""Detectors written out layer by layer, by hand: the families of concatenation-based blocks, for tests of raising."""

from dataclasses import dataclass, field, replace

from catscale.blocks.convs import ConvNode, RepConvNode
from catscale.blocks.ops import (
    Activation,
    Add,
    Concat,
    Conv,
    Gate,
    GlobalPool,
    GroupConcat,
    MaxPool,
    Op,
    RepConv,
    SpaceToDepth,
    TakeGroup,
    Upsample,
)
from catscale.blocks.plain import (
    Fold,
    GateNode,
    GlobalPoolNode,
    GroupJoin,
    Join,
    MaxPoolNode,
    ReOrg,
    Sum,
    TakeGroupNode,
    UpsampleNode,
)
from catscale.blocks.roles import Block
from catscale.scaler.architecture import Architecture, Node
from catscale.scaler.reparam import RepPlace
from catscale.scaler.wiring import wiring

ANCHORS = ((10.0, 13.0), (33.0, 23.0))


@dataclass
class Writer:
    """Appends single-layer nodes under names that say nothing."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, block: Block, *inputs: str) -> str:
        self.nodes.append(Node(f"layer{len(self.nodes)}", block, inputs))
        return self.nodes[-1].name

    def conv(self, x: str, out: int, kernel: int = 1, stride: int = 1) -> str:
        return self.add(ConvNode(out, kernel, stride), x)

    def join(self, *parts: str) -> str:
        return self.add(Join(), *parts)

    def elan(self, x: str, width: int, taps: int, convs: int, out: int, stem: int, newest_first: bool) -> str:
        parts = [self.conv(x, stem), self.conv(x, stem)]
        path = parts[1]
        for _ in range(taps):
            for _ in range(convs):
                path = self.conv(path, width, 3)
            parts.append(path)
        return self.conv(self.join(*(parts[::-1] if newest_first else parts)), out)

    def one_shot(self, x: str, width: int, layers: int, out: int, newest_first: bool) -> str:
        parts = [x]
        for _ in range(layers):
            parts.append(self.conv(parts[-1], width, 3))
        return self.conv(self.join(*(parts[::-1] if newest_first else parts)), out)

    def dense(self, x: str, growth: int, layers: int, out: int, bottleneck: int | None, nested: bool) -> str:
        """`nested`: each concat joins the concat before it and the new layer, as DenseNet is often written."""
        parts, joined = [x], x
        for _ in range(layers):
            y = self.conv(joined, bottleneck) if bottleneck else joined
            parts.append(self.conv(y, growth, 3))
            joined = self.join(joined, parts[-1]) if nested else self.join(*parts)
        return self.conv(joined, out)

    def csp(self, x: str, hidden: int, repeats: int, out: int, residual: bool, shared: bool, tail: bool) -> str:
        """`shared`: both branches start from one conv."""
        path = stem = self.conv(x, hidden)
        for _ in range(repeats):
            y = self.conv(self.conv(path, hidden), hidden, 3)
            path = self.add(Sum(), path, y) if residual else y
        if tail:
            path = self.conv(path, hidden)
        return self.conv(self.join(path, self.conv(stem if shared else x, hidden)), out)

    def detector(self, heads: list[str], size: int = 64) -> Architecture:
        return Architecture("written", size, tuple(self.nodes), tuple(heads), (ANCHORS,) * len(heads), classes=2)


def by_layer(architecture: Architecture) -> Architecture:
    """The same detector, every layer a node of its own under a name that says nothing, in the order of its layers."""
    nodes = tuple(replace(node, released=None) for node in architecture.nodes)
    net = wiring(architecture.replace(nodes=nodes))
    folded = {
        net.source(layer.name)
        for layer in net.layers.values()
        if isinstance(layer.op, TakeGroup) and all(isinstance(reader.op, Add) for reader in net.readers[layer.name])
    }
    names = {layer: f"row{place}" for place, layer in enumerate(net.layers)} | {"image": "image"}
    written: list[Node] = []
    for layer in list(net.layers.values())[1:]:
        if isinstance(layer.op, TakeGroup) and layer.inputs[0] in folded:
            continue
        block, inputs = _node(layer.op, architecture.activation), layer.inputs
        if isinstance(layer.op, Add) and (source := net.layers[layer.inputs[0]].inputs[0]) in folded:
            block, inputs = Fold(len(layer.inputs)), (source,)
        written.append(Node(names[layer.name], block, tuple(names[name] for name in inputs)))

    def led(node: str) -> str:
        return names[net.features[node].layer]

    heads, aux = (tuple(map(led, part)) for part in (architecture.heads, architecture.aux))
    rep = tuple(
        RepPlace(names[layer.name], "forced" if layer.op.identity else "repconvn")
        for layer in architecture.graph().layers
        if isinstance(layer.op, RepConv) and isinstance(net.layers[layer.name].op, Conv)  # by plan
    )
    return architecture.replace(nodes=tuple(written), heads=heads, aux=aux, rep=rep)


def _node(op: Op, usual: Activation) -> Block:
    match op:
        case Conv(out, kernel, stride, groups, act, norm):
            return ConvNode(out, kernel, stride, groups, None if act == usual else act or "none", norm)
        case TakeGroup(index, groups):
            return TakeGroupNode(index, groups)
        case GlobalPool():
            return GlobalPoolNode()
        case Gate():
            return GateNode()
        case RepConv(out, stride, groups, _, identity):
            return RepConvNode(out, identity, stride, groups)
        case Concat():
            return Join()
        case GroupConcat(groups):
            return GroupJoin(groups)
        case MaxPool(kernel, stride):
            return MaxPoolNode(kernel, stride)
        case Upsample():
            return UpsampleNode()
        case SpaceToDepth():
            return ReOrg()
        case Add():
            return Sum()
        case _:
            raise TypeError(op)
