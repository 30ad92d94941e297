"""What a scaling says of itself: each r as a closed form, the widths that it governed, and what changed nothing."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import catscale
import pytest
from catscale.blocks.elan import Elan
from catscale.scaler.architecture import Architecture
from catscale.scaler.explain import Explanation, explain, remarks
from catscale.scaler.explain_widths import explain_widths
from catscale.scaler.scaling import steps

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


def explained(base: str | Architecture, **scalings: Any) -> Explanation:
    (step,) = steps(catscale.load(base) if isinstance(base, str) else base, scalings)
    return explain(step)


@pytest.mark.parametrize(("base", "blocks"), [("yolov7-w6", 11), ("yolov7-x-light", 8)])
def test_compound_by_half_as_deep_again_is_five_fourths_everywhere(base: str, blocks: int) -> None:
    """2 stems and 2 taps become 2 stems and 3 taps: 5 / 4; every ratio of a transition is the base's."""
    explanation = explained(base, compound=1.5)
    assert [gain.r for gain in explanation.gains] == [Fraction(5, 4)] * blocks
    assert explanation.deviations == ()
    widened = [width for gain in explanation.gains for width in gain.widened]
    assert all(Fraction(width.after, width.before) == Fraction(5, 4) for width in widened)
    outside = [node.name for node in catscale.load(base).nodes if hasattr(node.block, "out")]
    assert sorted(width.node for width in widened) == sorted(outside)  # each is governed once


def test_each_part_has_its_own_r_and_transitions_are_named_first() -> None:
    explanation = explained("yolov7-x-light", compound={"backbone": 1.5, "neck": 2})
    by_part = {(gain.block.split(".")[0], str(gain.r)) for gain in explanation.gains}
    assert by_part == {("backbone", "5/4"), ("neck", "3/2")}
    (third,) = (gain for gain in explanation.gains if gain.block == "backbone.p3.elan")
    assert (third.before, third.after) == (512, 640)
    assert [(to.node, to.kind, to.before, to.after) for to in third.widened] == [
        ("backbone.p4.down", "pool_conv", 512, 640),
        ("backbone.p3.elan", "elan", 512, 640),
    ]


def test_depth_alone_leaves_the_widths_and_breaks_the_ratios() -> None:
    """The 1x1 conv after each concatenation reads 3 / 2 of what it read (Fig. 3 of arXiv:2207.02696)."""
    explanation = explained("yolov7-x-light", depth=2)
    assert {gain.factor for gain in explanation.gains} == {1}
    assert all(width.before == width.after for gain in explanation.gains for width in gain.widened)
    assert {deviation.got / deviation.wanted for deviation in explanation.deviations} == {Fraction(3, 2)}
    assert {deviation.layer for deviation in explanation.deviations} == {
        f"{gain.block}.out" for gain in explanation.gains
    }


def test_rounding_is_shown_where_it_bends_a_ratio() -> None:
    """The stem's 64 x 5 / 4 = 80 become 96 with a divisor of 32, and 32 x 5 / 4 = 40 become 64: 1:2 becomes 2:3."""
    deviations = {d.layer: (d.wanted, d.got) for d in explained("yolov7-x-light", compound=1.5, divisor=32).deviations}
    assert deviations["stem.conv2"] == (Fraction(1, 2), Fraction(2, 3))
    assert explained("yolov7-x-light", compound=1.5, divisor=8).deviations == ()


def test_a_narrow_detector_keeps_its_ratios_with_a_fine_divisor() -> None:
    """head.p3 has 16 x 5 / 4 = 20 channels before it and 40 after; rounded to 24 and 40, 1:2 becomes 3:5."""
    narrow = catscale.load("yolov7-x-light").scale(width=0.125, divisor=1)
    exact, rounded = (explain(steps(narrow, {"compound": 1.5, "divisor": divisor})[0]) for divisor in (1, 8))
    assert exact.deviations == ()
    assert ("head.p3", Fraction(1, 2), Fraction(3, 5)) in {(d.layer, d.wanted, d.got) for d in rounded.deviations}


def test_a_block_that_joins_its_own_input_gains_with_it(tmp_path: Path) -> None:
    """One-shot aggregation of an input of 40 and 4 x 24 channels: the input grows by r too, so r is 6 / 4."""
    text = """
size: 64
anchors: [[10, 13]]
nodes:
  stem.conv: {conv: {out: 40, kernel: 3, stride: 2}}
  stage1.osa: {osa: {width: 24, layers: 4, out: 64}}
heads: [stage1.osa]
"""
    (tmp_path / "osa.yaml").write_text(text, encoding="utf-8")
    (step,) = steps(catscale.load(tmp_path / "osa.yaml"), {"compound": 1.5})
    (gain,) = explain(step).gains
    assert (gain.before, gain.after, gain.r) == (40 + 4 * 24, 64 + 6 * 24, Fraction(3, 2))  # 60, rounded up to 64
    assert {d.layer: d.got for d in explain(step).deviations} == {"stage1.osa.out": Fraction(208, 96)}


@pytest.mark.parametrize("form", ["parallel", "grouped"])
def test_every_group_of_an_extended_block_ends_in_a_transition(form: str) -> None:
    base = catscale.load("yolov7-e6e")
    nodes = tuple(
        replace(node, block=replace(node.block, form=form)) if isinstance(node.block, Elan) else node
        for node in base.nodes
    )
    (step,) = steps(base.replace(nodes=nodes), {"compound": 2})
    explanation = explain(step)
    assert {gain.r for gain in explanation.gains} == {Fraction(2 + 6, 2 + 3)}
    assert explanation.deviations == ()  # 160 x 8 / 5 and so on are whole multiples of 8


def test_a_chain_that_is_no_stage_gains_nothing() -> None:
    assert {gain.r for gain in explained("yolor-csp", depth=2).gains} == {1}


@pytest.mark.parametrize(
    ("base", "scalings", "said"),
    [
        ("yolor-csp", {"depth": 1.01}, ["depth 1.01 changes nothing in yolor-csp"]),
        ("yolor-csp", {"compound": 2}, ["compound 2: no concatenation of yolor-csp grew: only depth was scaled"]),
        ("yolov7", {"depth": {"head": 2}}, ["depth head=2 changes nothing in yolov7"]),
        ("yolov7", {"depth": {"head": 2, "neck": 2}}, ["depth head=2 changes nothing in yolov7"]),
        ("yolov7", {"width": 0.999}, ["width 0.999 changes nothing in yolov7"]),
        ("yolov7", {"compound": {"backbone": 1.5, "neck": 1}, "width": 1, "resolution": 640}, []),
        ("yolov7", {"compound": 1.5}, []),
    ],
)
def test_a_factor_that_changes_nothing_is_remarked(base: str, scalings: dict[str, Any], said: list[str]) -> None:
    found = list(remarks(steps(catscale.load(base), scalings)))
    assert len(found) == len(said)
    assert all(remark.startswith(words) for remark, words in zip(found, said, strict=True))


def test_a_heads_width_follows_the_finest_levels_block() -> None:
    """A stage of 2 stems and 2 taps, then of 2 and 3: the head is widened by 5 / 4, as the block that it follows."""
    explanation = explained(catscale.load("yolov7-x-light").scale(head={"decoupled": {"width": 128}}), compound=1.5)
    (gain,) = (gain for gain in explanation.gains if any(to.node == "detect" for to in gain.widened))
    (of_head,) = (to for to in gain.widened if to.node == "detect")
    assert gain.r == Fraction(5, 4)
    assert gain.block.startswith("neck.p3.")
    assert (of_head.kind, of_head.before, of_head.after) == ("decoupled", 128, 160)


def test_a_width_factor_is_explained_for_every_width_and_the_heads() -> None:
    (step,) = steps(catscale.load("yolox-s"), {"width": 0.3, "divisor": 16})
    found = {(to.place, to.field): (to.before, to.exact, to.after) for to in explain_widths(step).widths}
    assert found["detect", "width"] == (128, 38.4, 48)
    assert len(found) == sum(hasattr(node.block, "out") for node in step.before.nodes) + 1
    (part,) = steps(catscale.load("yolox-s"), {"width": {"detect": 0.5}})
    assert [(width.place, width.after) for width in explain_widths(part).widths] == [("detect", 64)]


def test_a_head_without_a_width_says_so() -> None:
    """Of the kinds, YOLOX's alone has one; another neck gives it that of what its finest level reads."""
    (gained,) = steps(catscale.load("yolov5-s"), {"head": "decoupled"})
    (width,) = explain_widths(gained).widths
    assert (width.place, width.before, width.exact, width.after) == ("detect", None, None, 128)
    for base, scalings in (("pp-yoloe-s", {"width": 0.5}), ("yolox-s", {"head": "et"}), ("yolov5-s", {"width": 2})):
        (step,) = steps(catscale.load(base), scalings)
        explanation = explain_widths(step)
        assert (explanation.head_is_wide, [to for to in explanation.widths if to.place == "detect"]) == (False, [])


def test_explain_from_the_command_line(cli: CommandLine) -> None:
    told = json.loads(cli("scale", "yolov7-w6", "--compound", 1.5, "--explain", "--json").stdout)
    (explanation,) = told["explain"]
    block = explanation["blocks"][0]
    assert (block["block"], block["concat"], block["r"], block["r_decimal"]) == (
        "backbone.p2.elan",
        [256, 320],
        "5/4",
        1.25,
    )
    shown = cli("scale", "yolor-csp", "--depth", 1.01, "--explain")
    assert shown.returncode == 0
    assert "backbone.p2.csp" in shown.stdout
    assert "depth 1.01 changes nothing" in shown.stderr
    widths = cli("scale", "yolox-s", "--head", "et", "--width", 0.5, "--explain").stdout
    assert "neck.p5.csp2      csp_a         out      512  256.00        256" in widths
    assert widths.count("The head, et, has no width of its own: it is as wide as what it reads.") == 2
