"""Real photographs from the command line: a narrow detector learns to find blood cells."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import catscale
import pytest
from catscale.blocks.heads import HEADS
from catscale.scaler.documents import dump_yaml
from catscale.trainer.pairings import ASSIGNERS, AssignerWord, is_meaningful

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.realdata

PUBLISHED = [("yolox-s", "decoupled"), ("pp-yoloe-s", "et")]


def test_a_narrow_detector_finds_blood_cells(
    cli: CommandLine, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "narrow.yaml").write_text(catscale.load("yolov7-tiny").scale(width=0.25).to_yaml())
    data = real_data / "bccd"
    command = f"train narrow.yaml --data {data} --recipe quick --epochs 15 --size 192 --device cpu --name cells"
    training = cli(*command.split(), cwd=tmp_path, timeout=580)
    assert training.returncode == 0, training.stderr
    result = cli("val", "runs/train/cells", "--split", "test", "--json", "--device", "cpu", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    with capsys.disabled():
        print(f"\nBCCD, test split, small-scale: AP50 {figures['ap50']:.3f}, AP {figures['ap']:.3f}")
    # Boxes at random reach below 0.01; this training about 0.6.
    assert figures["ap50"] > 0.35
    assert all(row["ap50"] > 0.05 for row in figures["per_class"].values()), figures["per_class"]

    images = data / "images"
    predicted = cli(
        "predict", "runs/train/cells", images / "BloodImage_00007.jpg", "-o", "found", "--json", cwd=tmp_path
    )
    assert predicted.returncode == 0, predicted.stderr
    assert len(json.loads(predicted.stdout)[0]["detections"]) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("constraint", [True, False])
@pytest.mark.parametrize("mode", ["none", "independent", "lead", "coarse-to-fine"])
def test_every_assignment_of_table_6_and_7_learns(
    cli: CommandLine, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str, constraint: bool
) -> None:
    if mode == "none" and not constraint:
        pytest.skip("without auxiliary heads there is nothing to constrain")
    heads = "none" if mode == "none" else "auto"
    cli("scale", "yolov7-tiny", "--width", "0.25", "--aux", heads, "-o", "narrow.yaml", cwd=tmp_path)
    assignment = "lead" if mode == "none" else mode
    settings = {"base": "quick", "assigner": "ota", "ota_top_k": 20, "aux_assignment": assignment}
    (tmp_path / "ota.yaml").write_text(dump_yaml({**settings, "aux_constraint": constraint}))
    command = f"train narrow.yaml --data {real_data / 'bccd'} --recipe ota.yaml --epochs 15 --size 160 --device cpu"
    training = cli(*command.split(), "--name", "cells", cwd=tmp_path, timeout=580)
    assert training.returncode == 0, training.stderr
    with (tmp_path / "runs/train/cells/results.csv").open() as file:
        epochs = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    first, last = (sum(epoch[part] for part in ("box", "obj", "cls")) for epoch in (epochs[0], epochs[-1]))
    best = max(epochs, key=lambda epoch: epoch["ap"])
    with capsys.disabled():
        print(
            f"\nBCCD, validation split, small-scale: {mode}, constraint {constraint}: loss {first:.3f} to {last:.3f}, "
            f"AP50 {best['ap50']:.3f}, AP {best['ap']:.3f}"
        )
    assert last < 0.9 * first
    assert best["ap50"] > 0.1  # boxes at random reach below 0.01


@pytest.mark.slow
@pytest.mark.parametrize("assigner", ASSIGNERS)
@pytest.mark.parametrize(("model", "head"), [("yolov7-tiny", kind) for kind in HEADS] + PUBLISHED)
def test_every_meaningful_pairing_of_head_and_assigner_learns(
    cli: CommandLine,
    real_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    head: str,
    assigner: AssignerWord,
) -> None:
    narrow = catscale.load(model).scale(width=0.25)
    (tmp_path / "narrow.yaml").write_text(narrow.scale(head=head).to_yaml())
    recipe = "quick" if head == "anchor" else "quick-points"
    command = f"train narrow.yaml --data {real_data / 'bccd'} --recipe {recipe} --assigner {assigner}"
    options = "--epochs 16 --size 128 --device cpu --folder cells --no-pictures"
    training = cli(*command.split(), *options.split(), cwd=tmp_path, timeout=580)
    if not is_meaningful(HEADS[head], assigner):
        assert (training.returncode, training.stderr.count("\n"), (tmp_path / "cells").exists()) == (2, 1, False)
        assert f": assigner: {assigner} chooses among " in training.stderr
        return
    assert training.returncode == 0, training.stderr
    with (tmp_path / "cells/results.csv").open() as file:
        epochs = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    first, last = (epoch["box"] + epoch["obj"] + epoch["cls"] for epoch in (epochs[0], epochs[-1]))
    best = max(epochs, key=lambda epoch: epoch["ap"])
    with capsys.disabled():
        print(
            f"\nBCCD, validation split, small-scale: {model}, {head} x {assigner}: loss {first:.3f} to {last:.3f}, "
            f"AP50 {best['ap50']:.3f}, AP {best['ap']:.3f}"
        )
    assert last < first
    assert best["ap"] > 0.05  # boxes at random reach below 0.01
