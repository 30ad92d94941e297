"""Zero-cost proxies: each against its closed form on networks that a person can follow, and the same everywhere."""

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from catscale.blocks.levels import Predict
from catscale.blocks.modules import ConvLayer, PredictLayer
from catscale.blocks.ops import Conv
from catscale.scaler.architecture import Architecture
from catscale.scaler.zoo import load
from catscale.search.proxies import scores
from catscale.search.proxies.initialised import gaussian, initialised
from catscale.search.proxies.meco import meco
from catscale.search.proxies.naswot import naswot
from catscale.search.proxies.scores import score
from catscale.search.proxies.synflow import synflow
from catscale.search.proxies.zen import zen
from catscale.search.settings import ProxyKind
from torch import Tensor, fx, nn

KINDS: tuple[ProxyKind, ...] = tuple(kind for kind in get_args(ProxyKind) if kind != "activations")


def numpy_state() -> str:
    return str(np.random.get_state())  # noqa: NPY002


def photographs(size_px: int) -> Tensor:
    return torch.rand(6, 3, size_px, size_px, generator=torch.Generator().manual_seed(1))


def tiny(size_px: int = 64, **scalings: float) -> Architecture:
    return load("yolov7-tiny").scale(**{**scalings, "width": 0.125}).replace(size=size_px)


class Lead(nn.Module):
    """Layers in a chain; what comes out is the only level's map."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> dict[str, list[Tensor]]:
        return {"lead": [self.layers(images)]}


class Leaves(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, Lead | nn.Sequential)


def chain(*layers: nn.Module) -> fx.GraphModule:
    model = Lead(*layers)
    return fx.GraphModule(model, Leaves().trace(model))


def points(*widths: int, act: str | None = "silu") -> list[ConvLayer]:
    """1x1 convolutions from RGB on, with batch norm."""
    inputs = (3, *widths)
    op = [Conv(width, act=act) for width in widths]  # type: ignore[arg-type]
    return [ConvLayer(one, channels) for one, channels in zip(op, inputs, strict=False)]


def test_synflow_of_a_chain_is_the_product_of_its_absolute_weights() -> None:
    layers = points(4, 5, 2)
    model = chain(*layers)
    through = np.ones(3)
    for layer in layers:
        through = np.abs(layer.conv.weight.detach().double().numpy()[:, :, 0, 0]) @ through
    assert synflow(model, 8) == pytest.approx(math.log(3 * 64 * through.sum()), rel=1e-9)


def test_synflow_knows_neither_signs_nor_batch_norm_nor_where_along_a_chain_the_weights_are_large() -> None:
    def varied(change: bool) -> float:
        torch.manual_seed(0)
        layers = points(4, 5, 2)
        if change:
            with torch.no_grad():
                layers[0].conv.weight.mul_(-1000)
                layers[2].conv.weight.div_(1000)
                assert isinstance(layers[1].norm, nn.BatchNorm2d)
                layers[1].norm.weight.fill_(9)
        return synflow(chain(*layers), 8)

    assert varied(True) == pytest.approx(varied(False), rel=1e-6)


def test_synflow_of_a_very_deep_network_does_not_overflow() -> None:
    layers = points(*[1] * 500, act=None)
    with torch.no_grad():
        for layer in layers:
            layer.conv.weight.fill_(8.0)
    expected = math.log(500 * 3 * 16) + 500 * math.log(8)  # R is beyond 1e450
    assert synflow(chain(*layers), 4) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.LeakyReLU(0.1)])
def test_naswot_is_the_log_determinant_of_how_often_two_images_codes_agree(activation: nn.Module) -> None:
    one = torch.tensor([1.0, 2.0, -1.0, -3.0])
    other = torch.tensor([1.0, -2.0, 1.0, -3.0])  # two of the four agree
    images = torch.stack((one, other)).reshape(2, 1, 2, 2)
    assert naswot(chain(activation), images) == pytest.approx(math.log(4 * 4 - 2 * 2))
    assert naswot(chain(activation), images[:1].repeat(2, 1, 1, 1)) == -math.inf


def test_zen_takes_back_what_batch_norm_divides_by() -> None:
    def scaled(factor: float) -> float:
        model = initialised(tiny(), 0, gaussian)
        with torch.no_grad():
            conv = model.get_submodule("stem.conv2.conv")
            assert isinstance(conv, nn.Conv2d)
            conv.weight.mul_(factor)
        return zen(model, torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0)))

    assert scaled(1000) - scaled(10) == pytest.approx(math.log(100), abs=1e-2)


def test_zen_of_a_linear_network_is_the_log_of_how_it_stretches_a_change() -> None:
    conv = nn.Conv2d(3, 4, 1, bias=False)
    images, changes = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    predict = PredictLayer(Predict(((1.0, 1.0),), 1, 8), 4).double()
    stretched = torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0].double(), 0.01 * changes)
    expected = stretched.abs().sum((1, 2, 3)).mean().log().item()
    assert zen(chain(conv.double(), predict), torch.cat((images, changes))) == pytest.approx(expected, rel=1e-6)


def test_zen_grows_with_depth() -> None:
    shallow, base, deep = (score("zen", tiny(compound=depth), photographs, 0) for depth in (0.5, 1.0, 1.5))
    assert shallow is not None
    assert base is not None
    assert deep is not None
    assert shallow < base < deep


def test_meco_is_the_least_eigenvalue_of_the_channels_correlation() -> None:
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    maps = torch.cat((x, x + y), 1)
    rho = np.corrcoef(x.flatten(), (x + y).flatten())[0, 1]
    assert meco(chain(nn.SiLU()), maps) == pytest.approx(1 - rho, rel=1e-6)
    assert meco(chain(nn.SiLU()), torch.cat((x, -2 * x), 1)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_the_same_for_a_seed_and_leaves_no_trace(kind: ProxyKind) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state(), torch.get_num_threads(), numpy_state(), random.getstate()
    first = score(kind, tiny(), photographs, 0)
    assert torch.equal(before[0], torch.get_rng_state())
    after = torch.get_num_threads(), numpy_state(), random.getstate()
    assert before[1:] == after
    torch.manual_seed(8)
    assert score(kind, tiny(), photographs, 0) == first
    assert score(kind, tiny(), photographs, 1) != first


def test_equal_fingerprints_have_equal_scores(tmp_path: Path) -> None:
    base = tiny()
    lines = base.to_yaml().replace("neck.", "zz.neck.").replace("backbone.", "spine.").splitlines()
    heads = [line for line in lines if line.strip().startswith("head.p")]
    rest = [line for line in lines if line not in heads]
    last = next(index for index, line in enumerate(rest) if line.startswith("heads:"))
    (tmp_path / "renamed.yaml").write_text("\n".join([*rest[:last], *reversed(heads), *rest[last:]]))
    renamed = load(str(tmp_path / "renamed.yaml"))
    assert [layer.name for layer in renamed.graph().layers] != [layer.name for layer in base.graph().layers]
    assert renamed.fingerprint == base.fingerprint
    for kind in KINDS:
        assert score(kind, renamed, photographs, 0) == score(kind, base, photographs, 0)


def test_activations_are_the_count() -> None:
    assert score("activations", tiny(), photographs, 0) == tiny().cost().activations


def test_auxiliary_heads_are_left_out() -> None:
    base = tiny()
    for kind in KINDS:
        assert score(kind, base.scale(aux="auto"), photographs, 0) == score(kind, base, photographs, 0)


def test_another_process_with_another_number_of_threads_has_the_same_scores() -> None:
    code = (
        "import json, torch; from catscale.scaler.zoo import load; from catscale.search.proxies.scores import score\n"
        "images = lambda size: torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(1))\n"
        "base = load('yolov7-tiny').scale(width=0.125).replace(size=64)\n"
        f"print(json.dumps([score(kind, base, images, 0) for kind in {KINDS}]))"
    )
    threads = str(torch.get_num_threads() + 1)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": threads}, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == [score(kind, tiny(), photographs, 0) for kind in KINDS]


def test_what_would_take_too_much_or_is_no_number_has_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = torch.zeros(4, 3, 64, 64)
    assert score("naswot", tiny(), lambda size_px: alike, 0) is None
    monkeypatch.setattr(scores, "MOST_MACS", 1e4)
    assert [score(kind, tiny(), photographs, 0) for kind in KINDS] == [None] * len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_both_activations_and_every_resolution_are_scored(kind: ProxyKind) -> None:
    for activation in ("silu", "leaky_relu"):
        small, large = (score(kind, tiny(size).scale(activation=activation), photographs, 0) for size in (64, 96))
        assert small is not None
        assert large is not None
        assert small != large


@pytest.mark.parametrize("head", ["decoupled", "et"])
@pytest.mark.parametrize("kind", KINDS)
def test_heads_without_anchors_are_scored_too(kind: ProxyKind, head: str) -> None:
    found = score(kind, tiny().scale(head=head), photographs, seed=0)
    assert found is not None
    assert math.isfinite(found)
