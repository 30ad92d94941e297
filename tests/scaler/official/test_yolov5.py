"""YOLOv5's files (r6.1) become its models of the zoo, and its checkpoints' weights theirs: all from the facts of it."""

from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
import yaml
from catscale.blocks.errors import InputError
from catscale.scaler.official.checkpoints import from_official
from catscale.scaler.official.importing import import_document
from catscale.trainer.official_weights import import_weights
from catscale.trainer.run_folder import load_run
from torch import Tensor, nn

from .pickled import pickled_model

BODY = """\
backbone:
  - [-1, 1, Conv, [64, 6, 2, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 3, C3, [128]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 6, C3, [256]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [-1, 9, C3, [512]]
"""
P5 = """\
anchors:
  - [10, 13, 16, 30, 33, 23]
  - [30, 61, 62, 45, 59, 119]
  - [116, 90, 156, 198, 373, 326]
BODY
  - [-1, 1, Conv, [1024, 3, 2]]
  - [-1, 3, C3, [1024]]
  - [-1, 1, SPPF, [1024, 5]]
head:
  - [-1, 1, Conv, [512, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 6], 1, Concat, [1]]
  - [-1, 3, C3, [512, False]]
  - [-1, 1, Conv, [256, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 4], 1, Concat, [1]]
  - [-1, 3, C3, [256, False]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [[-1, 14], 1, Concat, [1]]
  - [-1, 3, C3, [512, False]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [[-1, 10], 1, Concat, [1]]
  - [-1, 3, C3, [1024, False]]
  - [[17, 20, 23], 1, Detect, [nc, anchors]]
"""
P6 = """\
anchors:
  - [19, 27, 44, 40, 38, 94]
  - [96, 68, 86, 152, 180, 137]
  - [140, 301, 303, 264, 238, 542]
  - [436, 615, 739, 380, 925, 792]
BODY
  - [-1, 1, Conv, [768, 3, 2]]
  - [-1, 3, C3, [768]]
  - [-1, 1, Conv, [1024, 3, 2]]
  - [-1, 3, C3, [1024]]
  - [-1, 1, SPPF, [1024, 5]]
head:
  - [-1, 1, Conv, [768, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 8], 1, Concat, [1]]
  - [-1, 3, C3, [768, False]]
  - [-1, 1, Conv, [512, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 6], 1, Concat, [1]]
  - [-1, 3, C3, [512, False]]
  - [-1, 1, Conv, [256, 1, 1]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 4], 1, Concat, [1]]
  - [-1, 3, C3, [256, False]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [[-1, 20], 1, Concat, [1]]
  - [-1, 3, C3, [512, False]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [[-1, 16], 1, Concat, [1]]
  - [-1, 3, C3, [768, False]]
  - [-1, 1, Conv, [768, 3, 2]]
  - [[-1, 12], 1, Concat, [1]]
  - [-1, 3, C3, [1024, False]]
  - [[23, 26, 29, 32], 1, Detect, [nc, anchors]]
"""
MULTIPLES = {"n": (0.33, 0.25), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1, 1), "x": (1.33, 1.25)}
KEYS = {  # of the released checkpoints, unfused and fused
    "yolov5-n": (349, 121), "yolov5-s": (349, 121), "yolov5-m": (481, 165), "yolov5-l": (613, 209),
    "yolov5-x": (745, 253), "yolov5-n6": (459, 159), "yolov5-s6": (459, 159), "yolov5-m6": (627, 215),
    "yolov5-l6": (795, 271), "yolov5-x6": (963, 327),
}  # fmt: skip
NARROW = {"yolov5-n": 0.5, "yolov5-n6": 0.5}  # and how much narrower still


def model_file(model: str, classes: int = 80, narrower: float = 1) -> str:
    depth, width = MULTIPLES[model[7]]
    multiples = f"nc: {classes}\ndepth_multiple: {depth}\nwidth_multiple: {width * narrower}\n"
    return multiples + (P6 if model.endswith("6") else P5).replace("BODY\n", BODY)


def images(side: int) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("model", KEYS)
def test_a_model_file_is_the_model_of_the_zoo(model: str) -> None:
    imported = import_document(yaml.safe_load(model_file(model)), "model.yaml", "model").architecture
    assert imported.fingerprint == catscale.load(model).fingerprint
    assert imported.size == catscale.load(model).size


@pytest.mark.parametrize("model", KEYS)
def test_a_plain_state_dict_is_taken_with_all_its_keys(model: str, read_by_rows: Any) -> None:
    """Shapes alone, nothing is allocated."""
    weights = read_by_rows(model_file(model)).weights
    assert len(weights) == KEYS[model][0]
    with torch.device("meta"):
        expected = {name: value.shape for name, value in catscale.build(catscale.load(model)).state_dict().items()}
        fused = folded(weights)
        assert len(fused) == KEYS[model][1]
        for tensors in (weights, fused):
            state = from_official(tensors, catscale.load(model))
            assert {name: value.shape for name, value in state.items()} == expected


def folded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convolutions with their batch norms folded in, by the released models' formula; everything else as it was."""
    fused = {key: value for key, value in weights.items() if ".bn." not in key}
    for key in list(fused):
        if key.endswith(".conv.weight"):
            norm = {part: weights[f"{key[:-11]}bn.{part}"].double() for part in ("weight", "bias", "running_mean")}
            gain = norm["weight"] / (weights[f"{key[:-11]}bn.running_var"].double() + 1e-3).sqrt()
            fused[key] = (weights[key].double() * gain.reshape(-1, 1, 1, 1)).float()
            fused[f"{key[:-6]}bias"] = (norm["bias"] - norm["running_mean"] * gain).float()
    return fused


@pytest.mark.parametrize("form", ["unfused", "fused"])
@pytest.mark.parametrize("model", NARROW)
def test_the_raw_maps_are_those_of_the_facts(model: str, form: str, read_by_rows: Any, tmp_path: Path) -> None:
    """Through the file and the run folder, with the zoo's name and a number of classes that it does not have."""
    x = images(128)
    read = read_by_rows(model_file(model, classes=3, narrower=NARROW[model]), x)
    arch = tmp_path / "narrow.yaml"
    arch.write_text(f"base: {model}\nscale: {{width: {NARROW[model]}}}\n", encoding="utf-8")
    torch.save(read.weights if form == "unfused" else folded(read.weights), tmp_path / "file.pt")
    found, notes = import_weights(tmp_path / "file.pt", tmp_path / "run", str(arch))
    assert found.classes == 3
    assert notes[0] == "it is for 3 classes, and so is the run folder's architecture"
    with torch.no_grad():
        maps = load_run(tmp_path / "run").model(x)["lead"]
    for ours, theirs in zip(maps, read.outputs, strict=True):
        assert torch.equal(ours, theirs) if form == "unfused" else torch.allclose(ours, theirs, atol=1e-5)


def test_a_pickled_model_says_its_architecture(
    read_by_rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a training of it leaves them, with anchors that were fitted to the data."""
    x, document = images(64), yaml.safe_load(model_file("yolov5-n", classes=3, narrower=0.5))
    read = read_by_rows(yaml.safe_dump(document), x)
    half = {key: value.half().to(value) for key, value in read.weights.items()}
    half["model.24.anchors"] = 2 * half["model.24.anchors"]
    with monkeypatch.context() as patch:
        model = pickled_model({**document, "ch": 3}, (8, 16, 32), half, patch, nn.SiLU)
        torch.save({"epoch": -1, "ema": None, "model": model}, tmp_path / "small.pt")
    found, notes = import_weights(tmp_path / "small.pt", tmp_path / "run")
    narrow = catscale.load("yolov5-n").scale(width=0.5).replace(classes=3)
    fitted = 2 * torch.tensor(narrow.anchors)
    assert notes == ("it has anchors of its own, and so has the run folder's architecture",)
    assert torch.allclose(torch.tensor(found.anchors), fitted, rtol=1e-3)
    assert found.replace(anchors=narrow.anchors).fingerprint == narrow.fingerprint
    run = load_run(tmp_path / "run")
    assert run.classes == ("thing 0", "thing 1", "thing 2")
    expected = read_by_rows(yaml.safe_dump(document), x, half.items()).outputs
    with torch.no_grad():
        maps = run.model(x)["lead"]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(maps, expected, strict=True))


def test_weights_of_another_size_are_told_whose_they_are(read_by_rows: Any, tmp_path: Path) -> None:
    weights = {key: torch.ones(value.shape) for key, value in read_by_rows(model_file("yolov5-n", 3)).weights.items()}
    torch.save(weights, tmp_path / "file.pt")
    with pytest.raises(
        InputError,
        match=r"file\.pt: weights of another architecture: model\.0\.conv\.weight has shape \(16, 3, 6, 6\) instead of "
        r"\(32, 3, 6, 6\); 60 of 348 tensors match; they seem to be of yolov5-n for 3 classes$",
    ):
        import_weights(tmp_path / "file.pt", tmp_path / "run", "yolov5-s")
    with pytest.raises(
        InputError, match=r"a plain state dict does not say its architecture; it seems to be --arch yolov5-n$"
    ):
        import_weights(tmp_path / "file.pt", tmp_path / "run")
    torch.save({**weights, "model.24.anchors": torch.zeros(3, 3, 2)}, tmp_path / "file.pt")
    with pytest.raises(InputError, match=r"file\.pt: its anchors are no widths and heights above zero"):
        import_weights(tmp_path / "file.pt", tmp_path / "run", "yolov5-n")
    del weights["model.9.cv2.bn.weight"]
    torch.save(weights, tmp_path / "file.pt")
    with pytest.raises(
        InputError, match=r"model\.9\.cv2\.bn\.weight is missing; 347 of 348 tensors match; name the arch"
    ):
        import_weights(tmp_path / "file.pt", tmp_path / "run", "yolov5-n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "row", ["[-1, 3, C3, [128, 0.5]]", "[-1, 3, C3, [128, 1]]", "[-1, 1, SPPF, [128, 7]]", "[-1, 3, C3, []]"]
)
def test_arguments_that_the_released_files_do_not_have_are_refused(row: str) -> None:
    text = model_file("yolov5-s").replace("[-1, 3, C3, [128]]", row)
    with pytest.raises(InputError, match=r"row 2 \(\w+\): args: \[.*\] are not supported"):
        import_document(yaml.safe_load(text), "model.yaml", "model")
