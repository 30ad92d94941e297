"""Export: each format runs elsewhere, at any batch and size, and computes what the detector computes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catscale
import numpy as np
import pytest
import torch
from catscale.blocks.errors import CatscaleError, InputError
from catscale.scaler.suppression import suppress
from catscale.trainer import export_program
from catscale.trainer.checkpoint import WeightsHeader, save_weights
from catscale.trainer.export import Exported, ExportSettings, export
from catscale.trainer.recipe import load_recipe
from catscale.trainer.run_folder import RunFacts, RunFolder, load_run
from PIL import Image

from ..scaler.latency.small_detector import YAML

CLASSES = ("Zelle", "'quoted\"", "Größe µ")
SMALL = YAML.replace("name: small", 'name: \'small """ + print(1) + """\'')
INPUTS = [(1, 3, 64, 64), (3, 3, 96, 160)]
CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained detector that finds something everywhere, its data gone."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(SMALL)
    torch.manual_seed(0)
    arch = catscale.load(str(folder / "small.yaml"))
    model = catscale.build(arch)
    with torch.no_grad():
        for name, bias in model.named_parameters():
            if name.startswith("detect.lead") and name.endswith("conv.bias"):
                bias.view(2, 8)[:, 4:] += torch.tensor([6.0, 2, 2, 2])
    model.train()
    model(torch.rand(4, 3, 64, 64))  # batch norms away from where they start
    files, ids = RunFolder(folder), (1, 5, 7)
    files.write_settings(arch, load_recipe("quick"))
    files.write_facts(RunFacts(arch.name, arch.fingerprint, CLASSES, ids, "gone", 64, 0, "cpu", {}))
    save_weights(
        files.weights("best"), model.eval(), WeightsHeader(arch.name, arch.fingerprint, 64, CLASSES, ids, 3, 0.1, 0.2)
    )
    return folder


def detector(run: Path) -> torch.fx.GraphModule:
    return catscale.deploy(load_run(run).model)


def batches() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(shape) for shape in INPUTS]


def test_generated_python_needs_torch_alone(run: Path, tmp_path: Path) -> None:
    exported = export(run, ExportSettings("python", 64), out=tmp_path / "made")
    assert sorted(path.name for path in exported.path.iterdir()) == ["model.py", "model.safetensors"]
    torch.save(batches(), tmp_path / "in.pt")
    script = (
        "import sys, torch, model\n"
        "detector = model.load()\n"
        "torch.save([detector(batch) for batch in torch.load('in.pt')], 'out.pt')\n"
        "print(sorted({'catscale', 'safetensors', 'torchvision'} & set(sys.modules)))\n"
        "print(model.NAMES, model.STRIDES, model.SIZE_PX)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(exported.path)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", f"{CLASSES} (8, 16) 64"]
    model = detector(run)
    for batch, found in zip(batches(), torch.load(tmp_path / "out.pt", weights_only=True), strict=True):
        torch.testing.assert_close(found, model(batch), rtol=1e-5, atol=1e-4)


def test_a_program_runs_without_our_code_and_says_what_it_is(run: Path, tmp_path: Path) -> None:
    exported = export(run, ExportSettings("torch", 64, conf=0.3), out=tmp_path / "small.pt2")
    assert [check.shape for check in exported.checks] == [(1, 3, 64, 64), (2, 3, 80, 80)]
    assert exported.image == "a drawn scene"
    extra = {export_program.EXTRA: ""}
    program = torch.export.load(exported.path, extra_files=extra)
    facts = json.loads(extra[export_program.EXTRA])
    assert (facts["names"], facts["strides"], facts["category_ids"]) == (list(CLASSES), [8, 16], [1, 5, 7])
    assert (facts["conf"], facts["epoch"], facts["size_px"]) == (0.3, 3, 64)
    model = detector(run)
    for batch in batches():
        torch.testing.assert_close(program.module()(batch), model(batch), rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def suppressing(run: Path) -> Exported:
    pytest.importorskip("onnxscript")
    Image.new("RGB", (90, 60), (200, 30, 30)).save(run / "red.png")
    return export(run, ExportSettings("onnx", 64, nms=True, conf=0.4, iou=0.5), image=run / "red.png")


def test_onnx_with_suppression_gives_our_own_detections(run: Path, suppressing: Exported) -> None:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(suppressing.path, providers=["CPUExecutionProvider"])
    model = detector(run)
    for batch in batches():
        (rows,) = session.run(None, {"images": batch.numpy()})
        assert (np.diff(rows[:, 5]) <= 0).all()  # best first
        wanted = suppress(model(batch), conf=0.4, iou=0.5, max_det=300, multi_label=False)
        for place, image in enumerate(wanted):
            found = rows[rows[:, 0] == place]
            assert len(found) > 3
            assert found[:, 6].tolist() == image.labels.tolist()
            np.testing.assert_allclose(found[:, 1:5], image.boxes.numpy(), atol=1e-2)
            np.testing.assert_allclose(found[:, 5], image.scores.numpy(), atol=1e-4)


def test_onnx_says_what_it_is(run: Path, suppressing: Exported) -> None:
    onnx = pytest.importorskip("onnx")
    assert suppressing.image == str(run / "red.png")
    proto = onnx.load(suppressing.path)
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(facts["names"]) == list(CLASSES)
    assert (facts["strides"], facts["conf"], facts["iou"], facts["nms"]) == ("[8, 16]", "0.4", "0.5", "true")
    assert facts["input"].startswith("images (B, 3, H, W): RGB from 0 to 1")
    (sides,) = (
        [side.dim_param or side.dim_value for side in one.type.tensor_type.shape.dim] for one in proto.graph.input
    )
    assert sides == ["batch", 3, "16*rows", "16*columns"]


def test_what_computes_something_else_is_not_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Off:
        def module(self) -> Any:
            return lambda batch: detector(run)(batch) + 0.1

    monkeypatch.setattr(torch.export, "load", lambda *_: Off())
    with pytest.raises(CatscaleError, match=r"wrong\.pt2: differs from the detector by 0\.1 px and 0\.1 in scores"):
        export(run, ExportSettings("torch", 64, fixed=True), out=tmp_path / "wrong.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ExportSettings("torch", 64, nms=True), "--nms: torch gives all boxes; only --format onnx holds a suppression"),
        (ExportSettings("python", 64, fixed=True), "--fixed: generated Python takes any batch and size; leave it out"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(run: Path, settings: ExportSettings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export(run, settings)


def test_a_missing_package_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"--format onnx: needs the package onnx; .*pip install 'catscale\[onnx\]'"):
        export(run, ExportSettings("onnx", 64))


def test_the_command_prints_the_differences(cli: CommandLine, run: Path, tmp_path: Path) -> None:
    done = cli("export", run, "--format", "python", "-o", tmp_path / "made", "--size", 96)
    assert done.returncode == 0, done.stderr
    first, *checks, last = done.stdout.splitlines()
    assert first.startswith("Compared on a drawn scene by python 3.")
    assert [line.split(":")[0].strip() for line in checks] == ["1 x 3 x 96 x 96", "2 x 3 x 112 x 112"]
    assert last.startswith(f"Exported to {tmp_path / 'made'}, 0.0 MB")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*("yolov7-tiny", "yolov7", "yolov7-w6", "yolov7-e6e", "yolov4-csp"), *("yolox-s", "pp-yoloe-s")]
)
def test_narrow_models_of_the_zoo_export_in_every_format(name: str, tmp_path: Path) -> None:
    arch = catscale.load(name).scale(width=0.125).replace(classes=3)
    files, size_px = RunFolder(tmp_path), 2 * arch.strides[-1]
    files.write_settings(arch, load_recipe("quick"))
    files.write_facts(RunFacts(arch.name, arch.fingerprint, CLASSES, (1, 2, 3), "gone", size_px, 0, "cpu", {}))
    header = WeightsHeader(arch.name, arch.fingerprint, size_px, CLASSES, (1, 2, 3), 1, 0.0, 0.0)
    save_weights(files.weights("best"), catscale.build(arch), header)
    for form in ("python", "torch", "onnx"):
        assert len(export(tmp_path, ExportSettings(form, size_px)).checks) == 2
