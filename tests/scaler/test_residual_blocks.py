"""Stems, residual blocks, chains and CSP blocks of any unit: closed forms, the built module, and what scales them."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.convs import ConvNode
from catscale.blocks.csp import CspA, CspB
from catscale.blocks.plain import Join
from catscale.blocks.residual import Chain, DarkBlock, ResBlock, UnitWord
from catscale.blocks.roles import Block
from catscale.blocks.stems import StemBlock
from catscale.scaler.architecture import Architecture, Node
from catscale.scaler.facts import Kind, node_parts
from catscale.scaler.raising import raised
from catscale.scaler.space_cost import SpaceCounter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from .written_out import ANCHORS, by_layer

UNIT_WORDS: tuple[UnitWord, ...] = ("dark", "dark_half", "res", "resx")


def detector(*blocks: Block, before: int = 64) -> Architecture:
    """Blocks one after another, between a strided conv and another, which the head reads."""
    chain = (ConvNode(before, 3, 2), *blocks, ConvNode(16, 3, 2))
    names = ["image", *(f"node{place}" for place in range(len(chain)))]
    nodes = tuple(Node(name, block, (source,)) for block, (source, name) in zip(chain, pairwise(names), strict=True))
    return Architecture("test", 64, nodes, (names[-1],), (ANCHORS,), classes=1)


def weights(block: Block, before: int = 64) -> int:
    """Weights of a block's convolutions, with a bias for each output channel."""
    layers = detector(block, before=before).cost().deploy
    return sum(layer.cost.params for layer in layers if layer.node == "node1")


def unit_weights(unit: UnitWord, width: int, inner: int) -> int:
    """The facts' wiring, with one bias a channel."""
    groups = 32 if unit == "resx" else 1
    if unit in ("dark", "dark_half"):
        return width * inner + 9 * inner * width + inner + width
    return 2 * width * inner + 9 * inner * inner // groups + 2 * inner + width


@pytest.mark.parametrize("unit", UNIT_WORDS)
@pytest.mark.parametrize(("width", "repeats"), [(64, 1), (128, 3)])
def test_weights_by_closed_form(unit: UnitWord, width: int, repeats: int) -> None:
    def conv(inputs: int, out: int) -> int:
        return inputs * out + out

    single: dict[UnitWord, Block] = dict.fromkeys(UNIT_WORDS, DarkBlock(width))
    single |= {"res": ResBlock(width), "resx": ResBlock(width, 32)}
    alone = unit_weights(unit, width, width // 2)
    assert weights(single[unit], before=width) == alone
    assert weights(Chain(width, repeats, unit), before=width) == repeats * alone

    inside = repeats * unit_weights(unit, width, width // 2 if unit in ("res", "dark_half") else width)
    branches = 2 * conv(64, width) + conv(2 * width, 2 * width)
    assert weights(CspA(2 * width, repeats, unit=unit)) == inside + branches
    assert weights(CspA(2 * width, repeats, tail=True, unit=unit)) == inside + branches + conv(width, width)
    shared = conv(64, width) + conv(width, width) + conv(2 * width, width)
    assert weights(CspB(width, repeats, unit=unit)) == inside + shared


@pytest.mark.parametrize("out", [8, 24, 64])
def test_weights_of_a_stem_by_closed_form(out: int) -> None:
    h = out // 2
    expected = (9 * 3 * h + h) + (h * h + h) + (9 * h * h + h) + (2 * h * out + out)
    stem = Node("stem", StemBlock(out), ("image",))
    architecture = Architecture("test", 64, (stem,), ("stem",), (ANCHORS,), classes=1)
    assert architecture.strides == (4,)
    assert sum(layer.cost.params for layer in architecture.cost().deploy if layer.node == "stem") == expected
    assert next(part.kind for part in node_parts(architecture) if part.name == "stem") is Kind.STEM


@st.composite
def blocks(draw: st.DrawFn, *, plain: bool = True) -> Block:
    """Any stem, residual block, chain or CSP block; `plain`: also those without sums."""
    width, repeats = 64 * draw(st.integers(1, 3)), draw(st.integers(1, 4))
    unit, residual = draw(st.sampled_from(UNIT_WORDS)), draw(st.booleans()) or not plain
    reverse = draw(st.booleans()) and unit in ("dark", "dark_half")
    match draw(st.sampled_from(["stem", "dark", "res", "chain", "a", "b"])):
        case "stem":
            return StemBlock(width)
        case "dark":
            return DarkBlock(width, reverse, residual)
        case "res":
            return ResBlock(width, draw(st.sampled_from([1, 2, 32])), residual)
        case "chain":
            return Chain(width, repeats + 1, unit, reverse, residual)
        case "a":
            width = 2 * width if unit == "resx" else width
            hidden = draw(st.sampled_from([None, 64] if width != 128 else [None]))  # half of 128 is none of its own
            return CspA(width, repeats, draw(st.booleans()), reverse, residual, hidden, unit)
        case _:
            return CspB(width, repeats, reverse, residual, None, unit)


@settings(max_examples=25, deadline=None)
@given(blocks())
def test_the_cost_is_that_of_the_built_module(block: Block) -> None:
    """Parameters of the modules; multiply-accumulates of the convolutions that torch runs, by their shapes."""
    architecture = detector(block)
    model = catscale.build(architecture).eval()
    cost = architecture.cost()
    assert sum(parameter.numel() for parameter in model.parameters()) == cost.params_train
    macs: list[int] = []

    def count(module: Any, _: Any, y: torch.Tensor) -> None:
        macs.append(module.weight[0].numel() * y.numel())

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64))
    assert sum(macs) == cost.macs


@settings(max_examples=50, deadline=None)
@given(blocks(plain=False), st.sampled_from([64, 128]))
@example(Chain(128, 2, "dark_half"), 128)
def test_a_block_written_out_by_layer_is_found_again(block: Block, before: int) -> None:
    """Where the first unit narrows or widens, it has no sum to be found by, and the others of its chain stand alone."""
    model = detector(block, before=before)
    again = raised(by_layer(model))
    assert again.fingerprint == model.fingerprint
    if getattr(block, "out", 0) == before or not isinstance(block, DarkBlock | ResBlock | Chain):
        found = again.nodes[1].block
        if isinstance(block, Chain) and block.unit == "dark_half":  # of a width that stays, the same layers as "dark"
            assert isinstance(found, Chain)
            assert found.unit in ("dark", "dark_half")
            found = replace(found, unit="dark_half")
        assert found == block


def test_chains_one_after_another_are_one() -> None:
    found = raised(by_layer(detector(Chain(64, 2), Chain(64, 3))))
    assert [node.block for node in found.nodes[1:-1]] == [Chain(64, 5)]


def test_a_sum_inside_a_chain_that_others_read_is_read_inside_the_block() -> None:
    first, chain, last = detector(Chain(64, 4)).nodes
    late = Node("late", ConvNode(16), ("node1.block2.sum",))
    join = Node("join", Join(), (chain.name, late.name))
    nodes = (first, chain, late, join, Node(last.name, last.block, (join.name,)))
    model = detector().replace(nodes=nodes, heads=(last.name,))
    found = raised(by_layer(model))
    assert found.fingerprint == model.fingerprint
    (block,) = [node for node in found.nodes if node.block == Chain(64, 4)]
    (reader,) = [node for node in found.nodes if node.block == ConvNode(16)]
    assert reader.inputs == (f"{block.name}.block2.sum",)


@settings(max_examples=20, deadline=None)
@given(blocks(), st.sampled_from([0.5, 1.5, 2, 0.375]), st.sampled_from([1, 2, 3]))
def test_counting_in_a_space_is_counting_alone(block: Block, width: float, depth: int) -> None:
    base = detector(block, Chain(64, 2), CspA(64, 2))
    scalings = {"depth": depth, "width": width, "resolution": 128}
    try:
        alone = base.scale(**scalings).cost()
    except catscale.InputError as error:
        with pytest.raises(catscale.InputError, match="32 groups" if "32 groups" in str(error) else "2 groups"):
            SpaceCounter(base).count(**scalings)
    else:
        counts = SpaceCounter(base).count(**scalings)
        assert (counts.params, counts.macs) == (alone.params, alone.macs)


FILE = """
size: 64
anchors: [[8, 8]]
nodes:
  stem.block: {stem_block: {out: 64}}
  stage.res: {res_block: {out: 64, groups: 32}}
  stage.chain: {chain: {out: 64, repeats: 2, unit: res}}
  stage.csp: {csp_a: {out: 64, repeats: 2, unit: UNIT, reversed: REVERSED}}
heads: [stage.csp]
"""


def read(unit: str, reverse: str, folder: Path) -> Architecture:
    path = folder / "file.yaml"
    path.write_text(FILE.replace("UNIT", unit).replace("REVERSED", reverse), encoding="utf-8")
    return catscale.load(path)


def test_a_file_with_the_words_comes_back(tmp_path: Path) -> None:
    architecture = read("res", "false", tmp_path)
    (tmp_path / "again.yaml").write_text(architecture.to_yaml(), encoding="utf-8")
    assert catscale.load(tmp_path / "again.yaml") == architecture
    assert "unit: res" in architecture.to_yaml()


def test_only_dark_units_are_reversed(tmp_path: Path) -> None:
    words = r"node stage\.csp: reversed: a resx unit has 1x1 convs on both sides; leave it out, or use unit: dark"
    with pytest.raises(catscale.InputError, match=words):
        read("resx", "true", tmp_path)
    with pytest.raises(catscale.InputError, match=r"unit: .*'dark', 'dark_half', 'res' or 'resx', not 'dense'"):
        read("dense", "false", tmp_path)


def test_turning_dark_blocks_leaves_other_units_alone(tmp_path: Path) -> None:
    turned = read("dark", "false", tmp_path).scale(dark="reversed")
    found = {node.name: getattr(node.block, "reversed", None) for node in turned.nodes}
    assert found == {"stem.block": None, "stage.res": None, "stage.chain": False, "stage.csp": True}
    chain = detector(Chain(64, 2)).scale(dark="reversed")
    assert chain.nodes[1].block == Chain(64, 2, reversed=True)
    with pytest.raises(catscale.ScaleError, match="it has no dark block there to turn"):
        read("res", "false", tmp_path).scale(dark="reversed")


def test_compound_scaling_deepens_chains_and_widens_nothing_where_nothing_is_concatenated() -> None:
    base = detector(Chain(64, 2), Chain(128, 4, "res"))
    assert base.scale(compound=1.5).nodes == base.scale(depth=1.5).nodes
    assert [node.block for node in base.scale(compound=1.5).nodes[1:3]] == [Chain(64, 3), Chain(128, 6, "res")]
    with pytest.raises(catscale.ScaleError, match="compound: no block of it has a depth to scale"):
        detector(DarkBlock(64), ResBlock(64)).scale(compound=2)
