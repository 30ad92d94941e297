"""The torch model of a graph: an fx GraphModule, whose code can be printed, compiled, exported and traced."""

from operator import add, mul
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from ..blocks.graph import Graph, Layer
from ..blocks.levels import AnchorFree, Detect, Distribution, Predict
from ..blocks.modules import ConvLayer, DetectLayer, PredictLayer, RepConvLayer
from ..blocks.ops import (
    Add,
    ChannelShuffle,
    Concat,
    Conv,
    Gate,
    GlobalPool,
    GroupConcat,
    Image,
    MaxPool,
    Op,
    RepConv,
    SpaceToDepth,
    TakeGroup,
    Upsample,
)
from ..blocks.point_boxes import PointDetectLayer, start_anchor_free, start_distribution
from .architecture import Architecture


def build(architecture: Architecture, graph: str = "train") -> fx.GraphModule:
    """Make the torch model of the `train` or the `deploy` graph, with fresh weights.

    The train model maps images (B, 3, H, W), RGB in 0 to 1, to `{"lead": [...], "aux": [...]}`, the raw maps
    (B, anchors, H / stride, W / stride, 5 + classes) of each level, finest first; of a head without anchors
    (B, 1, H / stride, W / stride, channels of its predictions). The deploy model maps them to boxes
    (B, N, 5 + classes): cx, cy, w, h in pixels, objectness, class scores. Layers are named as in the graph.
    """
    wanted = architecture.graph(graph)
    shapes = wanted.shapes()
    modules = {
        layer.name: module
        for layer in wanted.layers
        if (module := _module(layer.op, [shapes[name].channels for name in layer.inputs])) is not None
    }
    _start(wanted, modules)
    return _assemble(architecture, wanted, modules)


def deploy(model: fx.GraphModule) -> fx.GraphModule:
    """The deploy model of a train model: weights folded, auxiliary heads cut, boxes decoded; `model` is left as it is.

    Its outputs are the decoded lead outputs of `model.eval()`, to rounding (sums are made in float64). Its weights lie
    channels-last, which is faster on CPUs and GPUs alike (`make bench`).
    """
    architecture: Architecture = model.meta["architecture"]
    deployed = build(architecture, "deploy")
    with torch.no_grad():
        for layer in architecture.graph("deploy").layers:
            if isinstance(layer.op, Conv | Predict):
                trained, fresh = model.get_submodule(layer.name), deployed.get_submodule(layer.name)
                assert isinstance(trained, ConvLayer | RepConvLayer | PredictLayer)
                assert isinstance(fresh, ConvLayer | PredictLayer)
                assert fresh.conv.bias is not None
                weight, bias = trained.folded_weights()
                fresh.to(device=weight.device)
                fresh.conv.weight.copy_(weight)
                fresh.conv.bias.copy_(bias)
    deployed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return deployed.eval().requires_grad_(False)


def _module(op: Op, channels: list[int]) -> nn.Module | None:
    """The module of an op that has weights or constants; None for one that is a plain function."""
    match op:
        case Conv():
            return ConvLayer(op, channels[0])
        case RepConv():
            return RepConvLayer(op, channels[0])
        case Predict():
            return PredictLayer(op, channels[0])
        case Detect(levels):
            return DetectLayer(op) if isinstance(levels[0], Predict) else PointDetectLayer(op)
        case _:
            return None


def _start(graph: Graph, modules: dict[str, nn.Module]) -> None:
    """Fresh weights of heads without anchors, as the released models start; other layers start by themselves."""
    for name, level in graph.levels.items():
        layer = next(layer for layer in graph.layers if layer.name == name)
        predictions: Any = [modules.get(source) for source in layer.inputs]
        match level:
            case AnchorFree():
                start_anchor_free(predictions)
            case Distribution():
                attention: Any = [modules[f"{name}.{branch}.attention"] for branch in ("cls", "box")]
                start_distribution(predictions, attention)


def level_map(parts: list[Tensor]) -> Tensor:
    """(B, C_i, H, W) of each prediction to the raw map (B, 1, H, W, sum of C_i)."""
    return torch.cat(parts, 1).permute(0, 2, 3, 1).unsqueeze(1)


def space_to_depth(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4C, H / 2, W / 2), parts in the order (row, column) = 00, 10, 01, 11."""
    return torch.cat([x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)], 1)


def group_concat(parts: list[Tensor], groups: int) -> Tensor:
    """(B, C_i, H, W) of each part to (B, sum of C_i, H, W): every part's first group, then every part's second, …"""
    chunks = [part.chunk(groups, 1) for part in parts]
    return torch.cat([chunk[group] for group in range(groups) for chunk in chunks], 1)


def take_group(x: Tensor, index: int, groups: int) -> Tensor:
    """(B, C, H, W) to (B, C / groups, H, W): the channels of one group, a view."""
    return x.chunk(groups, 1)[index]


def _assemble(architecture: Architecture, graph: Graph, modules: dict[str, nn.Module]) -> fx.GraphModule:
    program = fx.Graph()
    values: dict[str, fx.Node] = {}
    for layer in graph.layers:
        values[layer.name] = _call(program, layer, [values[name] for name in layer.inputs], layer.name in modules)
        values[layer.name].meta["layer"] = layer.name
    output: Any
    if graph.decoded:
        output = values[graph.decoded]
    else:
        output = {"lead": [values[name] for name in graph.lead], "aux": [values[name] for name in graph.aux]}
    program.output(output)
    model = fx.GraphModule(modules, program, class_name="Detector")
    model.meta["architecture"] = architecture
    return model


def _call(program: fx.Graph, layer: Layer, inputs: list[fx.Node], has_module: bool) -> fx.Node:
    if has_module:
        return program.call_module(layer.name, tuple(inputs))
    match layer.op:
        case Image():
            return program.placeholder("images")
        case MaxPool(kernel, stride):
            padding = kernel // 2 if stride == 1 else 0
            return program.call_function(F.max_pool2d, (inputs[0], kernel, stride, padding))
        case Upsample(factor):
            return program.call_function(
                F.interpolate, (inputs[0],), {"scale_factor": float(factor), "mode": "nearest"}
            )
        case SpaceToDepth():
            return program.call_function(space_to_depth, (inputs[0],))
        case Concat():
            return program.call_function(torch.cat, (inputs, 1))
        case GroupConcat(groups):
            return program.call_function(group_concat, (inputs, groups))
        case TakeGroup(index, groups):
            return program.call_function(take_group, (inputs[0], index, groups))
        case ChannelShuffle(groups):
            return program.call_function(F.channel_shuffle, (inputs[0], groups))
        case AnchorFree() | Distribution():
            return program.call_function(level_map, (inputs,))
        case GlobalPool():
            return program.call_function(torch.mean, (inputs[0], (2, 3), True))
        case Gate():
            return program.call_function(mul, (inputs[0], inputs[1]))
        case Add():
            joined = inputs[0]
            for value in inputs[1:]:
                joined = program.call_function(add, (joined, value))
            return joined
        case _:
            raise TypeError(f"{layer.name}: {layer.op} has no torch form")
