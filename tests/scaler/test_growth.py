"""A variant that begins with a trained base's weights computes what the base computes, to the rounding of sums."""

from typing import Any

import catscale
import pytest
import torch
from catscale.scaler.growth import grow
from catscale.scaler.growth_plan import GrowthError, plan_growth

from .trained_alike import trained_alike

NARROW: dict[str, dict[str, Any]] = {
    "yolov7-tiny": {"width": 0.25},
    "yolov7": {"width": 0.125},
    "yolov7-w6": {"width": 0.125},
    "yolor-csp": {"width": 0.125},
    "yolor-p6": {"width": 0.125},
}


def narrow(name: str) -> catscale.Architecture:
    return catscale.load(name).scale(**NARROW[name]).replace(classes=2)


def outputs(model: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    return model(images)["lead"]


@pytest.mark.parametrize(
    ("name", "scalings"),
    [
        ("yolov7-tiny", {"depth": 2}),
        ("yolov7-tiny", {"compound": 1.5}),
        ("yolov7-tiny", {"width": 2}),
        ("yolov7-tiny", {"extend": 2}),
        ("yolov7-tiny", {"extend": 3, "form": "grouped"}),
        ("yolov7-tiny", {"compound": 2, "extend": 2, "rep": "planned", "width": 1.5}),
        ("yolov7-tiny", {"aux": "auto"}),
        ("yolov7", {"compound": 1.5}),
        ("yolov7-w6", {"compound": {"backbone": 1.5}, "extend": 2}),
        ("yolor-csp", {"width": 1.5}),
        ("yolor-p6", {"depth": {"backbone": 2}}),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_a_grown_model_computes_what_its_base_computes(name: str, scalings: dict[str, Any], training: bool) -> None:
    torch.manual_seed(0)
    base = catscale.build(narrow(name)).double()
    trained_alike(base)
    larger = catscale.build(narrow(name).scale(**scalings)).double()
    trained_alike(larger)  # whatever stands there before has no effect
    found = grow(larger, base)
    images = torch.rand(2, 3, 128, 128, dtype=torch.float64)
    with torch.no_grad():
        wanted = outputs(base.train(training), images)
        for ours, theirs in zip(outputs(larger.train(training), images), wanted, strict=False):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    assert 0 < found.inherited <= narrow(name).cost().params_train


def test_an_equal_model_takes_over_everything() -> None:
    base, same = (catscale.build(narrow("yolov7")) for _ in range(2))
    trained_alike(base)
    found = grow(same, base)
    assert found.inherited == found.parameters
    assert found.silenced == 0
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in base.state_dict().items())


@pytest.mark.parametrize(
    ("name", "scalings"),
    [
        ("yolov7-tiny", {"compound": 1.5}),  # columns that begin at zero
        ("yolov7-tiny", {"extend": 2, "rep": "planned", "width": 1.5}),  # batch norms that do
        ("yolor-p6", {"depth": {"backbone": 2}}),  # residual units
    ],
)
def test_a_grown_model_learns_in_all_of_its_new_parts(name: str, scalings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    base, larger = catscale.build(narrow(name)), catscale.build(narrow(name).scale(**scalings))
    trained_alike(base)
    grow(larger, base)
    learning = torch.optim.SGD(larger.train().parameters(), lr=1e-3)
    idle = []
    for _ in range(2):  # behind what begins at zero, from the second step on
        learning.zero_grad()
        torch.stack([(raw - 1).square().mean() for raw in outputs(larger, torch.rand(2, 3, 128, 128))]).sum().backward()
        learning.step()
        idle.append([key for key, value in larger.named_parameters() if value.grad is None or not value.grad.any()])
    assert idle[0]
    assert idle[1] == []


@pytest.mark.parametrize(
    ("name", "scalings", "reason"),
    [
        ("yolov7-tiny", {"width": 0.5}, "is narrower than the base's"),
        ("yolov7-tiny", {"depth": 0.5}, "no longer finds 8 of the 32 channels it read"),
        ("yolov7-tiny", {"activation": "silu"}, "its act is 'silu', the base's 'leaky_relu'"),
        ("yolov7", {"transition": "strided_conv"}, "no longer finds"),
        ("yolor-csp", {"depth": {"neck": 2}}, "no longer finds"),  # chains that are not residual
        ("yolov7-tiny", {"head": "decoupled"}, r"detect\.lead\.p3: is another kind of head"),
    ],
)
def test_what_is_no_growth_is_refused_with_its_layer(name: str, scalings: dict[str, Any], reason: str) -> None:
    base, other = catscale.build(narrow(name)), catscale.build(narrow(name).scale(**scalings))
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(GrowthError, match=reason) as refused:
        grow(other, base)
    assert "does not grow out of" in str(refused.value)
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize("facts", [{"classes": 4}, {"anchors": (((10, 13),) * 3,) * 3}])
def test_other_classes_and_anchors_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(GrowthError, match=r"detect\.lead\.p3: predicts other anchors or classes than the base's"):
        plan_growth(narrow("yolov7-tiny").replace(**facts), narrow("yolov7-tiny"))
