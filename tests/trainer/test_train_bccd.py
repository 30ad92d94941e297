"""Real photographs from the command line: a narrow detector learns to find blood cells."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import catscale
import pytest

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.realdata


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
