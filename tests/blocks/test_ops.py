"""Each primitive's rules of shape and cost agree with its torch module, for any widths, kernels, strides and groups."""

from typing import Any

import pytest
import torch
from catscale.blocks.levels import AnchorFree, Detect, Distribution, Predict
from catscale.blocks.measures import Cost, Shape, ShapeError
from catscale.blocks.modules import ConvLayer, PredictLayer, RepConvLayer
from catscale.blocks.ops import (
    Add,
    ChannelShuffle,
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
from catscale.blocks.point_boxes import PointDetectLayer
from catscale.scaler.build import group_concat, level_map, space_to_depth, take_group
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

sides = st.integers(4, 17)
widths = st.integers(1, 24)


def counted(module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, int, int, int]:
    """Run a module; count its conv multiply-accumulates, conv outputs and batch-norm outputs from the tensors."""
    macs = activations = normed = 0

    def conv_hook(conv: nn.Module, _: object, y: torch.Tensor) -> None:
        nonlocal macs, activations
        assert isinstance(conv, nn.Conv2d)
        macs += conv.weight[0].numel() * y.numel()
        activations += y.numel()

    def norm_hook(_: nn.Module, __: object, y: torch.Tensor) -> None:
        nonlocal normed
        normed += y.numel()

    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(conv_hook)
        elif isinstance(part, nn.BatchNorm2d):
            part.register_forward_hook(norm_hook)
    with torch.no_grad():
        y = module.eval()(x)
    return y, macs, activations, normed


def agree(op: Op, module: nn.Module, x: Shape) -> None:
    y, macs, activations, normed = counted(module, torch.rand(1, x.channels, x.height, x.width))
    cost = op.cost(x)
    assert tuple(y.shape[1:]) == (op.shape(x).channels, op.shape(x).height, op.shape(x).width)
    assert cost.params == sum(parameter.numel() for parameter in module.parameters())
    assert (cost.macs, cost.activations, cost.normed) == (macs, activations, normed)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 4),
    inside=st.integers(1, 6),
    outside=st.integers(1, 6),
    kernel=st.sampled_from([1, 2, 3, 4, 5, 6]),
    stride=st.integers(1, 3),
    norm=st.booleans(),
    act=st.sampled_from(["silu", "leaky_relu", "mish", "sigmoid", "hard_sigmoid", None]),
    height=sides,
    width=sides,
)
def test_conv(
    groups: int, inside: int, outside: int, kernel: int, stride: int, norm: bool, act: Any, height: int, width: int
) -> None:
    op = Conv(groups * outside, kernel, stride, groups, act, norm)
    agree(op, ConvLayer(op, groups * inside), Shape(groups * inside, height, width))


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 3),
    inside=st.integers(1, 5),
    outside=st.integers(1, 5),
    stride=st.integers(1, 2),
    identity=st.booleans(),
    side=sides,
)
def test_rep_conv(groups: int, inside: int, outside: int, stride: int, identity: bool, side: int) -> None:
    op = RepConv(groups * outside, stride, groups, "silu", identity)
    agree(op, RepConvLayer(op, groups * inside), Shape(groups * inside, side, side))


@settings(max_examples=40, deadline=None)
@given(classes=st.integers(1, 9), anchors=st.integers(1, 4), channels=widths, side=sides, implicit=st.booleans())
def test_predict(classes: int, anchors: int, channels: int, side: int, implicit: bool) -> None:
    op = Predict(((8.0, 8.0),) * anchors, classes, 8, implicit)
    module = PredictLayer(op, channels)
    x = Shape(channels, side, side)
    y, macs, activations, _ = counted(module, torch.rand(1, channels, side, side))
    cost = op.cost(x)
    assert y.shape == (1, anchors, side, side, 5 + classes)
    assert op.shape(x).elements == y.numel()
    assert cost.params == sum(parameter.numel() for parameter in module.parameters())
    assert (cost.macs, cost.activations, cost.biases) == (macs, activations, activations)


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, channels=widths, kernel=st.sampled_from([2, 3]), stride=st.sampled_from([2, 3]))
def test_pools_move_features_for_nothing(height: int, width: int, channels: int, kernel: int, stride: int) -> None:
    x = Shape(channels, height, width)
    y = nn.functional.max_pool2d(torch.zeros(1, channels, height, width), kernel, stride)
    shape = MaxPool(kernel, stride).shape(x)
    assert (shape.channels, shape.height, shape.width) == tuple(y.shape[1:])
    assert MaxPool(5).shape(x) == x
    assert Upsample().shape(x) == Shape(channels, 2 * height, 2 * width)
    for op in (MaxPool(kernel, stride), Upsample(), Concat(), Add(), SpaceToDepth()):
        assert op.cost(x).params == op.cost(x).macs == op.cost(x).activations == 0


@pytest.mark.parametrize("kernel", [2, 4, 6])
def test_an_even_kernel_halves_an_even_side(kernel: int) -> None:
    assert Conv(8, kernel, 2).shape(Shape(3, 64, 64)) == Shape(8, 32, 32)


@settings(max_examples=20, deadline=None)
@given(height=sides, width=sides, channels=widths)
def test_a_gate_multiplies_each_channel_by_a_number_of_its_mean(height: int, width: int, channels: int) -> None:
    x = Shape(channels, height, width)
    mean = GlobalPool().shape(x)
    assert mean == Shape(channels, 1, 1)
    assert Gate().shape(x, mean) == x
    assert GlobalPool().cost(x) == Gate().cost(x, mean) == Cost()
    with pytest.raises(ShapeError, match="a number for each channel is needed"):
        Gate().shape(x, Shape(channels + 1, 1, 1))


@settings(max_examples=20, deadline=None)
@given(classes=st.integers(1, 9), bins=st.integers(2, 17), side=sides, batch=st.integers(1, 2))
def test_maps_of_heads_without_anchors_have_one_box_a_cell(classes: int, bins: int, side: int, batch: int) -> None:
    for op, parts in (
        (AnchorFree(classes, 8), (4, 1, classes)),
        (Distribution(classes, 8, bins), (4 * bins, classes)),
    ):
        maps = [torch.rand(batch, channels, side, side) for channels in parts]
        shapes = [Shape(channels, side, side) for channels in parts]
        raw = level_map(maps)
        assert raw.shape == (batch, 1, side, side, sum(parts))
        assert op.shape(*shapes) == Shape(sum(parts), side, side)
        decoded = Detect((op,))
        boxes = PointDetectLayer(decoded)(raw)
        shape = decoded.shape(op.shape(*shapes))
        assert boxes.shape == (batch, shape.channels, shape.width) == (batch, side * side, 5 + classes)
        if parts == parts[::-1]:
            continue  # swapped, they are the same
        with pytest.raises(ShapeError, match=r"predictions of .* channels are wanted"):
            op.shape(*shapes[1:], shapes[0])


def test_space_to_depth_orders_its_parts_by_column_then_row() -> None:
    """(row, column) = 00, 10, 01, 11: the models as released."""
    x = torch.arange(4.0).reshape(1, 1, 2, 2)  # 0 1 / 2 3
    assert space_to_depth(x).flatten().tolist() == [0, 2, 1, 3]
    assert SpaceToDepth().shape(Shape(3, 8, 6)) == Shape(12, 4, 3)


def test_space_to_depth_and_a_3x3_kernel_are_one_6x6_kernel_of_stride_2() -> None:
    """YOLOX's stem ("Focus") and YOLOv5's."""
    random = torch.Generator().manual_seed(0)
    six = ConvLayer(Conv(4, 6, 2, act=None, norm=False), 3)
    three = ConvLayer(Conv(4, 3, act=None, norm=False), 12)
    with torch.no_grad():
        kernel = torch.randn(4, 3, 6, 6, generator=random)
        six.conv.weight.copy_(kernel)
        three.conv.weight.copy_(space_to_depth(kernel))
        assert six.conv.bias is not None
        assert three.conv.bias is not None
        three.conv.bias.copy_(six.conv.bias)
        x = torch.randn(1, 3, 16, 24, generator=random)
        torch.testing.assert_close(three(space_to_depth(x)), six(x))


def test_features_are_sorted_by_group() -> None:
    """Two groups of two features a0 a1 | a2 a3 and b0 | b1: the first halves of both, then the second halves."""
    a, b = torch.tensor([0.0, 1, 2, 3]).reshape(1, 4, 1, 1), torch.tensor([10.0, 11]).reshape(1, 2, 1, 1)
    joined = group_concat([a, b], 2)
    assert joined.flatten().tolist() == [0, 1, 10, 2, 3, 11]
    assert GroupConcat(2).shape(Shape(4, 1, 1), Shape(2, 1, 1)) == Shape(6, 1, 1)
    assert [take_group(joined, index, 2).flatten().tolist() for index in (0, 1)] == [[0, 1, 10], [2, 3, 11]]
    assert TakeGroup(1, 2).shape(Shape(6, 1, 1)) == Shape(3, 1, 1)


def test_a_channel_shuffle_deals_channels_out_in_turns() -> None:
    """ShuffleNet: reshape to (groups, channels in each), transpose, flatten."""
    shuffled = nn.functional.channel_shuffle(torch.arange(6.0).reshape(1, 6, 1, 1), 2)
    assert shuffled.flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert ChannelShuffle(2).shape(Shape(6, 1, 1)) == Shape(6, 1, 1)


def test_detect_has_a_row_for_each_anchor_of_each_cell() -> None:
    levels = tuple(Predict(((1.0, 1.0),) * 3, 80, stride) for stride in (8, 16, 32))
    maps = [Shape(255, 640 // stride, 640 // stride) for stride in (8, 16, 32)]
    assert Detect(levels).shape(*maps) == Shape(25_200, 1, 85)


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (Concat(), (Shape(1, 4, 4), Shape(1, 2, 2)), "maps of different sizes: 1x4x4, 1x2x2"),
        (Add(), (Shape(1, 4, 4), Shape(2, 4, 4)), "maps of different shapes"),
        (SpaceToDepth(), (Shape(3, 5, 4),), "use an even size"),
        (Conv(6, groups=4), (Shape(8, 4, 4),), "8 channels in and 6 out cannot be split into 4 groups"),
        (GroupConcat(2), (Shape(4, 4, 4), Shape(3, 4, 4)), "3 channels cannot be split into 2 groups"),
        (TakeGroup(0, 3), (Shape(4, 4, 4),), "4 channels cannot be split into 3 groups"),
        (ChannelShuffle(2), (Shape(5, 4, 4),), "5 channels cannot be split into 2 groups"),
        (MaxPool(2, 2), (Shape(1, 1, 4),), "a 1x4 map is smaller than the pool's 2x2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(op: Op, shapes: tuple[Shape, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.shape(*shapes)
