"""Official files that cannot be read, and architectures that have no official form: one message, with row or node."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import catscale
import pytest
from catscale.blocks.csp import CspA
from catscale.blocks.elan import Elan
from catscale.blocks.errors import InputError
from catscale.blocks.residual import Chain, DarkBlock
from catscale.scaler.architecture import Architecture
from catscale.scaler.official.exporting import form_named
from catscale.scaler.official.text import official_yaml
from catscale.scaler.reparam import RepPlace

GOOD = """\
nc: 80
depth_multiple: 1.0
width_multiple: 1.0
anchors:
  - [10, 13, 16, 30, 33, 23]
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [32, 1, 1]]
  - [-2, 1, Conv, [32, 1, 1]]
  - [[-1, -2], 1, Concat, [1]]
head:
  - [-1, 1, Conv, [64, 3, 2]]
  - [[5], 1, Detect, [nc, anchors]]
"""


def load(text: str, folder: Path) -> Architecture:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return catscale.load(path)


def test_the_file_that_the_others_depart_from_is_read(tmp_path: Path) -> None:
    architecture = load(GOOD, tmp_path)
    assert architecture.name == "model"
    assert (architecture.strides, architecture.classes, architecture.implicit) == ((8,), 80, False)
    assert architecture.size == 640


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        (
            "[64, 3, 2]",
            '[\'__import__("os").system("touch sprung")\', 3, 2]',
            r"row 5 \(Conv\): args: .* is none of the",
        ),
        ("[nc, anchors]", "[nc * 2, anchors]", r"row 6 \(Detect\): args: 'nc \* 2' is none of the expressions"),
        ("[64, 3, 2]", "[64, 3, 2, None, 1, nn.Tanh()]", r"row 5 \(Conv\): args: 'nn\.Tanh\(\)' is none of"),
        ("[64, 3, 2]", "[64, [3], 2]", r"row 5 \(Conv\): args: \[3\] is no number"),
        ("[64, 3, 2]", "[64, 3, 2, 0]", r"row 5 \(Conv\): args: a padding of 0"),
        ("[64, 3, 2]", "[]", r"row 5 \(Conv\): args: \[\] are not supported"),
        ("anchors:\n  - [10, 13, 16, 30, 33, 23]\n", "", "model.yaml: anchors: missing; give each level"),
        ("anchors:\n  - [10, 13, 16, 30, 33, 23]\n", "anchors: 3\n", "anchors: 3 placeholders; give each level"),
        ("[10, 13, 16, 30, 33, 23]", "[10, 13, 16]", "anchors: every level needs equally many pairs"),
        ("[10, 13, 16, 30, 33, 23]", "[10, 13, .nan, 3]", "anchors: every level needs equally many pairs"),
        ("[-2, 1, Conv", "[-9, 1, Conv", r"row 3 \(Conv\): from: -9 is out of range: there are 3 rows before it"),
        ("[-2, 1, Conv", "[3, 1, Conv", r"row 3 \(Conv\): from: 3 points forward"),
        ("[-2, 1, Conv", "[7, 1, Conv", r"row 3 \(Conv\): from: 7 points forward"),
        ("[-2, 1, Conv", "[-2, 1, Convv", r"row 3 \(Convv\): unknown module 'Convv'; did you mean 'Conv'\?"),
        ("[-2, 1, Conv", "[-2, 1, Transformer", r"row 3 \(Transformer\): unknown module 'Transformer'; known: "),
        ("[-2, 1, Conv", "[-2, 0, Conv", r"row 3 \(Conv\): number: expected a whole number from 1, not 0"),
        ("[-2, 1, Conv", "[-2.5, 1, Conv", r"row 3 \(Conv\): from: expected a row's number"),
        ("[-2, 1, Conv, [32, 1, 1]]", "[-2, 1, Conv]", r"row 3: expected \[from, number, module, args\]"),
        ("[[-1, -2], 1, Concat", "[[-1, -2], 1, Shortcut, [1]]\n  - [[0, -3], 1, Concat", "row5: cannot concatenate"),
        ("[[-1, -2], 1, Concat, [1]]", "[[-1, -2, 0], 1, Shortcut, [1]]", r"row 4 \(Shortcut\): from: reads 3 rows"),
        ("[[-1, -2], 1, Concat, [1]]", "[[-1, -2], 1, MP, []]", r"row 4 \(MP\): from: reads 2 rows; it takes one"),
        ("[[-1, -2], 1, Concat, [1]]", "[[-1, -2], 2, Concat, [1]]", r"row 4 \(Concat\): number: 2; it cannot"),
        ("[[5], 1, Detect", "[[4, 5], 1, Detect", r"row 6 \(Detect\): from: reads 2 rows; with 1 levels of anchors, 1"),
        ("[[5], 1, Detect, [nc, anchors]]", "[-1, 1, MP, []]", r"row 6 \(MP\): the last row must be one of Detect"),
        ("- [-1, 1, Conv, [64, 3, 2]]", "- [[4], 1, Detect, [nc, anchors]]", r"row 5 \(Detect\): stands before"),
        ("nc: 80", "nc: many", "nc: expected the number of classes, not 'many'"),
        ("nc: 80", "nc: 80\nchannels: 3", "unknown key 'channels'"),
        ("nc: 80", "nc: 80\nch: 6", "ch: images of 6 channels"),
        ("width_multiple: 1.0", "width_multiple: wide", "width_multiple: expected a factor such as 1.0, not 'wide'"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_row(was: str, now: str, words: str, tmp_path: Path) -> None:
    assert was in GOOD
    with pytest.raises(InputError, match=words) as caught:
        load(GOOD.replace(was, now), tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "model.yaml"))
    assert "\n" not in str(caught.value)
    assert not Path("sprung").exists()


def test_multiples_scale_as_the_official_loader_does(tmp_path: Path) -> None:
    """Facts: widths go up to the next multiple of 8, repeats above 1 to the nearest whole number, halves to even."""
    rows = "  - [-1, 5, BottleneckCSPA, [64]]\n  - [-1, 1, BottleneckCSPA, [64]]\nhead:\n"
    text = GOOD.replace("head:\n", rows).replace("[[5], 1, Detect", "[[7], 1, Detect")
    text = text.replace("width_multiple: 1.0", "width_multiple: 0.8").replace(
        "depth_multiple: 1.0", "depth_multiple: 0.5"
    )
    blocks = [node.block for node in load(text, tmp_path).nodes if isinstance(node.block, CspA)]
    assert blocks == [CspA(56, 2), CspA(56, 1)]  # 51.2 channels; 2.5 repeats, and 1 that stays


def test_a_repeated_row_stands_several_times_and_a_concat_of_one_is_none(tmp_path: Path) -> None:
    text = GOOD.replace("[-1, 1, Conv, [32, 1, 1]]", "[-1, 3, Conv, [32, 1, 1]]")
    text = text.replace("[[5], 1, Detect", "[[6], 1, Detect").replace("head:\n", "head:\n  - [[-1], 1, Concat, [1]]\n")
    once, thrice = load(GOOD, tmp_path).cost(), load(text, tmp_path).cost()
    assert thrice.params - once.params == 2 * (32 * 32 + 32)


def test_a_bottleneck_may_do_without_its_residual(tmp_path: Path, read_by_rows: Any) -> None:
    rows = "  - [-1, 2, Bottleneck, [64]]\n  - [-1, 1, Bottleneck, [64, False]]\nhead:\n"
    text = GOOD.replace("head:\n", rows).replace("[[5], 1, Detect", "[[7], 1, Detect")
    architecture = load(text, tmp_path)
    blocks = [node.block for node in architecture.nodes if isinstance(node.block, DarkBlock | Chain)]
    assert blocks == [Chain(64, 2), DarkBlock(64, residual=False)]
    rows = read_by_rows(official_yaml(architecture)).model.rows[5:7]
    assert rows == [[-1, 2, "Bottleneck", [64]], [-1, 1, "Bottleneck", [64, False]]]


def without_identity(model: str, at: str) -> Architecture:
    return catscale.load(model).replace(rep=(RepPlace(at, "repconvn"),))


def form_of(model: str, form: Any, groups: int = 2) -> Architecture:
    architecture = catscale.load(model).scale(extend=groups).replace(aux=())
    nodes = (
        replace(node, block=replace(node.block, form=form)) if isinstance(node.block, Elan) else node
        for node in architecture.nodes
    )
    return replace(architecture, nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        (
            lambda: catscale.load("yolov7").scale(width=0.3),
            r"node backbone\.p5\.down \(backbone\.p5\.down\.pool_conv\): 156 channels, which the official loader would "
            r"make 160; .* scale with --divisor 16",
        ),
        (
            lambda: without_identity("yolov7", "backbone.p2.elan.tap1.conv1"),
            r"node backbone\.p2\.elan \(backbone\.p2\.elan\.tap1\.conv1\): a RepConv without identity, 64 to 64 "
            r"channels; the official module adds the identity .* export the deploy form",
        ),
        (
            lambda: catscale.load("yolov7").scale(activation="leaky_relu"),
            r"node head\.p3: a RepConv with leaky_relu; the official module has SiLU",
        ),
        (
            lambda: form_of("yolov7", "shuffled"),
            r"ChannelShuffle has no official module; use E-ELAN in its parallel form",
        ),
        (lambda: form_of("yolov7", "grouped", 3), "a concatenation sorted by 3 groups; .* parallel form"),
        (
            lambda: catscale.load("yolov7").replace(aux=("head.p3", "head.p4", "head.p5")),
            "auxiliary heads of 3 levels, where the official module runs 4; leave out aux, or export the deploy form",
        ),
        (
            lambda: catscale.load("yolov7-w6").replace(implicit=False),
            "auxiliary heads without implicit knowledge; set implicit: true",
        ),
        (
            lambda: catscale.load("yolov7").replace(anchors=catscale.load("yolov7").anchors[::-1]),
            "anchors: the first is not smaller than the last",
        ),
        (
            lambda: catscale.load("yolov7").replace(anchors=(((1, 2),), ((3, 4), (5, 6)), ((7, 8),))),
            "anchors: levels have different numbers of anchors",
        ),
    ],
)
def test_what_the_official_loader_would_change_or_not_understand_is_refused(architecture: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        official_yaml(architecture())


def test_a_repconv_without_identity_deploys_as_the_conv_it_folds_to(read_by_rows: Any) -> None:
    architecture = without_identity("yolov7", "backbone.p2.elan.tap1.conv1")
    read = read_by_rows(official_yaml(architecture, "deploy"))
    assert [row[2] for row in read.model.rows] == [
        row[2] for row in read_by_rows(official_yaml(catscale.load("yolov7"), "deploy")).model.rows
    ]


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(InputError, match="form 'depoly': there is no such form; did you mean 'deploy'"):
        form_named("depoly")


def test_the_command_line_writes_both_files_or_says_in_one_line_why_not(cli: Any, tmp_path: Path) -> None:
    done = cli(
        *("scale", "yolov7-w6", "--compound", 1.5, "--down", "downc"),
        *("-o", "e6.yaml", "--official", "official.yaml", "--official-form", "deploy"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = catscale.load(tmp_path / "official.yaml")
    assert found.cost().params == catscale.load("yolov7-e6").cost().params == 97_202_940
    assert not found.has_aux
    bad = cli("scale", "yolov7", "--width", 0.3, "-o", "odd.yaml", "--official", "odd-official.yaml", cwd=tmp_path)
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e6.yaml", "official.yaml"]
