"""Gradient paths: closed forms of the paper's blocks, and every path of small graphs walked one by one."""

from collections.abc import Iterator

import catscale
import pytest
from catscale.blocks.convs import ConvNode, RepConvNode
from catscale.blocks.csp import CspA
from catscale.blocks.elan import Elan
from catscale.blocks.graph import Graph, Layer
from catscale.blocks.ops import Add, Conv, Image, MaxPool, RepConv
from catscale.blocks.residual import DarkBlock
from catscale.blocks.roles import Block
from catscale.scaler.architecture import Architecture, Node
from catscale.scaler.paths import PathLengths, paths_of_blocks, paths_to_image
from hypothesis import given, settings
from hypothesis import strategies as st

counts = st.integers(1, 5)


def detector(*blocks: Block) -> Architecture:
    """Blocks one after another on a strided stem, and a head on the last."""
    nodes = [Node("stem", ConvNode(16, 3, 2), ("image",))]
    for index, block in enumerate(blocks, 1):
        nodes.append(Node(f"block{index}", block, (nodes[-1].name,)))
    return Architecture("small", 64, tuple(nodes), (nodes[-1].name,), (((8.0, 8.0),),), classes=1)


@settings(max_examples=30, deadline=None)
@given(taps=counts, convs=counts, groups=st.integers(1, 3))
def test_elan_and_e_elan_have_the_same_paths(taps: int, convs: int, groups: int) -> None:
    """Shortest: bypass and out. Longest: stem, all convs, out. E-ELAN leaves both (section 3.1 of the paper)."""
    architecture = detector(Elan(8, taps, convs, 16, groups=groups))
    assert paths_of_blocks(architecture.graph())["block1"] == PathLengths(2, 1 + taps * convs + 1)


@settings(max_examples=30, deadline=None)
@given(depths=st.lists(counts, min_size=1, max_size=5))
def test_paths_of_blocks_in_a_chain_add_up_to_the_whole(depths: list[int]) -> None:
    graph = detector(*(Elan(8, taps, 2, 16) for taps in depths)).graph()
    (head,) = graph.lead
    whole = PathLengths(1 + 2 * len(depths) + 1, 1 + sum(2 + 2 * taps for taps in depths) + 1)
    assert paths_to_image(graph)[head] == whole


@pytest.mark.parametrize(
    ("block", "shortest", "longest"),
    [
        (RepConvNode(16), 0, 1),  # its identity branch passes no convolution
        (RepConvNode(16, identity=False), 1, 1),
        (RepConvNode(24), 1, 1),  # no identity between different widths
        (DarkBlock(16), 0, 2),  # residual
        (DarkBlock(32), 2, 2),
        (CspA(16, 3), 2, 2 + 2 * 3),  # residual chain: as short as the bypass
    ],
)
def test_identities_and_residuals_shorten_a_path(block: Block, shortest: int, longest: int) -> None:
    assert paths_of_blocks(detector(block).graph())["block1"] == PathLengths(shortest, longest)


def test_a_folded_rep_conv_has_no_identity_any_more() -> None:
    assert paths_of_blocks(detector(RepConvNode(16)).graph("deploy"))["block1"] == PathLengths(1, 1)


def test_depth_scaling_leaves_the_shortest_path_of_a_block() -> None:
    base = catscale.load("yolov7-w6")
    deeper = paths_of_blocks(base.scale(compound=2).graph())
    for name, lengths in paths_of_blocks(base.graph()).items():
        if name.rpartition(".")[2].startswith("elan"):
            assert lengths == PathLengths(2, 6)
            assert deeper[name] == PathLengths(2, 10)


def test_a_block_whose_joint_was_merged_into_a_later_one_ends_in_its_parts() -> None:
    """YOLOv7's transition: pool and 1x1 conv beside two convs, joined only by the node after it."""
    architecture = catscale.load("yolov7")
    assert not any(layer.name == "neck.p4.down.concat" for layer in architecture.graph().layers)
    assert paths_of_blocks(architecture.graph())["neck.p4.down"] == PathLengths(1, 2)
    assert paths_of_blocks(architecture.graph())["neck.p4.join"] == PathLengths(0, 0)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Small graphs: each layer reads one or two before it; blocks are runs of layers."""
    layers = [Layer("image", Image(8, channels=4), (), "image")]
    block = 0
    for index in range(draw(st.integers(1, 9))):
        names = st.sampled_from([layer.name for layer in layers])
        op = draw(st.sampled_from([Conv(4, 3), RepConv(4), RepConv(4, identity=False), MaxPool(3), Add()]))
        inputs = (draw(names), draw(names)) if op == Add() else (draw(names),)
        block += draw(st.booleans())
        layers.append(Layer(f"layer{index}", op, inputs, f"block{block}"))
    return Graph(tuple(layers), (layers[-1].name,))


def walks(graph: Graph, name: str, *, within: str | None) -> Iterator[int]:
    """Convolutions on each path from a layer back to the image, or out of the block `within`; one by one."""
    layer = next(layer for layer in graph.layers if layer.name == name)
    if within not in (None, layer.node) or not layer.inputs:
        yield 0
        return
    steps = {Conv: [1], RepConv: [1], MaxPool: [0], Add: [0]}[type(layer.op)]
    if layer.op == RepConv(4):
        steps = [0, 1]
    for source in layer.inputs:
        for before in walks(graph, source, within=within):
            yield from (before + step for step in steps)


@settings(max_examples=100, deadline=None)
@given(graph=graphs())
def test_the_shortest_and_longest_of_all_paths(graph: Graph) -> None:
    found = paths_to_image(graph)
    for layer in graph.layers:
        lengths = list(walks(graph, layer.name, within=None))
        assert found[layer.name] == PathLengths(min(lengths), max(lengths))
    blocks = paths_of_blocks(graph)
    for block in {layer.node for layer in graph.layers if layer.inputs}:
        own = [layer for layer in graph.layers if layer.node == block]
        ends = {layer.name for layer in own} - {name for layer in own for name in layer.inputs}
        lengths = [length for end in ends for length in walks(graph, end, within=block)]
        assert blocks[block] == PathLengths(min(lengths), max(lengths))
