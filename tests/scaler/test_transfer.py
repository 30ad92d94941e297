"""Weights travel between variants by layer name, as far as they overlap."""

from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
from torch import nn


def built(architecture: catscale.Architecture, value: float) -> nn.Module:
    """A model all of whose parameters and running statistics have one value."""
    model = catscale.build(architecture)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(value)
    return model


TINY = catscale.load("yolov7-tiny").scale(width=0.25).replace(classes=3)


def test_the_same_architecture_comes_over_whole() -> None:
    source = catscale.build(TINY)
    target = built(TINY, 0)
    found = catscale.transfer(target, source)
    assert (found.share, found.partial, found.left) == (1, (), ())
    assert found.parameters == TINY.cost().params_train
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())


def test_a_wider_model_takes_the_first_channels_and_keeps_the_rest() -> None:
    target = built(TINY.scale(width=2), 0)
    found = catscale.transfer(target, built(TINY, 1))
    assert found.left == ()
    assert found.transferred == TINY.cost().params_train  # all that there is has room
    assert sum(int(value.sum()) for value in target.parameters()) == found.transferred
    weight = target.state_dict()["backbone.p3.elan.tap1.conv1.conv.weight"]
    assert weight.shape[:2] == (32, 32)
    assert torch.equal(weight[:16, :16], torch.ones(16, 16, 3, 3))
    assert weight[16:].sum() == weight[:, 16:].sum() == 0
    variance = target.state_dict()["backbone.p3.elan.tap1.conv1.norm.running_var"]
    assert (variance[:16].unique().tolist(), variance[16:].unique().tolist()) == ([1], [0])


def test_a_deeper_model_finds_no_layer_for_its_new_stages() -> None:
    found = catscale.transfer(built(TINY.scale(depth=2), 0), built(TINY, 1))
    assert found.left
    assert all(".tap3." in name or ".tap4." in name for name in found.left)
    assert f"{found.share:.1%} of {found.parameters:,} parameters transferred" in str(found)


def test_a_head_of_other_classes_takes_boxes_and_objectness_of_every_anchor() -> None:
    target = built(TINY.replace(classes=5), 0)
    found = catscale.transfer(target, built(TINY, 1))
    bias = target.state_dict()["detect.lead.p3.conv.bias"].view(3, 10)
    assert bias.tolist() == [[1] * 5 + [0] * 5] * 3
    assert target.state_dict()["detect.lead.p3.factor"].view(3, 10).tolist() == bias.tolist()
    assert {name.rpartition(".p")[0] for name in found.partial} == {"detect.lead"}


def test_a_layer_with_another_kernel_is_left() -> None:
    one, three = (nn.Sequential(nn.Conv2d(2, 2, kernel)) for kernel in (1, 3))
    found = catscale.transfer(one, three)
    assert (found.left, found.whole) == (("0.weight",), ("0.bias",))


@pytest.mark.slow
def test_training_begins_with_the_weights_of_a_run(cli: Any, tmp_path: Path) -> None:
    from catscale.scaler.official.checkpoints import to_official

    (tmp_path / "base.yaml").write_text(TINY.replace(name="base").to_yaml(), encoding="utf-8")
    torch.save(to_official(catscale.build(TINY)), tmp_path / "base.pt")
    assert cli("weights", "base.pt", "--arch", "base.yaml", "-o", "base", cwd=tmp_path).returncode == 0
    command = ["train", "base.yaml", "--data", "shapes", "--recipe", "quick", "--epochs", "1", "--size", "64"]
    done = cli(*command, "--weights", "base", "--folder", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "base: " in done.stderr
    assert "parameters transferred" in done.stderr
    absent = cli(*command, "--weights", "nowhere", "--folder", "other", cwd=tmp_path)
    assert (absent.returncode, absent.stderr.strip()) == (2, "error: nowhere: no such run folder")
