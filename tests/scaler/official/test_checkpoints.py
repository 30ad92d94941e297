"""Weights from and to the official layout: the same function as a plain forward written from the facts, to the bit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
import yaml
from catscale.blocks.elan import Elan
from catscale.blocks.errors import InputError
from catscale.blocks.pyramid import TopDown
from catscale.scaler.architecture import Architecture
from catscale.scaler.official.beside import disagreements, own_anchors
from catscale.scaler.official.checkpoints import from_official, to_official
from catscale.scaler.official.importing import import_document
from catscale.scaler.official.text import official_yaml
from catscale.scaler.official.unpickling import Checkpoint
from catscale.scaler.reparam import RepPlace
from catscale.trainer.official_weights import import_weights
from catscale.trainer.run_folder import load_run
from torch import Tensor

# Keys of the released checkpoints: unfused training configuration, fused deploy configuration.
KEYS = {
    "yolov7-tiny": (344, 118),
    "yolov7": (566, 186),
    "yolov7-x": (644, 218),
    "yolov7-w6": (668, 216),
    "yolov7-e6": (896, 292),
    "yolov7-d6": (1028, 336),
    "yolov7-e6e": (1490, 490),
}
EVERY_MODULE = [  # among them, every block and every head
    "yolov7-tiny",
    "yolov7",
    "yolov7-w6",
    "yolov7-e6",
    "yolov7-e6e",
    "yolov4-csp",
    "yolor-p6",
]


def narrow(model: str) -> Architecture:
    return catscale.load(model).scale(width=0.125, divisor=16).replace(classes=3)


def images(architecture: Architecture) -> Tensor:
    return torch.rand(2, 3, *(2 * [2 * architecture.strides[-1]]), generator=torch.Generator().manual_seed(1))


def folded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convolutions with their batch norms folded in, by the released models' formula; everything else as it was."""
    fused = {key: value for key, value in weights.items() if ".bn." not in key}
    for key in list(fused):
        if key.endswith(".conv.weight"):
            norm = {part: weights[f"{key[:-11]}bn.{part}"].double() for part in ("weight", "bias", "running_mean")}
            spread = (weights[f"{key[:-11]}bn.running_var"].double() + 1e-3).sqrt()
            gain = norm["weight"] / spread
            fused[key] = (weights[key].double() * gain.reshape(-1, 1, 1, 1)).float()
            fused[f"{key[:-6]}bias"] = (norm["bias"] - norm["running_mean"] * gain).float()
    return fused


def grouped() -> Architecture:
    architecture = narrow("yolov7-tiny").scale(extend=2)
    nodes = (
        replace(node, block=replace(node.block, form="grouped")) if isinstance(node.block, Elan) else node
        for node in architecture.nodes
    )
    return replace(architecture, nodes=tuple(nodes))


VARIANTS = {
    "grouped E-ELAN": grouped,
    "three groups": lambda: narrow("yolov7-w6").scale(extend=3),
    "RepConvs with identity": lambda: narrow("yolov4-csp").replace(rep=(RepPlace("*.block*.conv2", "forced"),)),
    "CSP with leaky ReLU": lambda: narrow("yolor-p6").scale(activation="leaky_relu"),
}


@pytest.mark.parametrize("model", [*EVERY_MODULE, *VARIANTS])
def test_forward_equals_the_facts_to_the_bit_and_goes_back_out(model: str, read_by_rows: Any) -> None:
    architecture = VARIANTS[model]() if model in VARIANTS else narrow(model)
    x = images(architecture)
    read = read_by_rows(official_yaml(architecture), x)
    ours = catscale.build(architecture)
    ours.load_state_dict(from_official(read.weights, architecture))
    with torch.no_grad():
        maps = ours.eval()(x)
    for found, expected in zip([*maps["lead"], *maps["aux"]], read.outputs, strict=True):
        assert torch.equal(found, expected)
    back = to_official(ours)
    assert back.keys() == read.weights.keys()
    assert all(torch.equal(back[key], value) for key, value in read.weights.items())


@pytest.mark.parametrize("model", KEYS)
def test_a_checkpoint_has_the_released_models_keys(model: str) -> None:
    ours = catscale.build(catscale.load(model).scale(width=0.125, divisor=16)).eval()
    found = to_official(ours), to_official(catscale.deploy(ours))
    assert tuple(map(len, found)) == KEYS[model]
    read_as = {key.rpartition(".")[2] for key in found[1]}
    assert read_as == {"weight", "bias", "anchors", "anchor_grid"}


@pytest.mark.parametrize("model", ["yolov7-tiny", "yolov7-w6", "yolov4-csp"])
def test_a_fused_checkpoint_deploys_to_its_own_weights(model: str, read_by_rows: Any) -> None:
    """Its implicit vectors are dead, as they were folded too: they come over as ones that change nothing."""
    architecture = narrow(model).replace(aux=())
    weights = folded(read_by_rows(official_yaml(architecture), images(architecture)).weights)
    ours = catscale.build(architecture)
    ours.load_state_dict(from_official(weights, architecture))
    out = to_official(catscale.deploy(ours.eval()))
    assert out.keys() == {key for key in weights if not key.endswith(".implicit")}
    assert all(torch.equal(value, weights[key]) for key, value in out.items())


def test_a_folded_repconv_goes_out_and_comes_back() -> None:
    architecture = narrow("yolov7").replace(implicit=False)
    deployed = catscale.deploy(catscale.build(architecture).eval())
    fused = to_official(deployed)
    assert {key for key in fused if "rbr" in key} == {
        f"model.{row}.rbr_reparam.{part}" for row in (102, 103, 104) for part in ("weight", "bias")
    }
    again = catscale.build(architecture)
    again.load_state_dict(from_official(fused, architecture))
    found = catscale.deploy(again.eval()).state_dict()
    assert all(torch.equal(found[name], value) for name, value in deployed.state_dict().items())


LATERAL_FIRST = """\
nc: 3
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[10, 13, 16, 30, 33, 23]]
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
head:
  - [1, 1, Conv, [16, 1, 1]]  # of a step down the pyramid, which as released begins with the next row
  - [2, 1, Conv, [16, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, 'nearest']]
  - [[3, -1], 1, Concat, [1]]
  - [-1, 1, RepConv, [32, 3, 1]]
  - [[-1], 1, IDetect, [nc, anchors]]
"""


def test_weights_find_their_layers_whatever_the_order_of_the_rows(read_by_rows: Any) -> None:
    imported = import_document(yaml.safe_load(LATERAL_FIRST), "model.yaml", "model")
    architecture = imported.architecture
    assert [type(node.block) for node in architecture.nodes if len(node.inputs) == 2] == [TopDown]
    x = images(architecture)
    read = read_by_rows(LATERAL_FIRST, x)
    ours = catscale.build(architecture)
    ours.load_state_dict(from_official(read.weights, architecture, imported.slots))
    with torch.no_grad():
        assert torch.equal(ours.eval()(x)["lead"][0], read.outputs[0])
    with pytest.raises(
        InputError, match=r"model\.3\.conv\.weight has shape \(16, 32, 1, 1\) instead of \(16, 64, 1, 1\)"
    ):
        from_official(read.weights, architecture)  # our own export has the rows in another order


def test_half_precision_and_distributed_keys_are_taken() -> None:
    architecture = narrow("yolov7-tiny")
    ours = catscale.build(architecture)
    half = {
        f"module.{key}": value.half() if value.is_floating_point() else value
        for key, value in to_official(ours).items()
    }
    state = from_official(half, architecture)
    assert all(value.dtype in (torch.float32, torch.int64) for value in state.values())
    assert all(torch.equal(state[name], value.half().to(value)) for name, value in ours.state_dict().items())


def test_another_architecture_is_refused_with_the_first_mismatch_and_how_many_match() -> None:
    weights = to_official(catscale.build(narrow("yolov7-tiny")))
    wider = catscale.load("yolov7-tiny").scale(width=0.25, divisor=16).replace(classes=3)
    other = r"x\.pt: weights of another architecture: model\.14\.conv\.weight has shape \(16, 64, 1, 1\) instead of "
    with pytest.raises(InputError, match=other + r"\(32, 64, 1, 1\); \d+ of 342 tensors match"):  # P3's last conv
        from_official(weights, wider, where="x.pt")
    missing = {key: value for key, value in weights.items() if key != "model.5.conv.weight"}
    with pytest.raises(InputError, match=r"model\.5\.conv\.weight is missing; 341 of 342 tensors match"):
        from_official(missing, narrow("yolov7-tiny"))
    with pytest.raises(InputError, match=r"model\.99\.conv\.weight is not in it; 342 of 342 tensors match"):
        from_official({**weights, "model.99.conv.weight": torch.ones(1)}, narrow("yolov7-tiny"))
    with pytest.raises(InputError, match=r"ia\.0\.implicit is missing; 336 of 342"):
        from_official({key: value for key, value in weights.items() if "implicit" not in key}, narrow("yolov7-tiny"))


def test_what_a_state_dict_cannot_say_is_compared_with_what_stands_beside() -> None:
    architecture = narrow("yolov7-tiny")
    tensors = to_official(catscale.build(architecture))
    assert (disagreements(Checkpoint(tensors), architecture), own_anchors(Checkpoint(tensors), architecture)) == (
        (),
        None,
    )
    said = Checkpoint(tensors, activations=frozenset({"silu"}), strides=(4.0, 8.0, 16.0), names=("cat",))
    assert disagreements(said, architecture) == (
        "its activation is silu, that of yolov7-tiny-width0.125 is leaky_relu",
        "its strides are 4, 8, 16, those of yolov7-tiny-width0.125 8, 16, 32",
        "it names 1 classes, yolov7-tiny-width0.125 has 3",
    )
    head = max(int(key.split(".")[1]) for key in tensors)
    tensors[f"model.{head}.anchor_grid"] = tensors[f"model.{head}.anchor_grid"] * 2
    assert disagreements(Checkpoint(tensors), architecture) == (
        "its strides are 16, 32, 64, those of yolov7-tiny-width0.125 8, 16, 32",
    )


def test_anchors_that_a_training_fitted_come_along(tmp_path: Path) -> None:
    architecture = narrow("yolov7-tiny")
    tensors = to_official(catscale.build(architecture))
    fitted = {key: 2 * value if "anchor" in key else value for key, value in tensors.items()}
    torch.save(fitted, tmp_path / "fitted.pt")
    (tmp_path / "arch.yaml").write_text(architecture.to_yaml(), encoding="utf-8")
    found, notes = import_weights(tmp_path / "fitted.pt", tmp_path / "run", str(tmp_path / "arch.yaml"))
    assert torch.equal(torch.tensor(found.anchors), 2 * torch.tensor(architecture.anchors))
    assert notes[0] == "it has anchors of its own, and so has the run folder's architecture"


def test_the_command_line_takes_a_checkpoint_in_and_out(cli: Any, tmp_path: Path) -> None:
    architecture = narrow("yolov7-tiny").replace(name="small")
    tensors = to_official(catscale.build(architecture))
    (tmp_path / "small.yaml").write_text(architecture.to_yaml(), encoding="utf-8")
    torch.save(tensors, tmp_path / "small.pt")
    taken = cli("weights", "small.pt", "--arch", "small.yaml", "-o", "run", "--json", cwd=tmp_path)
    assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout)["params"] == architecture.cost().params
    given = cli("weights", "run", "--to-official", "-o", "back.pt", cwd=tmp_path)
    assert given.returncode == 0, given.stderr
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert all(torch.equal(back[key], value) for key, value in tensors.items())
    assert (tmp_path / "back.yaml").read_text(encoding="utf-8") == official_yaml(architecture)


def test_weights_of_a_deployed_model_come_without_what_only_training_needs(read_by_rows: Any, tmp_path: Path) -> None:
    """The deploy configuration of W6 has neither auxiliary rows nor implicit vectors: 628 keys, others than trained."""
    architecture = narrow("yolov7-w6")
    x = images(architecture)
    read = read_by_rows(official_yaml(architecture, "deploy"), x)
    assert len(read.weights) == 628
    torch.save(read.weights, tmp_path / "w6.pt")
    (tmp_path / "w6.yaml").write_text(architecture.to_yaml(), encoding="utf-8")
    found, notes = import_weights(tmp_path / "w6.pt", tmp_path / "run", str(tmp_path / "w6.yaml"))
    assert (found.aux, found.implicit, len(notes)) == ((), False, 3)
    with torch.no_grad():
        maps = load_run(tmp_path / "run").model(x)
    assert all(torch.equal(a, b) for a, b in zip(maps["lead"], read.outputs, strict=True))


def test_a_plain_state_dict_without_its_architecture_is_refused(tmp_path: Path) -> None:
    torch.save({"model.0.conv.weight": torch.zeros(1)}, tmp_path / "plain.pt")
    with pytest.raises(InputError, match=r"plain\.pt: a plain state dict does not say its architecture; .* --arch"):
        import_weights(tmp_path / "plain.pt", tmp_path / "run")
    assert not (tmp_path / "run").exists()
