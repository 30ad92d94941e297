"""Pyramid levels added and dropped: published four-level models from their first three, skeletons, and the way back."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import catscale
import pytest
import torch
from catscale.scaler.architecture import Architecture
from catscale.scaler.build import build
from catscale.scaler.reparam import RepPlace
from catscale.scaler.rewiring import by_rule
from hypothesis import given, settings
from hypothesis import strategies as st

from .written_out import by_layer

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]

# Parameters of the deploy graph (facts of the released models, 1.10).
PUBLISHED = {
    "yolov7-w6": 70_394_300,
    "yolov7-e6": 97_202_940,
    "yolov7-d6": 133_757_052,
    "yolov7-e6e": 151_687_420,
    "yolor-p6": 37_230_012,
    "yolor-w6": 79_824_444,
}
bases = st.sampled_from(["yolov7-tiny-silu", "yolov7", "yolov7-x-light", "yolov7-w6", "yolov7-e6e", "yolov4-csp"])


def sides(architecture: Architecture) -> list[list[float]]:
    return [[side for anchor in level for side in anchor] for level in architecture.anchors]


@pytest.mark.parametrize(("model", "params"), PUBLISHED.items())
def test_a_published_model_follows_from_its_first_three_levels(model: str, params: int) -> None:
    """Node by node, auxiliary heads too; its anchors are given, as they follow from no rule."""
    base = by_rule(catscale.load(model))
    three = base.scale(stages=3)
    assert three.strides == (8, 16, 32)
    assert not [node.name for node in three.nodes if "p6" in node.name]
    again = three.scale(stages=4, anchors=sides(base))
    assert again.replace(name=model) == base
    assert again.cost().params == params


@pytest.mark.parametrize("model", ["yolov7-w6", "yolov7-d6", "yolov7-e6e"])
def test_two_levels_are_enough_to_go_on_from(model: str) -> None:
    base = by_rule(catscale.load(model))
    assert base.scale(stages=2).scale(stages=4, anchors=sides(base)).replace(name=model) == base


THREE_LEVELS = """
size: 1280
anchors: [[19, 27, 44, 40, 38, 94], [96, 68, 86, 152, 180, 137], [140, 301, 303, 264, 238, 542]]
nodes:
  a1: {reorg: {}}
  a2: {conv: {out: 64, kernel: 3}}
  b2: {strided_conv: {out: 128}}
  c2: {elan: {width: 64, taps: 2, convs_per_tap: 2, out: 128}}
  b3: {strided_conv: {out: 256}}
  c3: {elan: {width: 128, taps: 2, convs_per_tap: 2, out: 256}}
  b4: {strided_conv: {out: 512}}
  c4: {elan: {width: 256, taps: 2, convs_per_tap: 2, out: 512}}
  b5: {strided_conv: {out: 768}}
  c5: {elan: {width: 384, taps: 2, convs_per_tap: 2, out: 768}}
  s5: {spp_cspc: {out: 384}}
  u4: {top_down: {out: 256}, from: [s5, c4]}
  t4: {elan: {width: 128, taps: 4, convs_per_tap: 1, out: 256, stem: 256}}
  u3: {top_down: {out: 128}, from: [t4, c3]}
  t3: {elan: {width: 64, taps: 4, convs_per_tap: 1, out: 128, stem: 128}}
  d4: {strided_conv: {out: 256}}
  j4: {join: {}, from: [d4, t4]}
  n4: {elan: {width: 128, taps: 4, convs_per_tap: 1, out: 256, stem: 256}}
  d5: {strided_conv: {out: 384}}
  j5: {join: {}, from: [d5, s5]}
  n5: {elan: {width: 192, taps: 4, convs_per_tap: 1, out: 384, stem: 384}}
  h3: {conv: {out: 256, kernel: 3}, from: t3}
  h4: {conv: {out: 512, kernel: 3}, from: n4}
  h5: {conv: {out: 768, kernel: 3}, from: n5}
  x3: {conv: {out: 256, kernel: 3}, from: t3}
  x4: {conv: {out: 512, kernel: 3}, from: t4}
  x5: {conv: {out: 768, kernel: 3}, from: s5}
heads: [h3, h4, h5]
aux: [x3, x4, x5]
"""


def test_w6_with_three_levels_has_the_skeleton_of_a_three_level_model(tmp_path: Path) -> None:
    """As YOLOv7 is put together (facts of the released models, 1.3), with W6's widths and transitions."""
    (tmp_path / "three.yaml").write_text(THREE_LEVELS, encoding="utf-8")
    written = catscale.load(tmp_path / "three.yaml")
    three = catscale.load("yolov7-w6").scale(stages=3)
    assert three.fingerprint == written.fingerprint
    assert written.scale(stages=4).fingerprint == three.scale(stages=4).fingerprint
    assert written.scale(stages=4).scale(stages=3).nodes == written.nodes  # nameless copies, gone again


@pytest.mark.parametrize("model", ["yolov7", "yolov7-x", "yolov7-tiny-silu"])
def test_a_three_level_model_with_a_fourth_has_w6_s_skeleton(model: str) -> None:
    """Every node after the stem, its inputs, and the heads: facts of the released models, 1.4."""
    four = catscale.load(model).scale(stages=4, aux="auto")
    w6 = catscale.load("yolov7-w6")

    def skeleton(architecture: Architecture) -> list[tuple[str, tuple[str, ...]]]:
        nodes = [(node.name, node.inputs) for node in architecture.nodes]
        return nodes[[name for name, _ in nodes].index("backbone.p3.down") :]

    assert skeleton(four) == skeleton(w6)
    assert (four.heads, four.aux, four.strides) == (w6.heads, w6.aux, (8, 16, 32, 64))


def test_widths_go_on_as_the_last_two_levels_did() -> None:
    """YOLOv7: its backbone stays at 1024, the neck goes from 256, 512 to 768, the heads from 512, 1024 to 1536."""
    blocks = {node.name: node.block for node in catscale.load("yolov7").scale(stages=4).nodes}
    wide = {name: getattr(blocks[name], "out") for name in blocks if hasattr(blocks[name], "out")}  # noqa: B009
    assert (wide["backbone.p6.down"], wide["backbone.p6.elan"]) == (1024, 1024)
    assert (wide["neck.p6.spp"], wide["neck.p6.down"], wide["neck.p6.elan2"]) == (768, 768, 768)
    assert (wide["neck.p5.top_down"], wide["neck.p5.elan1"], wide["neck.p5.elan2"]) == (512, 512, 512)
    assert (wide["head.p5"], wide["head.p6"]) == (1024, 1536)


def test_a_new_level_is_no_narrower_than_the_last() -> None:
    four = catscale.load("yolov7").scale(width={"backbone.p5": 0.25}).scale(stages=4)
    blocks = {node.name: node.block for node in four.nodes}
    assert blocks["backbone.p6.elan"] == blocks["backbone.p5.elan"]
    assert blocks["backbone.p6.elan"].out == 256  # type: ignore[attr-defined]


def test_what_was_rounded_up_is_rounded_down_on_the_way_back() -> None:
    """A pooling of 88 beside a neck of 32, 64: at 96, 88 x 96 / 64 = 132 becomes 136."""
    base = catscale.load("yolov7").scale(width=0.125)
    base = base.scale(width={"neck.p5.spp": 1.3}).replace(name="odd")
    four = base.scale(stages=4)
    assert [node.block.out for a in (base, four) for node in a.nodes if node.name.endswith("spp")] == [88, 136]  # type: ignore[attr-defined]
    assert four.scale(stages=3).replace(name="odd") == base


@settings(max_examples=20, deadline=None)
@given(
    base=bases,
    width=st.sampled_from([0.125, 0.375, 1, 1.25]),
    parts=st.sampled_from([{}, {"neck": 0.5}, {"head": 0.3}, {"backbone.p5": 1.7}]),
    more=st.integers(0, 2),
)
def test_more_levels_and_back_is_the_base(base: str, width: float, parts: dict[str, float], more: int) -> None:
    start = by_rule(catscale.load(base).scale(resolution=1280, width=width))
    start = by_rule(start.scale(width=parts)) if parts else start
    levels = len(start.heads)
    there = start.scale(stages=min(5, levels + more))
    assert len(there.heads) == min(5, levels + more)
    assert there.scale(stages=levels).replace(name=start.name) == start


@pytest.mark.parametrize("model", ["yolov7", "yolov7-w6", "yolov4-csp"])
@pytest.mark.parametrize("change", [1, -1])
def test_levels_are_found_without_names_and_without_blocks(model: str, change: int) -> None:
    base = by_rule(catscale.load(model))
    levels = len(base.heads) + change
    assert by_layer(base).scale(stages=levels).fingerprint == base.scale(stages=levels).fingerprint


def test_anchors_of_a_new_level_are_twice_the_last_ones() -> None:
    four = catscale.load("yolov7").scale(stages=4)
    assert sides(four) == [*sides(catscale.load("yolov7")), [284, 220, 384, 486, 918, 802]]


def test_the_finest_level_goes_where_the_span_begins_further_up() -> None:
    base = catscale.load("yolov7-w6")
    coarse = base.scale(stages="p4-p6")
    assert (coarse.strides, coarse.anchors) == ((16, 32, 64), base.anchors[1:])
    gone = {"neck.p3.top_down", "neck.p3.elan1", "neck.p4.down", "neck.p4.join", "neck.p4.elan2", "head.p3", "aux.p3"}
    assert {node.name for node in base.nodes} - {node.name for node in coarse.nodes} == gone
    reads = {node.name: node.inputs for node in coarse.nodes}
    assert (reads["head.p4"], reads["neck.p5.down"]) == (("neck.p4.elan1",), ("neck.p4.elan1",))


@pytest.mark.parametrize(("model", "levels"), [("yolov7-tiny-silu", 4), ("yolov7-e6e", 3), ("yolov4-csp", "p4-p6")])
def test_it_detects_at_its_strides(model: str, levels: int | str) -> None:
    architecture = catscale.load(model).scale(stages=levels, compound=2, width=0.0625).replace(classes=1)
    strides = architecture.strides
    size = 2 * strides[-1]
    outputs = build(architecture)(torch.rand(2, 3, size, size))
    shapes = [(2, 3, size // stride, size // stride, 6) for stride in strides]
    assert [tuple(y.shape) for y in outputs["lead"]] == shapes
    boxes = build(architecture, "deploy").eval()(torch.rand(1, 3, size, size))
    assert boxes.shape[1] == sum(3 * (size // stride) ** 2 for stride in strides)


@pytest.mark.parametrize("model", ["yolov7", "yolov7-w6"])
def test_other_scalings_follow(model: str) -> None:
    """r is read off the new blocks as off the old ones: from 3 taps' worth to 4, whatever the level."""
    base = catscale.load(model).scale(stages=4 if model == "yolov7" else 3)
    scaled = base.scale(compound=1.5, transition="downc", extend=2)
    backbone = [node for node in scaled.nodes if node.name.startswith("backbone") and hasattr(node.block, "out")]
    before = {node.name: node.block for node in base.nodes}
    assert {node.block.out / before[node.name].out for node in backbone} == {1.25}  # type: ignore[attr-defined]


def test_a_plan_of_re_parameterisation_goes_up_and_comes_back() -> None:
    places = ("backbone.p5.elan.tap1.conv1", "neck.p5.spp.conv2", "backbone.*.tap2.conv2")
    base = catscale.load("yolov7").replace(rep=tuple(RepPlace(at, "repconvn") for at in places))
    four = base.scale(stages=4)
    assert [place.at for place in four.rep] == [
        "backbone.p5.elan.tap1.conv1",
        "backbone.p6.elan.tap1.conv1",
        "neck.p6.spp.conv2",
        "backbone.*.tap2.conv2",
    ]
    assert four.scale(stages=3).replace(name="yolov7") == base


CHAIN = """
size: 64
anchors: [[10, 13], [30, 61], [60, 61]]
nodes:
  stem: {conv: {out: 8, kernel: 3, stride: 2}}
  fine: {strided_conv: {out: 8}}
  middle: {strided_conv: {out: 8}}
  coarse: {strided_conv: {out: 8}}
heads: [fine, middle, coarse]
"""


@pytest.mark.parametrize(
    ("model", "levels", "message"),
    [
        ("yolov7", 1, r"yolov7: stages: 1 means 1 of them; use from 2 to 5"),
        ("yolov7-w6", 9, r"stages: 9 means 9 of them; use from 2 to 5"),
        ("yolov7", "four", r"stages: 'four' is neither a number of levels nor a span of them, as p3-p6"),
        ("yolov7", True, r"stages: True is neither a number of levels"),
        ("yolov7", "p2-p5", r"stages: its finest level is p3; finer ones than that cannot be added"),
        ("yolov7", "p5-p7", r"stages: p5-p7 drops all levels but one; add coarser ones first"),
        (
            "yolov7-tiny",
            4,
            r"its size 416 is not a multiple of the new largest stride, 64; scale its .* \(--size 384\)",
        ),
        (
            "yolov7-w6-own",
            3,
            r"node aux\.p5 reads backbone\.p5\.elan, .*take its auxiliary heads away first \(aux: none\)",
        ),
        ("chain", 2, r"chain: stages: no one node has the top-down feature of stride 4"),
        ("skips", 2, r"skips: stages: its heads stand at strides 8, 32; each must be twice the one before"),
    ],
)
def test_what_is_no_pyramid_or_no_number_is_refused(model: str, levels: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text(CHAIN, encoding="utf-8")
    yolov7 = catscale.load("yolov7")
    own = ["neck.p3.elan1", "neck.p4.elan1", "backbone.p5.elan", "neck.p6.spp"]
    special = {
        "chain": lambda: catscale.load(tmp_path / "chain.yaml"),
        "skips": lambda: yolov7.replace(name="skips", heads=yolov7.heads[::2], anchors=yolov7.anchors[::2]),
        "yolov7-w6-own": lambda: catscale.load("yolov7-w6").scale(aux=own),
    }
    architecture = special.get(model, lambda: catscale.load(model))()
    with pytest.raises(catscale.InputError, match=message):
        architecture.scale(stages=levels)


@pytest.mark.parametrize(
    ("anchors", "message"),
    [
        ([[1, 2]], r"anchors: 1 levels of anchors for 2 levels of the pyramid"),
        ([[1, 2, 3], [1, 2]], r"anchors: \[1, 2, 3\] is no list of widths and heights in pixels"),
        ([[], [1, 2]], r"anchors: \[\] is no list of widths"),
        ([[1, float("nan")], [1, 2]], r"anchors: \[1, nan\] is no list of widths"),
        ([[1, -2], [1, 2]], r"anchors: \[1, -2\] is no list of widths"),
    ],
)
def test_anchors_that_do_not_fit_are_refused(anchors: list[list[float]], message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        catscale.load("yolov7").scale(stages=2, anchors=anchors)


def test_from_the_command_line(cli: CommandLine, tmp_path: Path) -> None:
    """Levels come first, the size that they need before them, auxiliary heads last."""
    arguments = ("--aux", "auto", "--compound", 2, "--size", 448, "--stages", "+1", "-o", "p6.yaml", "--json")
    done = cli("scale", "yolov7-tiny", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["scale"]) == ["resolution", "stages", "compound", "aux"]
    expected = catscale.load("yolov7-tiny").scale(resolution=448, stages=4, compound=2.0, aux="auto")
    assert catscale.load(tmp_path / "p6.yaml") == expected.replace(name="p6")
    (tmp_path / "recipe.yaml").write_text(
        "base: yolov7-tiny\nscale: {resolution: 448, stages: 4, compound: 2.0, aux: auto}\n", encoding="utf-8"
    )
    assert catscale.load(tmp_path / "recipe.yaml").nodes == expected.nodes


def test_levels_anchors_and_nodes_as_words(cli: CommandLine, tmp_path: Path) -> None:
    """A size for which the dropped level was too coarse is one for the rest."""
    arguments = ["--stages", "-2", "--size", 1296, "--anchors", "10,13", "--anchors", "30,61.5,62,45"]
    done = cli("scale", "yolov7-w6", *arguments, "--aux", "stem.conv,neck.p4.spp", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "aux: stem.conv has stride 2, the head of its level 8" in done.stderr
    done = cli("scale", "yolov7-w6", *arguments, "--aux", "neck.p3.elan1,neck.p4.spp", "--name", "two", cwd=tmp_path)
    (tmp_path / "two.yaml").write_text(done.stdout, encoding="utf-8")
    two = catscale.load(tmp_path / "two.yaml")
    assert (two.size, two.strides, two.anchors) == (1296, (8, 16), (((10, 13),), ((30, 61.5), (62, 45))))


def test_bad_input_is_one_message(cli: CommandLine) -> None:
    done = cli("scale", "yolov7", "--stages", "2", "--anchors", "1,x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --anchors 1,x: expected widths and heights in pixels, such as 10,13,16,30\n"
