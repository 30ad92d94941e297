"""Bytes moved: ShuffleNetV2's closed form, the tensors of the built model, and what batch and dtype do to them."""

from math import isclose, sqrt
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.measures import Shape, Traffic
from catscale.blocks.ops import Add, Concat, Conv, Image, MaxPool, Op, SpaceToDepth, Upsample
from catscale.scaler.memory import memory
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx

widths, sides = st.integers(1, 300), st.integers(1, 100)


@given(inside=widths, outside=widths, height=sides, width=sides)
def test_a_1x1_conv_moves_what_shufflenet_v2_says(inside: int, outside: int, height: int, width: int) -> None:
    """h w (c1 + c2) + c1 c2 elements, least for given FLOPs where c1 = c2 (arXiv:1807.11164, G1); here with biases."""
    conv, x = Conv(outside, norm=False), Shape(inside, height, width)
    moved = conv.traffic(x)
    cells, biases = height * width, outside
    elements = moved.read + moved.params + moved.written - biases
    assert elements == cells * (inside + outside) + inside * outside
    macs = conv.cost(x).macs
    least = 2 * sqrt(cells * macs) + macs / cells
    assert elements >= least * (1 - 1e-12)
    assert isclose(elements, least, rel_tol=1e-12) == (inside == outside)


@given(groups=st.integers(1, 8), inside=st.integers(1, 40), outside=st.integers(1, 40), side=sides)
def test_groups_move_less_weights_and_the_same_maps(groups: int, inside: int, outside: int, side: int) -> None:
    """G2 of ShuffleNetV2: h w (c1 + c2) + c1 c2 / g."""
    moved = Conv(groups * outside, groups=groups, norm=False).traffic(Shape(groups * inside, side, side))
    assert moved.read + moved.written == side**2 * groups * (inside + outside)
    assert moved.params - groups * outside == groups * inside * outside


@pytest.mark.parametrize(
    ("op", "shapes", "moved"),
    [
        (Concat(), (Shape(3, 4, 4), Shape(5, 4, 4)), Traffic(read=128, written=128)),
        (Add(), (Shape(3, 4, 4), Shape(3, 4, 4)), Traffic(read=96, written=48)),
        (Upsample(), (Shape(3, 4, 4),), Traffic(read=48, written=192)),
        (MaxPool(2, 2), (Shape(3, 4, 4),), Traffic(read=48, written=12)),
        (SpaceToDepth(), (Shape(3, 4, 4),), Traffic(read=48, written=48)),
        (Image(64), (), Traffic()),
    ],
)
def test_an_op_without_weights_copies_unless_it_is_a_view(op: Op, shapes: tuple[Shape, ...], moved: Traffic) -> None:
    assert op.traffic(*shapes) == moved


class _Meter(fx.Interpreter):
    """Counts the elements of every tensor that goes into and comes out of each call."""

    moved = (0, 0, 0)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op in ("call_module", "call_function"):
            read = sum(self.env[source].numel() for source in n.all_input_nodes)
            params = self.module.get_submodule(str(n.target)).parameters() if n.op == "call_module" else ()
            found = (read, sum(parameter.numel() for parameter in params), result.numel())
            self.moved = tuple(a + b for a, b in zip(self.moved, found, strict=True))
        return result


@pytest.mark.parametrize("name", ["yolov7-tiny", "yolov7", "yolov7-e6e", "yolor-csp"])
def test_the_built_model_moves_as_many_elements(name: str) -> None:
    architecture = catscale.load(name).scale(width=0.125)
    batch, size = 2, 2 * architecture.strides[-1]
    meter = _Meter(catscale.build(architecture, "deploy").eval(), garbage_collect_values=False)
    with torch.no_grad():
        meter.run(torch.zeros(batch, 3, size, size))
    total = memory(architecture.cost(size), "int8", batch).total
    assert (total.read, total.params, total.written) == meter.moved
    assert total.bytes == sum(meter.moved)


@settings(max_examples=20)
@given(name=st.sampled_from(["yolov7", "yolov7-w6"]), batch=st.integers(1, 64))
def test_a_batch_moves_its_maps_and_reads_the_weights_once(name: str, batch: int) -> None:
    cost = catscale.load(name).cost()
    one, many = (memory(cost, "fp16", images).total for images in (1, batch))
    assert (many.read, many.written, many.flops) == (batch * one.read, batch * one.written, batch * one.flops)
    assert many.params == one.params == 2 * cost.params
    assert one.flops == cost.flops("paper")
    assert many.intensity >= one.intensity


def test_an_element_has_the_bytes_of_its_dtype() -> None:
    cost = catscale.load("yolov7-tiny").cost()
    fp32, tf32, fp16, bf16, int8 = (
        memory(cost, dtype).total.bytes for dtype in ("fp32", "tf32", "fp16", "bf16", "int8")
    )
    assert fp32 == tf32 == 2 * fp16 == 2 * bf16 == 4 * int8


def test_blocks_and_layers_add_up_to_the_whole() -> None:
    report = memory(catscale.load("yolov7-e6e").cost())
    assert sum(block.bytes for block in report.blocks.values()) == report.total.bytes
    assert sum(layer.bytes for layer in report.layers.values()) == report.total.bytes
    assert report.blocks["neck.p5.join"].flops == report.blocks["neck.p5.join"].intensity == 0
    assert report.blocks["image"].bytes == report.blocks["image"].intensity == 0


@pytest.mark.parametrize(
    ("dtype", "batch", "message"),
    [("fp61", 1, "no dtype is called 'fp61'; did you mean 'fp16'?"), ("fp16", 0, "a batch of 0 images")],
)
def test_what_cannot_be_counted_is_refused(dtype: str, batch: int, message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        memory(catscale.load("yolov7").cost(), dtype, batch)
