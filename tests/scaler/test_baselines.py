"""The baselines' families: their blocks by other means, scaling, recognition of what zoo names do not tell, export."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.aggregation import PartialOsa
from catscale.blocks.convs import ConvNode, ConvStack
from catscale.blocks.measures import Shape
from catscale.blocks.ops import Conv, SpaceToDepth
from catscale.blocks.plain import MaxPoolNode
from catscale.blocks.pyramid import Spp
from catscale.blocks.rep_csp import CspRepPan, CspRepStage
from catscale.blocks.roles import Block
from catscale.scaler.architecture import Architecture, Node
from catscale.scaler.build import space_to_depth
from catscale.scaler.fit import fit
from catscale.scaler.latency_table.layers import layers_of
from catscale.scaler.onnx_graph import to_onnx
from catscale.scaler.raising import raised
from catscale.scaler.targets import parse_targets
from catscale.scaler.transfer import transfer
from torch.nn.functional import conv2d, hardsigmoid

from .trained_alike import trained_alike
from .written_out import ANCHORS, by_layer

SMALLEST = ["yolov5-n", "yolox-s", "pp-yoloe-s", "yolov4", "yolov4-tiny"]


def detector(*blocks: Block, before: int = 32) -> Architecture:
    """Blocks one after another, between two convs, the last of which the head reads."""
    chain = (ConvNode(before, 3, 2), *blocks, ConvNode(16, 3, 2))
    names = ["image", *(f"node{place}" for place in range(len(chain)))]
    nodes = tuple(Node(names[place + 1], block, (names[place],)) for place, block in enumerate(chain))
    return Architecture("test", 64, nodes, (names[-1],), (ANCHORS,), classes=1)


def weights(block: Block, before: int = 32) -> int:
    return sum(layer.cost.params for layer in detector(block, before=before).cost().deploy if layer.node == "node1")


def conv(inputs: int, out: int, kernel: int = 1) -> int:
    return kernel**2 * inputs * out + out


def test_weights_by_closed_form() -> None:
    """The facts' wiring, with one bias a channel; `c` channels come in."""
    c, out, w = 32, 64, 24
    assert weights(PartialOsa(w, 3, out)) == conv(c // 2, w, 3) + 2 * conv(w, w, 3) + conv(3 * w, out)
    assert weights(ConvStack(w, 5)) == conv(c, w) + 2 * (conv(w, 2 * w, 3) + conv(2 * w, w))
    for chained in (False, True):
        assert weights(Spp(out, chained)) == conv(c, c // 2) + conv(4 * (c // 2), out)
    half, unit = c // 2, 2 * conv(c // 2, c // 2, 3)
    assert weights(CspRepStage(out, 3)) == 2 * conv(c, half) + 3 * unit + conv(c, c) + conv(c, out)
    half, unit = out // 2, 2 * conv(out // 2, out // 2, 3)
    assert weights(CspRepPan(out, 3)) == 2 * conv(c, half) + 3 * unit + conv(out, out)
    assert weights(CspRepPan(out, 3, spp=True)) == 2 * conv(c, half) + 3 * unit + conv(4 * half, half) + conv(out, out)


def test_space_to_depth_before_a_3x3_conv_is_a_6x6_conv() -> None:
    """YOLOv5's stem in its two forms: the same function at the same cost, its weights in another order."""
    assert Conv(16, 6, 2).cost(Shape(3, 64, 64)) == Conv(16, 3).cost(SpaceToDepth().shape(Shape(3, 64, 64)))
    x, large = torch.rand(1, 3, 16, 16), torch.rand(4, 3, 6, 6)
    small = torch.cat([large[..., row::2, column::2] for column in (0, 1) for row in (0, 1)], 1)
    torch.testing.assert_close(conv2d(space_to_depth(x), small, padding=1), conv2d(x, large, stride=2, padding=2))


def test_chained_pools_are_the_parallel_ones() -> None:
    torch.manual_seed(0)
    parallel, chained = (catscale.build(detector(Spp(32, chained))).eval() for chained in (False, True))
    assert transfer(chained, parallel).share == 1
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(parallel(images)["lead"][0], chained(images)["lead"][0])


def test_channel_attention_scales_each_channel_by_its_mean() -> None:
    """x times hardsigmoid(W mean(x) + b), by hand."""
    torch.manual_seed(0)
    architecture = detector(CspRepStage(32, 1))
    model = catscale.build(architecture).eval()
    seen: dict[str, torch.Tensor] = {}
    last, gate = (model.get_submodule(f"node1.{place}") for place in ("out", "excite.conv"))
    last.register_forward_pre_hook(lambda _, inputs: seen.update(gated=inputs[0]))

    def keep(place: str) -> Callable[..., None]:
        return lambda _, __, y: seen.update({place: y.clone()})

    for place in ("bypass", "block1.conv2", "stem"):
        model.get_submodule(f"node1.{place}").register_forward_hook(keep(place))
    with torch.no_grad():
        model(torch.rand(1, 3, 64, 64))
        joined = torch.cat([seen["bypass"], seen["stem"] + seen["block1.conv2"]], 1)
        numbers = hardsigmoid(gate.conv(joined.mean((2, 3), keepdim=True)))  # type: ignore[operator]
    torch.testing.assert_close(seen["gated"], joined * numbers)


@pytest.mark.parametrize("name", SMALLEST)
def test_compound_scaling_keeps_every_transition_ratio(name: str) -> None:
    """In : out of every conv outside blocks is the base's: chains gain nothing by depth, YOLOv4-tiny's blocks do."""
    base = catscale.load(name)
    scaled = base.scale(compound=1.5 if name == "yolov4-tiny" else 2)
    assert scaled.cost().params > base.cost().params

    def ratios(architecture: Architecture) -> dict[str, Fraction]:
        graph = architecture.graph("deploy")
        shapes = graph.shapes()
        outer = {node.name for node in architecture.nodes if type(node.block).__name__ in ("ConvNode", "StridedConv")}
        return {
            layer.name: Fraction(shapes[layer.inputs[0]].channels, shapes[layer.name].channels)
            for layer in graph.layers
            if layer.name in outer and "image" not in layer.inputs and "reorg" not in layer.inputs[0]
        }

    assert ratios(scaled) == ratios(base)
    if name == "yolov4-tiny":
        widths = {node.name: node.block for node in scaled.nodes}
        assert widths["backbone.p3.osa"] == PartialOsa(64, 3, 192)
        assert widths["backbone.p3.conv"] == ConvNode(192, 3)


@pytest.mark.parametrize(("name", "strategy"), [("yolox-s", "width"), ("yolov4-tiny", "compound-width")])
def test_a_family_is_fitted_to_a_bound(name: str, strategy: str) -> None:
    found = fit(catscale.load(name), parse_targets(["params=5M"]), strategy)
    assert found.larger is not None
    assert found.best.architecture.cost().params <= 5_000_000 < found.larger.architecture.cost().params


def test_one_activation_takes_the_place_of_two() -> None:
    base = catscale.load("yolov4")
    acts = {getattr(layer.op, "act", None) for layer in base.graph().layers}
    assert acts >= {"mish", "leaky_relu"}
    one = base.scale(activation="silu")
    assert {getattr(layer.op, "act", None) for layer in one.graph().layers} == {"silu", None}
    gated = catscale.load("pp-yoloe-s").scale(activation="leaky_relu")
    assert "hard_sigmoid" in {getattr(layer.op, "act", None) for layer in gated.graph().layers}


def test_blocks_of_another_activation_are_found_and_keep_it() -> None:
    base = catscale.load("yolov4")
    found = raised(by_layer(base))
    assert [(node.block, node.act) for node in found.nodes] == [(node.block, node.act) for node in base.nodes]


def test_the_first_half_of_the_channels_is_another_block() -> None:
    first = detector(PartialOsa(16, 2, 32, "first"), MaxPoolNode(2, 2))
    assert raised(by_layer(first)).nodes[1].block == PartialOsa(16, 2, 32, "first")
    assert first.fingerprint != detector(PartialOsa(16, 2, 32), MaxPoolNode(2, 2)).fingerprint


def test_an_even_number_of_convs_in_turns_is_refused() -> None:
    with pytest.raises(catscale.InputError, match="4 convs in turns would end in a 3x3 one; use an odd number"):
        detector(ConvStack(16, 4))


def test_a_conv_says_its_own_activation(tmp_path: Any) -> None:
    path = tmp_path / "wrong.yaml"
    text = catscale.load("yolov4").to_yaml()
    conv, nodes = text.replace("act: mish", "act: mush", 1), "act: mush".join(text.rsplit("act: mish", 1))
    for wrong, words in (
        (conv, r"stem\.conv\.conv: act: input should be 'silu'"),
        (nodes, r"p5\.csp\.act: no activation"),
    ):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(catscale.InputError, match=words):
            catscale.load(path)
    node = Node("node", ConvNode(16, 3, 2), ("image",), act="mish")
    with pytest.raises(catscale.InputError, match="node node: act: a conv says its own"):
        Architecture("test", 64, (node,), ("node",), (ANCHORS,), classes=1)


@pytest.mark.parametrize("name", SMALLEST)
def test_every_layer_of_a_deploy_graph_has_a_kind_for_tables_of_latencies(name: str) -> None:
    kinds = {key.kind for _, key in layers_of(catscale.load(name).graph("deploy"), 128)}
    wanted = {
        "yolov5-n": {"conv 6x6 /2 silu"},
        "yolox-s": {"join predictions", "detect AnchorFree 3", "conv 1x1 linear"},
        "pp-yoloe-s": {"global-pool", "gate", "conv 1x1 hard_sigmoid", "conv 1x1 sigmoid", "detect Distribution 3"},
        "yolov4": {"conv 3x3 mish", "conv 3x3 leaky_relu"},
        "yolov4-tiny": {"take-group"},
    }
    assert wanted[name] <= kinds


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_the_onnx_file_gives_the_same_boxes(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = catscale.build(catscale.load(name).scale(width=0.125).replace(classes=2))
    trained_alike(model)
    deployed = catscale.deploy(model.eval())
    images = torch.rand(1, 3, 64, 64)
    session = runtime.InferenceSession(to_onnx(deployed, images).SerializeToString())
    (boxes,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(boxes), deployed(images), rtol=1e-3, atol=1e-3)
