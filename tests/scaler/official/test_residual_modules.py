"""Modules of residual units, stems and repeated rows: read, written, scaled, and computed as the facts have it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
import yaml
from catscale.blocks.csp import CspA, CspB
from catscale.blocks.errors import InputError
from catscale.blocks.residual import Chain, DarkBlock, ResBlock
from catscale.blocks.roles import Block
from catscale.blocks.stems import StemBlock
from catscale.scaler.architecture import Architecture
from catscale.scaler.official.checkpoints import from_official, to_official
from catscale.scaler.official.importing import import_document
from catscale.scaler.official.text import official_yaml

# A row `number, module, args` after one of 128 channels, and the block that it is.
MODULES: dict[str, tuple[str, Block]] = {
    "a unit alone": ("1, Res, [128]", ResBlock(128)),
    "a unit of groups alone": ("1, ResX, [128]", ResBlock(128, groups=32)),
    "without a sum, as widths differ": ("1, Res, [64]", ResBlock(64)),
    "Res A": ("2, ResCSPA, [64]", CspA(64, 2, unit="res")),
    "Res B": ("2, ResCSPB, [64]", CspB(64, 2, residual=True, unit="res")),
    "Res C": ("3, ResCSPC, [64]", CspA(64, 3, tail=True, unit="res")),
    "ResX A": ("2, ResXCSPA, [128]", CspA(128, 2, unit="resx")),
    "ResX B": ("1, ResXCSPB, [64]", CspB(64, 1, residual=True, unit="resx")),
    "ResX C": ("1, ResXCSPC, [64]", CspA(64, 1, tail=True, unit="resx")),
    "dark units in a row": ("4, Bottleneck, [128]", Chain(128, 4)),
    "the first of them narrows": ("3, Bottleneck, [64]", Chain(64, 3)),
    "without sums": ("2, Bottleneck, [128, False]", Chain(128, 2, residual=False)),
    "units in a row": ("2, Res, [128]", Chain(128, 2, "res")),
    "units of groups in a row": ("2, ResX, [128]", Chain(128, 2, "resx")),
}
AROUND = """\
nc: 3
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[10, 13, 16, 30, 33, 23]]
backbone:
  - [-1, 1, Stem, [128]]
  - [-1, ROW]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - [[2], 1, Detect, [nc, anchors]]
"""


def load(text: str, folder: Path) -> Architecture:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return catscale.load(path)


@pytest.mark.parametrize("case", MODULES)
def test_a_row_is_a_block_and_goes_back_out_as_the_same_row(case: str, tmp_path: Path, read_by_rows: Any) -> None:
    row, block = MODULES[case]
    text = AROUND.replace("ROW", row)
    architecture = load(text, tmp_path)
    assert [node.block for node in architecture.nodes][:2] == [StemBlock(128), block]
    exported = official_yaml(architecture)
    written, given = (yaml.safe_load(each) for each in (exported, text))
    rows = [each["backbone"] + each["head"] for each in (written, given)]
    assert rows[0][:2] == rows[1][:2]
    assert load(exported, tmp_path).fingerprint == architecture.fingerprint
    assert read_by_rows(text).params == read_by_rows(exported).params == architecture.cost().params_train


@pytest.mark.parametrize("case", MODULES)
def test_forward_equals_the_facts_to_the_bit_and_goes_back_out(case: str, tmp_path: Path, read_by_rows: Any) -> None:
    text = AROUND.replace("ROW", MODULES[case][0])
    imported = import_document(yaml.safe_load(text), "model.yaml", "model")
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    read = read_by_rows(text, x)
    ours = catscale.build(imported.architecture)
    ours.load_state_dict(from_official(read.weights, imported.architecture, imported.slots))
    with torch.no_grad():
        assert torch.equal(ours.eval()(x)["lead"][0], read.outputs[0])
    back = to_official(ours)
    assert back.keys() == read.weights.keys()
    assert all(torch.equal(back[key], value) for key, value in read.weights.items())


def test_keys_of_the_parts(read_by_rows: Any) -> None:
    """Facts: a repeated row has its number's place in between, a CSP module `m`; the tail of a C is its third conv."""

    def keys(row: str) -> list[str]:
        weights = read_by_rows(AROUND.replace("ROW", row)).weights
        imported = import_document(yaml.safe_load(AROUND.replace("ROW", row)), "model.yaml", "model")
        found = to_official(catscale.build(imported.architecture))
        assert found.keys() == weights.keys()
        end = ".conv.weight"
        return sorted(key[8:].removesuffix(end) for key in found if key.startswith("model.1.") and key.endswith(end))

    assert keys("2, Bottleneck, [128]") == ["0.cv1", "0.cv2", "1.cv1", "1.cv2"]
    assert keys("1, Res, [128]") == ["cv1", "cv2", "cv3"]
    assert keys("1, ResCSPC, [64]") == ["cv1", "cv2", "cv3", "cv4", "m.0.cv1", "m.0.cv2", "m.0.cv3"]


def test_a_stem_in_a_row_stands_several_times(tmp_path: Path, read_by_rows: Any) -> None:
    text = AROUND.replace("1, Stem, [128]", "2, Stem, [64]").replace("ROW", "1, Res, [64]")
    architecture = load(text, tmp_path)
    assert [node.block for node in architecture.nodes][:2] == [StemBlock(64), StemBlock(64)]
    assert architecture.strides == (32,)
    assert read_by_rows(text).params == architecture.cost().params_train


DARKNET = """\
nc: 3
depth_multiple: 1.0
width_multiple: 1.0
anchors:
  - [10, 13, 16, 30, 33, 23]
  - [30, 61, 62, 45, 59, 119]
backbone:
  - [-1, 1, Conv, [16, 3, 1]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Bottleneck, [32]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 4, Bottleneck, [64]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 2, Bottleneck, [128]]
head:
  - [-1, 1, Bottleneck, [128, False]]
  - [-1, 1, Conv, [64, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 4], 1, Concat, [1]]
  - [-1, 2, Bottleneck, [64, False]]
  - [[11, 7], 1, Detect, [nc, anchors]]
"""


def multiplied(depth: float) -> str:
    return DARKNET.replace("depth_multiple: 1.0", f"depth_multiple: {depth}")


@pytest.mark.parametrize("factor", [0.5, 1.5, 2])
@pytest.mark.parametrize("scaling", ["depth", "compound"])
def test_scaling_repeats_rows_as_the_official_multiple_does(
    scaling: str, factor: float, tmp_path: Path, read_by_rows: Any
) -> None:
    """Nothing is concatenated over the chain, so that compound scaling widens nothing; a single row stays single."""
    scaled = load(DARKNET, tmp_path).scale(**{scaling: factor})
    assert scaled.fingerprint == load(multiplied(factor), tmp_path).fingerprint
    read = read_by_rows(official_yaml(scaled))
    assert read.params == read_by_rows(multiplied(factor)).params == scaled.cost().params_train
    assert load(official_yaml(scaled), tmp_path).fingerprint == scaled.fingerprint


def test_names_say_the_places(tmp_path: Path) -> None:
    darknet = load(DARKNET, tmp_path)
    backbone = [node.name.removeprefix("backbone.") for node in darknet.nodes if node.name.startswith("backbone")]
    assert backbone[1:6] == ["p1.dark", "p2.down", "p2.chain", "p3.down", "p3.chain"]
    stem = load(AROUND.replace("ROW", "1, Res, [128]"), tmp_path)
    assert [node.name for node in stem.nodes] == ["stem.block", "backbone.p2.res", "backbone.p3.down"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1, ResX, [96]", r"row1: 48 channels in and 48 out cannot be split into 32 groups"),
        ("1, ResXCSPA, [32]", r"row1: 16 channels in and 16 out cannot be split into 32 groups"),
        ("1, Res, [128, False]", r"row 1 \(Res\): args: \[128, False\] are not supported"),
        ("1, RepBottleneck, [128]", r"row 1 \(RepBottleneck\): unknown module 'RepBottleneck'; did you mean"),
    ],
)
def test_what_cannot_be_read_is_refused(row: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        load(AROUND.replace("ROW", row), tmp_path)


def test_units_that_no_module_has_are_written_layer_by_layer(tmp_path: Path, read_by_rows: Any) -> None:
    rows = {
        ResBlock(128, residual=False): ["Conv"] * 3,
        ResBlock(128, groups=4): ["Conv"] * 3 + ["Shortcut"],
        Chain(128, 2, reversed=True): (["Conv"] * 2 + ["Shortcut"]) * 2,
        Chain(128, 2, "res", residual=False): ["Conv"] * 6,
        CspB(64, 1, unit="res"): [*["Conv"] * 5, "Concat", "Conv"],
        Chain(128, 1, "res"): ["Res"],
        Chain(128, 1, residual=False): ["Bottleneck"],
        DarkBlock(128): ["Bottleneck"],
    }
    before = load(AROUND.replace("ROW", "1, Res, [128]"), tmp_path)
    for block, tokens in rows.items():
        first, node, *rest = before.nodes
        changed = before.replace(nodes=(first, replace(node, block=block), *rest))
        read = read_by_rows(official_yaml(changed))
        assert read.tokens[1:-2] == tokens
        assert read.params == changed.cost().params_train
        assert load(official_yaml(changed), tmp_path).fingerprint == changed.fingerprint


def test_every_kind_of_row_is_a_step_deeper_at_twice_the_depth(tmp_path: Path) -> None:
    for row in ("2, ResCSPA, [64]", "2, ResXCSPB, [64]", "2, Res, [128]", "2, Bottleneck, [128, False]"):
        base = load(AROUND.replace("ROW", row), tmp_path)
        params = [base.scale(depth=factor).cost().params for factor in (1, 2, 3, 4)]
        gains = {after - before for before, after in pairwise(params)}
        assert len(gains) == 1
        assert gains.pop() > 0
