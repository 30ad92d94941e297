"""What the tests of the generator share: detectors written out layer by layer under names that say nothing."""

from collections.abc import Callable

import pytest
from catscale.blocks.convs import ConvNode, RepConvNode
from catscale.blocks.ops import Add, Concat, Conv, MaxPool, Op, RepConv, SpaceToDepth, Upsample
from catscale.blocks.plain import Join, MaxPoolNode, ReOrg, Sum, UpsampleNode
from catscale.blocks.roles import Block
from catscale.scaler.architecture import IMAGE, Architecture, Node


def block(op: Op) -> Block:
    match op:
        case Conv(out, kernel, stride, groups, act):
            return ConvNode(out, kernel, stride, groups, act or "none")
        case RepConv(out, identity=identity):
            return RepConvNode(out, identity)
        case MaxPool(kernel, stride):
            return MaxPoolNode(kernel, stride)
        case Concat():
            return Join()
        case Add():
            return Sum()
        case Upsample():
            return UpsampleNode()
        case SpaceToDepth():
            return ReOrg()
    raise AssertionError(op)


@pytest.fixture(scope="session")
def layer_by_layer() -> Callable[[Architecture], Architecture]:
    """The same graph with each layer a node `nK`: what an analysis of the graph alone has to live on."""
    return _layer_by_layer


def _layer_by_layer(architecture: Architecture) -> Architecture:
    graph = architecture.graph()
    layers = [layer for layer in graph.layers if layer.inputs and layer.node != "detect"]
    names = {IMAGE: IMAGE} | {layer.name: f"n{place}" for place, layer in enumerate(layers)}
    nodes = (Node(names[layer.name], block(layer.op), tuple(names[i] for i in layer.inputs)) for layer in layers)
    read = {layer.name: names[layer.inputs[0]] for layer in graph.layers if layer.node == "detect"}
    heads, aux = (tuple(read[name] for name in outputs) for outputs in (graph.lead, graph.aux))
    return architecture.replace(nodes=tuple(nodes), heads=heads, aux=aux)
