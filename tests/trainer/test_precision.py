"""Mixed precision and clipping, held against plain float32."""

from collections.abc import Callable

import catscale
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.trainer.data.loader import Batch
from catscale.trainer.precision import HalfBackwardConv, Precision, precision
from catscale.trainer.recipe import load_recipe
from catscale.trainer.step import Stepper
from torch import nn
from torch.nn.functional import cosine_similarity


@pytest.mark.parametrize(("kernel", "stride", "groups", "bias"), [(1, 1, 1, True), (3, 2, 1, False), (3, 1, 4, False)])
def test_only_the_gradients_of_a_convolution_are_rounded(kernel: int, stride: int, groups: int, bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=groups, bias=bias)
    half = HalfBackwardConv(8, 8, kernel, stride, kernel // 2, groups=groups, bias=bias)
    half.load_state_dict(plain.state_dict())
    x = torch.randn(2, 8, 9, 9)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [conv(value) for conv, value in zip((plain, half), inputs, strict=True)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    pairs = [
        (inputs[0].grad, inputs[1].grad),
        *((a.grad, b.grad) for a, b in zip(plain.parameters(), half.parameters(), strict=True)),
    ]
    for exact, rounded in pairs:
        assert exact is not None
        assert rounded is not None
        assert rounded.dtype is torch.float32
        assert not torch.equal(exact, rounded)
        assert (exact - rounded).norm() < 2**-7 * exact.norm()  # bfloat16 has 8 bits


def first_gradient(**changes: object) -> torch.Tensor:
    arch = catscale.load("yolov7-tiny").scale(width=0.25).replace(classes=6)
    torch.manual_seed(0)
    step = Stepper(arch, load_recipe("quick", changes), device=torch.device("cpu"), size_px=64)
    step.model.train()
    torch.manual_seed(1)
    targets = torch.tensor([[image, 2, 0.5, 0.4, 0.3, 0.4] for image in range(4)])
    batch = Batch(torch.rand(4, 3, 64, 64), targets, (0, 1, 2, 3), ())
    step.backward(step.measure(step.forward(step.images(batch)), batch, 4).total)
    return torch.cat([parameter.grad.flatten() for parameter in step.model.parameters() if parameter.grad is not None])


def test_a_detectors_gradient_keeps_its_direction_where_only_the_backward_pass_is_rounded() -> None:
    exact = first_gradient(amp="fp32")
    assert cosine_similarity(first_gradient(amp="bf16-backward"), exact, dim=0) > 0.999
    assert cosine_similarity(first_gradient(amp="bf16"), exact, dim=0) < 0.95  # why it is not the default


@pytest.mark.parametrize(
    ("amp", "expected"),
    [("fp32", Precision()), ("bf16", Precision(torch.bfloat16)), ("fp16", Precision(torch.float16))],
)
def test_a_recipe_may_name_the_format(amp: str, expected: Precision) -> None:
    assert precision(load_recipe("p5", {"amp": amp}).amp, torch.device("cpu")) == expected
    assert expected.scaled == (amp == "fp16")


@pytest.mark.parametrize(("flags", "native"), [("fpu avx512f", False), ("fpu avx512_bf16", True), ("amx_bf16", True)])
def test_a_processor_without_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, flags: str, native: bool
) -> None:
    read: Callable[..., str] = lambda *_, **__: f"model name : x\nflags : {flags}\n"  # noqa: E731
    monkeypatch.setattr("pathlib.Path.read_text", read)
    assert precision("auto", torch.device("cpu")) == Precision(backward=native)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match=r"amp: input should be 'auto', 'fp32', 'bf16'.* not 'fp8'"):
        load_recipe("p5", {"amp": "fp8"})


def test_a_long_gradient_is_clipped_to_its_norm() -> None:
    arch = catscale.load("yolov7-tiny").scale(width=0.125)
    moved: list[float] = []
    for clip in (0.0, 0.5):
        torch.manual_seed(0)
        recipe = load_recipe("quick", {"clip_norm": clip, "weight_decay": 0, "momentum": 0, "lr0": 1.0})
        step = Stepper(arch, recipe, device=torch.device("cpu"), size_px=64)
        before = torch.cat([parameter.detach().flatten().clone() for parameter in step.model.parameters()])
        for parameter in step.model.parameters():
            parameter.grad = torch.ones_like(parameter)
        assert step.update()
        after = torch.cat([parameter.detach().flatten() for parameter in step.model.parameters()])
        moved.append(float((after - before).double().norm()))
    assert moved == pytest.approx([len(before) ** 0.5, 0.5], rel=1e-3)
