"""Receptive fields: figures published for classifiers, and the gradient of the built model, cell by cell."""

import catscale
import pytest
import torch
import torch.nn.functional as F
from catscale.blocks.convs import ConvNode, RepConvNode
from catscale.blocks.elan import Elan
from catscale.blocks.graph import Graph, Layer
from catscale.blocks.ops import Conv, Image, MaxPool, SpaceToDepth, Upsample
from catscale.blocks.plain import ReOrg
from catscale.blocks.pyramid import SppTiny, TopDown
from catscale.blocks.transitions import PoolConv
from catscale.scaler.architecture import Architecture, Node
from catscale.scaler.build import space_to_depth
from catscale.scaler.receptive_field import receptive_field
from hypothesis import given, settings
from hypothesis import strategies as st

VGG16 = [*[(3, 1)] * 2, (2, 2), *[(3, 1)] * 2, (2, 2)] + [*[(3, 1)] * 3, (2, 2)] * 3
ALEXNET = [(11, 4), (3, 2), (5, 1), (3, 2), *[(3, 1)] * 3, (3, 2)]
MOBILENET = [(3, stride) for stride in (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)]


def chain(*ops: Conv | Upsample) -> Graph:
    layers = [Layer("image", Image(64), (), "image")]
    for index, op in enumerate(ops):
        layers.append(Layer(f"layer{index}", op, (layers[-1].name,), "chain"))
    return Graph(tuple(layers), (layers[-1].name,))


@pytest.mark.parametrize(
    ("windows", "size"), [(VGG16, 212), (ALEXNET, 195), (MOBILENET, 315)], ids=["vgg-16", "alexnet", "mobilenet"]
)
def test_the_published_field(windows: list[tuple[int, int]], size: int) -> None:
    """Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, the table."""
    graph = chain(*(Conv(8, kernel, stride) for kernel, stride in windows))
    field = receptive_field(graph, graph.lead[0])
    assert (field.size, field.stride) == (size, 32)


def test_an_up_sampled_cell_sees_what_the_coarse_one_does() -> None:
    coarse = [Conv(8, 3, 2), Conv(8, 3, 2)]  # 7 pixels, 4 apart
    assert receptive_field(chain(*coarse), "layer1").size == 7
    field = receptive_field(chain(*coarse, Upsample()), "layer2")
    assert (field.size, field.stride) == (7, 2)
    assert receptive_field(chain(*coarse, Upsample(), Conv(8, 3)), "layer3").size == 7 + 4
    even = receptive_field(chain(*coarse, Upsample(), Conv(8, 2)), "layer3")  # two cells of one or of two coarse ones
    assert even.size == 7 + 4


def reached(y: torch.Tensor, x: torch.Tensor, cell: int) -> tuple[int, int]:
    """The first and the last row of `x` (B, C, H, W) that a row of `y` has a gradient to."""
    (gradient,) = torch.autograd.grad(y[0, :, cell].sum(), x, retain_graph=True)
    (rows,) = gradient.abs().sum((0, 1, 3)).nonzero(as_tuple=True)
    return int(rows[0]), int(rows[-1])


@settings(max_examples=60, deadline=None)
@given(kernel=st.integers(1, 7), stride=st.integers(1, 4), factor=st.integers(1, 4), cell=st.integers(8, 11))
def test_a_window_is_what_the_op_reads(kernel: int, stride: int, factor: int, cell: int) -> None:
    """The very rows, for a cell away from borders; pools average, so that each cell of a window counts."""
    x = torch.ones(1, 2, 64, 64, requires_grad=True)
    weight = torch.ones(1, 2, kernel, kernel)
    convolved = F.conv2d(x, weight, stride=stride, padding=(kernel - 1) // 2)
    assert reached(convolved, x, cell) == Conv(1, kernel, stride).window.reads(cell, cell)
    pooled = F.avg_pool2d(x, kernel, stride, kernel // 2 if stride == 1 else 0)
    assert reached(pooled, x, cell) == MaxPool(kernel, stride).window.reads(cell, cell)
    enlarged = F.interpolate(x, scale_factor=float(factor), mode="nearest")
    assert reached(enlarged, x, cell) == Upsample(factor).window.reads(cell, cell)
    assert reached(space_to_depth(x), x, cell) == SpaceToDepth().window.reads(cell, cell)


def small_p5() -> Architecture:
    """Two levels with all that moves a window: strides, pools, a pyramid pooling, up-sampling, space to depth."""
    nodes = (
        Node("reorg", ReOrg(), ("image",)),
        Node("stem", ConvNode(8, 3), ("reorg",)),
        Node("p2.down", PoolConv(8), ("stem",)),
        Node("p2.elan", Elan(8, 1, 2, 8), ("p2.down",)),
        Node("p3.down", ConvNode(8, 3, 2), ("p2.elan",)),
        Node("p3.spp", SppTiny(8), ("p3.down",)),
        Node("p2.top_down", TopDown(8), ("p3.spp", "p2.elan")),
        Node("p2.head", RepConvNode(8), ("p2.top_down",)),
        Node("p3.head", ConvNode(8, 5), ("p3.spp",)),
    )
    return Architecture("small", 64, nodes, ("p2.head", "p3.head"), (((8.0, 8.0),), ((16.0, 16.0),)), classes=1)


def seen(architecture: Architecture, level: int, rows: int) -> set[int]:
    """How many rows of the image the cells in the middle of a level's map have a gradient to.

    All weights are positive, so that nothing cancels, and pools average, so that each of their cells counts.
    """
    model = catscale.build(architecture).double().eval()
    for node in model.graph.nodes:
        if node.target is F.max_pool2d:
            node.target = F.avg_pool2d
    model.recompile()
    for parameter in model.parameters():
        parameter.data.abs_()
    stride = architecture.strides[level]
    image = torch.ones(1, 3, rows, architecture.strides[-1], dtype=torch.float64, requires_grad=True)
    cells = model(image)["lead"][level][0, 0, :, 0].sum(-1)
    period = architecture.strides[-1] // stride
    extents = set()
    for cell in range(rows // stride // 2, rows // stride // 2 + period):
        first, last = reached(cells[None, None, :, None], image, cell)
        assert 0 < first < last < rows - 1
        extents.add(last - first + 1)
    return extents


@pytest.mark.parametrize(("level", "stride"), [(0, 4), (1, 8)])
def test_the_gradient_reaches_as_far(level: int, stride: int) -> None:
    architecture = small_p5()
    graph = architecture.graph()
    field = receptive_field(graph, graph.lead[level])
    assert field.stride == stride
    assert max(seen(architecture, level, rows=512)) == field.size


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_gradient_of_yolov7_tiny_reaches_as_far(level: int) -> None:
    architecture = catscale.load("yolov7-tiny").scale(width=0.125)
    graph = architecture.graph()
    assert max(seen(architecture, level, rows=2560)) == receptive_field(graph, graph.lead[level]).size


def test_width_does_not_change_a_field_and_depth_does() -> None:
    base = catscale.load("yolov7-w6")
    sizes = [
        receptive_field(architecture.graph(), architecture.graph().lead[0]).size
        for architecture in (base, base.scale(width=0.5), base.scale(depth=2))
    ]
    assert sizes[0] == sizes[1] < sizes[2]
