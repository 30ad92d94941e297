"""Kinds of heads: what they decode to, how they start, any on any neck, and what is refused by name."""

from math import exp, log
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.heads import AnchorHead, DecoupledHead, EtHead
from catscale.blocks.levels import AnchorFree, Detect, Distribution
from catscale.blocks.modules import ConvLayer
from catscale.blocks.point_boxes import PointDetectLayer
from catscale.scaler.architecture import Architecture
from catscale.scaler.growth import grow
from catscale.scaler.suppression import suppress
from torch import nn

from .trained_alike import trained_alike

ANCHORS = [[10, 13, 16, 30], [30, 61, 62, 45], [116, 90, 156, 198]]


def narrow(model: str, **scalings: Any) -> Architecture:
    return catscale.load(model).scale(**scalings, width=0.125).replace(classes=2)


def logit(p: float) -> float:
    return log(p / (1 - p))


def test_an_anchor_free_box_hangs_at_its_cells_corner() -> None:
    """YOLOX: centre = (t + g) x stride, size = exp(t) x stride; cell (x, y) = (1, 2) of a map 3 wide and 4 high."""
    raw = torch.zeros(1, 1, 4, 3, 5 + 2)
    raw[0, 0, 2, 1] = torch.tensor([0.25, -1.5, log(3.0), -2.0, logit(0.7), logit(0.2), logit(0.9)])
    boxes = PointDetectLayer(Detect((AnchorFree(2, 8),)))(raw)
    expected = [8 * 1.25, 8 * 0.5, 8 * 3.0, 8 * exp(-2), 0.7, 0.2, 0.9]
    torch.testing.assert_close(boxes[0, 2 * 3 + 1], torch.tensor(expected))
    torch.testing.assert_close(boxes[0, 0, :4], torch.tensor([0.0, 0.0, 8.0, 8.0]))


def test_a_distribution_says_how_far_each_side_is_from_the_cells_middle() -> None:
    """PP-YOLOE: the expectation over bins 0 to 16, for left, top, right, bottom; no objectness, so it is 1."""
    raw = torch.full((1, 1, 4, 3, 4 * 17 + 2), -1e4)
    raw[..., -2:] = torch.tensor([logit(0.2), logit(0.3)])
    sides = raw[0, 0, 2, 1, : 4 * 17].view(4, 17)
    for side, bins in enumerate(({2: 0.5, 3: 0.5}, {0: 1.0}, {4: 1.0}, {16: 0.25, 8: 0.75})):  # 2.5, 0, 4, 10 cells
        for place, share in bins.items():
            sides[side, place] = log(share)
    box = PointDetectLayer(Detect((Distribution(2, 16, 17),)))(raw)[0, 2 * 3 + 1]
    x1, y1, x2, y2 = 1.5 - 2.5, 2.5 - 0, 1.5 + 4, 2.5 + 10
    expected = [16 * (x1 + x2) / 2, 16 * (y1 + y2) / 2, 16 * (x2 - x1), 16 * (y2 - y1), 1.0, 0.2, 0.3]
    torch.testing.assert_close(box, torch.tensor(expected))


def test_a_single_class_is_scored_too_where_the_score_is_the_objectness_alone() -> None:
    offsets, sides = torch.zeros(1, 1, 1, 1, 6), torch.zeros(1, 1, 1, 1, 4 * 17 + 1)
    offsets[..., 4:], sides[..., -1] = torch.tensor([logit(0.5), logit(0.8)]), logit(0.3)
    for level, raw, score in ((AnchorFree(1, 8), offsets, 0.4), (Distribution(1, 8, 17), sides, 0.3)):
        boxes = PointDetectLayer(Detect((level,)))(raw)
        (found,) = suppress(boxes, conf=0.1, iou=0.5, max_det=9, multi_label=True)
        torch.testing.assert_close(found.scores, torch.tensor([score]))


@pytest.mark.parametrize("kind", ["decoupled", "et"])
@pytest.mark.parametrize("neck", ["yolov7-tiny", "yolov5-n6", "yolov4-tiny", "pp-yoloe-s", "yolox-s"])
def test_any_head_fits_any_neck_and_deploys_to_the_same_function(neck: str, kind: str) -> None:
    torch.manual_seed(0)
    architecture = narrow(neck, head=kind)
    train = catscale.build(architecture)
    trained_alike(train)
    train.eval()
    for name, conv in train.named_modules():  # predictions that start as zero would hide what comes before them
        if name.startswith("detect") and isinstance(conv, nn.Conv2d):
            nn.init.normal_(conv.weight, 0, 0.2)
            if conv.bias is not None:
                nn.init.normal_(conv.bias)
    deployed, cost = catscale.deploy(train), architecture.cost()
    assert sum(parameter.numel() for parameter in train.parameters()) == cost.params_train
    assert sum(parameter.numel() for parameter in deployed.parameters()) == cost.params
    images, size = torch.rand(2, 3, 128, 128), 128
    with torch.no_grad():
        maps, boxes = train(images)["lead"], deployed(images)
        fields = 5 + 2 if kind == "decoupled" else 4 * 17 + 2
        assert [tuple(y.shape) for y in maps] == [
            (2, 1, size // stride, size // stride, fields) for stride in architecture.strides
        ]
        levels = tuple(architecture.graph().levels[name] for name in architecture.graph().lead)
        expected = PointDetectLayer(Detect(levels))(*maps)
    assert boxes.shape == (2, sum((size // stride) ** 2 for stride in architecture.strides), 7)
    assert boxes.isfinite().all()
    assert (boxes[..., 2:] >= 0).all()
    assert float(boxes[..., 5:].std()) > 1e-3
    scale = torch.tensor([size] * 4 + [1] * 3) * (1 + expected[..., 2:4].amax(-1, keepdim=True) / size)
    assert float(((boxes - expected).abs() / scale).max()) <= 1e-4


def test_weights_of_the_heads_by_closed_form() -> None:
    """YOLOX: 1x1 stem, four 3x3 convs, 1x1 predictions. PP-YOLOE: attention and 1x1 conv twice, 3x3 predictions."""

    def head(architecture: Architecture) -> int:
        return sum(layer.cost.params for layer in architecture.cost().deploy if layer.node == "detect")

    widths, w, classes = (128, 256, 512), 96, 80
    decoupled = sum(c * w + w + 4 * (9 * w * w + w) + (w + 1) * (4 + 1 + classes) for c in widths)
    base = catscale.load("yolox-s")
    assert head(base.scale(head={"decoupled": {"width": w}})) == decoupled
    aligned = sum(4 * (c * c + c) + (9 * c * (4 * 17 + classes) + 4 * 17 + classes) for c in widths)
    assert head(base.scale(head="et")) == aligned


def test_a_decoupled_head_is_as_wide_as_the_finest_level_and_scales_with_all_widths() -> None:
    for size, width in (("s", 128), ("m", 192), ("l", 256), ("x", 320)):  # 256 x the width factor, as released
        released = catscale.load(f"yolox-{size}")
        assert released.head == DecoupledHead(width)
        assert released.scale(head="et").scale(head="decoupled").head == DecoupledHead(width)
    base = catscale.load("yolox-l")
    assert base.scale(width={"detect": 0.5}).head == DecoupledHead(128)
    assert base.scale(width={"backbone": 0.5}).head == DecoupledHead(256)
    assert base.scale(width=0.5).nodes == base.scale(width={"stem": 0.5, "backbone": 0.5, "neck": 0.5}).nodes


def test_a_head_goes_and_comes_back() -> None:
    base = catscale.load("yolov5-n")
    there = base.scale(head="et")
    assert (there.head, there.anchors, there.implicit) == (EtHead(), (), False)
    sides = [[side for anchor in level for side in anchor] for level in base.anchors]
    back = there.scale(head="anchor", anchors=sides)
    assert back.replace(name=base.name) == base
    assert back.head == AnchorHead()
    assert base.scale(head="anchor") == base
    assert there.scale(head="et") == there


def test_heads_without_anchors_start_from_one_in_a_hundred() -> None:
    """Facts of the released models: class (and objectness) biases -ln 99; of distributions, weights 0 and bias 1."""

    def bias(model: nn.Module, place: str) -> torch.Tensor:
        layer = model.get_submodule(f"detect.lead.p4.{place}")
        assert isinstance(layer, ConvLayer)
        assert layer.conv.bias is not None
        return layer.conv.bias

    yolox, pp = (catscale.build(narrow("yolov5-n", head=kind)) for kind in ("decoupled", "et"))
    for model, place in ((yolox, "cls.out"), (yolox, "box.obj"), (pp, "cls.out")):
        assert bias(model, place).sigmoid().allclose(torch.tensor(0.01))
    assert bias(pp, "box.out").eq(1).all()
    assert not pp.get_submodule("detect.lead.p4.box.out.conv").weight.any()  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["decoupled", "et"])
def test_a_deeper_detector_with_such_a_head_grows_out_of_its_base(kind: str) -> None:
    torch.manual_seed(0)
    base = narrow("yolov7-tiny", head=kind)
    small, large = (catscale.build(it) for it in (base, base.scale(depth=2)))
    trained_alike(small)
    grow(large, small)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(large.eval()(images)["lead"], small.eval()(images)["lead"], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "scalings", "words"),
    [
        ("yolov7-w6", {"head": "et"}, r"head: auxiliary heads stand beside the anchor head alone; take them away"),
        ("yolox-s", {"head": "anchor"}, r"head: an anchor head needs anchors; give w,h,w,h,\.\.\. of each level"),
        ("yolox-s", {"head": "anchor", "anchors": ANCHORS[:2]}, r"2 levels of anchors for 3 levels of the pyramid"),
        ("yolov7", {"head": "decoupled", "anchors": ANCHORS}, r"anchors are of the anchor head, not of decoupled"),
        ("yolox-s", {"implicit": True}, r"implicit: only the anchor head has implicit knowledge, not decoupled"),
        ("pp-yoloe-s", {"aux": "auto"}, r"aux: only the anchor head has auxiliary heads, not et"),
        ("yolox-s", {"stages": 4, "anchors": [*ANCHORS, [1, 2]]}, r"anchors: its head has none; leave them out"),
        ("yolov7", {"head": "decoupeld"}, r"no kind is called 'decoupeld'; did you mean 'decoupled'\?"),
        ("yolov7", {"head": {"decoupled": {"bins": 3}}}, r"decoupled has no 'bins'"),
        ("yolov7", {"head": {"et": {"bins": 0}}}, r"et: bins: 0 is no whole number from 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(model: str, scalings: dict[str, Any], words: str) -> None:
    with pytest.raises(catscale.InputError, match=words):
        catscale.load(model).scale(**scalings)


def test_levels_without_anchors_are_added_and_dropped() -> None:
    base = catscale.load("yolox-s")
    assert base.scale(stages=4).strides == (8, 16, 32, 64)
    assert base.scale(stages=4).scale(stages=3).fingerprint == base.fingerprint


def test_the_command_exchanges_heads_and_its_file_comes_back(cli: Any, tmp_path: Path) -> None:
    done = cli("scale", "yolov7-w6", "--aux", "none", "--head", "decoupled", "-o", "free.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    architecture = catscale.load(tmp_path / "free.yaml")
    assert architecture == catscale.load("yolov7-w6").scale(aux="none", head="decoupled").replace(name="free")
    bad = cli("scale", "yolov7-w6", "--head", "decoupled", "-o", "bad.yaml", cwd=tmp_path)
    assert (bad.returncode, "take them away" in bad.stderr, (tmp_path / "bad.yaml").exists()) == (2, True, False)


def test_training_refuses_an_assigner_that_needs_anchors_on_a_head_without(cli: Any, tmp_path: Path) -> None:
    bad = cli("train", "pp-yoloe-s", "--data", "shapes", "--folder", "run", cwd=tmp_path)
    assert (bad.returncode, (tmp_path / "run").exists()) == (2, False)
    assert "pp-yoloe-s: assigner: ota chooses among anchors, and its head, et, has none" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_a_file_with_an_unknown_head_says_where(tmp_path: Path) -> None:
    text = catscale.load("yolox-s").to_yaml()
    for wrong, words in (("{decoupeld: {width: 128}}", "did you mean 'decoupled'"), ("{et: {bin: 3}}", r"head\.et: ")):
        path = tmp_path / "wrong.yaml"
        path.write_text(text.replace(text[text.index("head:") : text.index("nodes:")], f"head: {wrong}\n"))
        with pytest.raises(catscale.InputError, match=words):
            catscale.load(path)
