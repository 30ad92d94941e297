"""One training on two processes against one process with the whole batch."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import catscale
import pytest
import torch
from catscale.scaler.build import build
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.loop import train
from catscale.trainer.recipe import load_recipe
from catscale.trainer.run_folder import RunFolder
from safetensors.torch import load_file

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


def test_two_processes_make_the_weights_of_one(cli: CommandLine, tmp_path: Path) -> None:
    """SiLU: rounding moves no value across a kink, as it does with LeakyReLU, whose gradients then differ by 2 %."""
    arch = catscale.load("yolov7-tiny").scale(width=0.125).replace(classes=6, activation="silu")
    (tmp_path / "narrow.yaml").write_text(arch.to_yaml())
    make_shapes(tmp_path / "shapes", train=7, val=2, test=0, size_px=64)  # batches of 4 and 3: uneven shares
    (tmp_path / "recipe.yaml").write_text(
        "base: quick\nbatch: 4\nnominal_batch: 4\nepochs: 1\namp: fp32\nwarmup_epochs: 0\nlr0: 0.0005\n"
    )
    recipe = load_recipe(tmp_path / "recipe.yaml")
    arguments = "train narrow.yaml --data shapes/ --recipe recipe.yaml --size 64 --devices cpu,cpu --folder two"
    result = cli(*arguments.split(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Results saved to two") == 1

    whole = open_dataset(str(tmp_path / "shapes"))
    train(arch, whole, recipe, tmp_path / "one", size_px=64)
    torch.manual_seed(0)
    fresh = build(arch).state_dict()
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    rows = [RunFolder(tmp_path / name).read_metrics()[0] for name in ("one", "two")]
    assert two.keys() == one.keys()
    for name, value in one.items():
        moved = (value - fresh[name]).double().norm()
        assert (two[name] - value).double().norm() <= 0.02 * moved + 1e-9, name
    assert rows[1].box == pytest.approx(rows[0].box, rel=1e-3)
    assert rows[1].instances == rows[0].instances


def test_devices_that_are_none_are_refused(cli: CommandLine) -> None:
    result = cli("train", "yolov7-tiny", "--data", "shapes", "--devices", "cpu,gpu")
    assert (result.returncode, result.stderr) == (
        2,
        "error: --devices cpu,gpu: give numbers of CUDA devices as in 0,1, or cpu,cpu\n",
    )
