"""YOLOX's checkpoints become weights of its models of the zoo: the raw maps are those of a forward from the facts."""

import json
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
import torch.nn.functional as F
from catscale.blocks.errors import InputError
from catscale.scaler.official.checkpoints import from_official
from catscale.trainer.official_weights import import_weights
from catscale.trainer.run_folder import load_run
from torch import Tensor

from .plain_layers import Weights

FACTS = {  # of the released models: keys of a checkpoint, parameters
    "yolox-s": (462, 8_968_255), "yolox-m": (606, 25_326_495),
    "yolox-l": (750, 54_208_895), "yolox-x": (894, 99_071_455),
}  # fmt: skip
MULTIPLES = {"yolox-s": (1, 0.5), "yolox-m": (2, 0.75), "yolox-l": (3, 1), "yolox-x": (4, 1.25)}  # repeats, width


def forward(image: Tensor, w: Weights, n: int, width: float, classes: int = 80) -> list[Tensor]:
    """Raw maps (B, 5 + classes, H, W), finest first, of BGR images in 0 to 255: box, objectness, classes."""

    def conv(name: str, x: Tensor, c: float, k: int, s: int = 1) -> Tensor:
        return w.conv(name, x, int(c * width), k, s)

    def k3(name: str, x: Tensor, c: int, repeats: int, add: bool) -> Tensor:
        u, v = conv(f"{name}.conv1", x, c / 2, 1), conv(f"{name}.conv2", x, c / 2, 1)
        for j in range(repeats):
            y = conv(f"{name}.m.{j}.conv2", conv(f"{name}.m.{j}.conv1", u, c / 2, 1), c / 2, 3)
            u = u + y if add else y
        return conv(f"{name}.conv3", torch.cat([u, v], 1), c, 1)

    def up(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="nearest")

    def prediction(name: str, x: Tensor, c: int) -> Tensor:
        return F.conv2d(x, w(f"{name}.weight", c, x.shape[1], 1, 1), w(f"{name}.bias", c))

    back = "backbone.backbone"
    x = torch.cat([image[..., r::2, c::2] for r, c in ((0, 0), (1, 0), (0, 1), (1, 1))], 1)
    x = conv(f"{back}.stem.conv", x, 64, 3)
    x = k3(f"{back}.dark2.1", conv(f"{back}.dark2.0", x, 128, 3, 2), 128, n, add=True)
    p3 = k3(f"{back}.dark3.1", conv(f"{back}.dark3.0", x, 256, 3, 2), 256, 3 * n, add=True)
    p4 = k3(f"{back}.dark4.1", conv(f"{back}.dark4.0", p3, 512, 3, 2), 512, 3 * n, add=True)
    t = conv(f"{back}.dark5.1.conv1", conv(f"{back}.dark5.0", p4, 1024, 3, 2), 512, 1)
    t = torch.cat([t, *(F.max_pool2d(t, k, 1, k // 2) for k in (5, 9, 13))], 1)
    p5 = k3(f"{back}.dark5.2", conv(f"{back}.dark5.1.conv2", t, 1024, 1), 1024, n, add=False)
    l5 = conv("backbone.lateral_conv0", p5, 512, 1)
    t4 = k3("backbone.C3_p4", torch.cat([up(l5), p4], 1), 512, n, add=False)
    l4 = conv("backbone.reduce_conv1", t4, 256, 1)
    n3 = k3("backbone.C3_p3", torch.cat([up(l4), p3], 1), 256, n, add=False)
    n4 = k3("backbone.C3_n3", torch.cat([conv("backbone.bu_conv2", n3, 256, 3, 2), l4], 1), 512, n, add=False)
    n5 = k3("backbone.C3_n4", torch.cat([conv("backbone.bu_conv1", n4, 512, 3, 2), l5], 1), 1024, n, add=False)
    maps = []
    for k, feature in enumerate((n3, n4, n5)):
        stem = conv(f"head.stems.{k}", feature, 256, 1)
        cls = conv(f"head.cls_convs.{k}.1", conv(f"head.cls_convs.{k}.0", stem, 256, 3), 256, 3)
        reg = conv(f"head.reg_convs.{k}.1", conv(f"head.reg_convs.{k}.0", stem, 256, 3), 256, 3)
        box, obj = prediction(f"head.reg_preds.{k}", reg, 4), prediction(f"head.obj_preds.{k}", reg, 1)
        maps.append(torch.cat([box, obj, prediction(f"head.cls_preds.{k}", cls, classes)], 1))
    return maps


def narrow(tmp_path: Path, classes: int = 3) -> tuple[Path, dict[str, Tensor], Tensor, list[Tensor]]:
    """An architecture file, weights for it in the official layout, images as ours, and the official maps of them."""
    arch = tmp_path / "narrow.yaml"
    arch.write_text("base: yolox-l\nscale: {depth: 0.33, width: 0.125}\n", encoding="utf-8")
    rgb = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    weights = Weights()
    with torch.no_grad():
        maps = forward(255 * rgb.flip(1), weights, 1, 0.125, classes)
    return arch, weights.values, rgb, maps


@pytest.mark.parametrize("model", FACTS)
def test_a_checkpoint_has_the_released_models_keys_and_all_are_taken(model: str) -> None:
    """Shapes alone, nothing is allocated."""
    weights = Weights(device="meta")
    forward(torch.empty(1, 3, 64, 64, device="meta"), weights, *MULTIPLES[model])
    assert (len(weights.values), weights.params) == FACTS[model]
    with torch.device("meta"):
        state = from_official(weights.values, catscale.load(model))
        expected = catscale.build(catscale.load(model)).state_dict()
    assert {name: value.shape for name, value in state.items()} == {n: v.shape for n, v in expected.items()}


def test_raw_maps_are_those_of_the_facts_for_images_in_rgb_from_0_to_1(cli: Any, tmp_path: Path) -> None:
    """Through a checkpoint as a training writes it, the command line and the run folder."""
    arch, weights, rgb, maps = narrow(tmp_path)
    content = {"start_epoch": 300, "model": weights, "optimizer": {"state": {0: {"buffer": torch.ones(2)}}}}
    torch.save(content, tmp_path / "yolox.pth")
    taken = cli("weights", "yolox.pth", "--arch", arch, "-o", "run", "--json", cwd=tmp_path)
    assert taken.returncode == 0, taken.stderr
    said = json.loads(taken.stdout)
    assert (said["architecture"], said["classes"]) == ("narrow", 3)
    assert said["notes"][0] == "it is for 3 classes, and so is the run folder's architecture"
    assert said["notes"][1].startswith("YOLOX places an image at the top left of its square")
    with torch.no_grad():
        ours = load_run(tmp_path / "run").model(rgb)["lead"]
    for found_map, expected in zip(ours, maps, strict=True):
        error = (found_map[:, 0].permute(0, 3, 1, 2) - expected).abs().max() / expected.abs().max()
        assert error < 1e-5


def test_a_folded_checkpoint_gives_the_same_maps(tmp_path: Path) -> None:
    arch, weights, rgb, maps = narrow(tmp_path)
    fused: dict[str, Tensor] = {key: value for key, value in weights.items() if ".bn." not in key}
    for key in [key for key in fused if key.endswith(".conv.weight")]:
        norm = {part: weights[f"{key[:-11]}bn.{part}"].double() for part in ("weight", "bias", "running_mean")}
        gain = norm["weight"] / (weights[f"{key[:-11]}bn.running_var"].double() + 1e-3).sqrt()
        fused[key] = (weights[key].double() * gain.reshape(-1, 1, 1, 1)).float()
        fused[f"{key[:-6]}bias"] = (norm["bias"] - norm["running_mean"] * gain).float()
    architecture = catscale.load(arch).replace(classes=3)
    model = catscale.build(architecture).eval()
    model.load_state_dict(from_official(fused, architecture))
    with torch.no_grad():
        ours = model(rgb)["lead"]
    for found, expected in zip(ours, maps, strict=True):
        assert (found[:, 0].permute(0, 3, 1, 2) - expected).abs().max() / expected.abs().max() < 1e-5


def test_what_the_weights_are_not_of_is_said_with_the_first_key_and_whose_they_seem_to_be(tmp_path: Path) -> None:
    shapes = Weights(device="meta")
    forward(torch.empty(1, 3, 64, 64, device="meta"), shapes, *MULTIPLES["yolox-s"], classes=3)
    weights = {key: torch.zeros(value.shape) for key, value in shapes.values.items()}
    path = tmp_path / "s.pth"
    torch.save({"model": weights}, path)
    first = r"s\.pth: weights of another architecture: backbone\.backbone\.stem\.conv\.conv\.weight has shape "
    with pytest.raises(
        InputError,
        match=first + r"\(32, 12, 3, 3\) instead of \(48, 12, 3, 3\); .* seem to be of yolox-s for 3 classes",
    ):
        import_weights(path, tmp_path / "run", "yolox-m")
    with pytest.raises(
        InputError, match=r"YOLOX's layout, which has no place for node stem\.conv1 of yolov5-s; name a "
    ):
        import_weights(path, tmp_path / "run", "yolov5-s")
    with pytest.raises(
        InputError, match=r"a plain state dict does not say its architecture; it seems to be --arch yolox-s"
    ):
        import_weights(path, tmp_path / "run")
    del weights["head.obj_preds.1.bias"]
    torch.save({"model": weights}, path)
    with pytest.raises(
        InputError, match=r"s\.pth: weights of another architecture: head\.obj_preds\.1\.bias is missing; "
    ):
        import_weights(path, tmp_path / "run", "yolox-s")
    assert not (tmp_path / "run").exists()
