"""Parameter groups and the schedule, as the source describes them."""

import math
from typing import Any

import catscale
import pytest
import torch
from catscale.scaler.build import build
from catscale.trainer.ema import Ema
from catscale.trainer.optimiser import Schedule, accumulation, halved, make_optimiser, parameter_groups, with_batch
from catscale.trainer.recipe import Recipe, load_recipe
from hypothesis import given
from hypothesis import strategies as st
from torch import nn


def test_groups_of_a_detector_hold_each_parameter_once_by_kind() -> None:
    model = build(catscale.load("yolov7").scale(width=0.125))  # has RepConv, implicit vectors, biases
    groups = parameter_groups(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kinds = {name: {names[id(parameter)] for parameter in parameters} for name, parameters in groups.items()}

    assert sum(map(len, groups.values())) == len(names)
    assert all(name.endswith(".bias") for name in kinds["bias"])
    assert all(parameter.ndim == 4 for parameter in groups["weight"])
    assert sorted(kinds["bias"] | kinds["weight"] | kinds["scale"]) == sorted(names.values())
    implicit = {name for name in names.values() if name.endswith((".added", ".factor"))}
    norms = {name for name in names.values() if name.endswith("norm.weight")}
    assert implicit
    assert kinds["scale"] == implicit | norms


@pytest.mark.parametrize(
    ("batch", "accumulate", "decay"),  # at a nominal batch of 64; the source doubles the decay at 128
    [(16, 4, 5e-4), (32, 2, 5e-4), (64, 1, 5e-4), (128, 1, 1e-3), (24, 3, 5e-4 * 72 / 64)],
)
def test_only_convolution_weights_decay_in_proportion_to_the_images_of_a_step(
    batch: int, accumulate: int, decay: float
) -> None:
    recipe = load_recipe("p5", {"batch": batch})
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    optimiser = make_optimiser(model, recipe)
    assert accumulation(recipe) == accumulate
    assert [group["weight_decay"] for group in optimiser.param_groups] == pytest.approx([0, decay, 0])
    assert all(group["nesterov"] for group in optimiser.param_groups)


def schedule(batches: int = 500, **changes: Any) -> Schedule:
    return Schedule(load_recipe("p5", {"batch": 16, **changes}), batches)


def test_warm_up_rises_linearly_from_its_start_values() -> None:
    plan = schedule()  # 3 epochs of 500 batches
    start, half = plan.at(0, 0), plan.at(1, 250)
    assert (start.lr, start.bias_lr, start.momentum, start.accumulate) == (0, 0.1, 0.8, 1)
    lr = 0.01 * plan.factor(1)
    assert half.lr == pytest.approx(lr / 2)
    assert half.bias_lr == pytest.approx((0.1 + lr) / 2)
    assert half.momentum == pytest.approx((0.8 + 0.937) / 2)
    assert half.accumulate == round(2.5)
    after = plan.at(3, 1)
    assert after.lr == after.bias_lr == pytest.approx(0.01 * plan.factor(3))
    assert (after.momentum, after.accumulate) == (0.937, 4)


@pytest.mark.parametrize(
    ("batches", "epochs", "least", "warmup"), [(500, 3, 1000, 1500), (20, 3, 1000, 1000), (20, 3, 0, 60)]
)
def test_warm_up_lasts_a_least_number_of_batches(batches: int, epochs: float, least: int, warmup: int) -> None:
    assert schedule(batches, warmup_epochs=epochs, warmup_iterations_min=least).warmup == warmup


def test_warm_up_may_rise_with_the_square() -> None:
    """YOLOX: (iteration / warm-up)^2, of all rates from 0."""
    plan = schedule(warmup="quadratic", warmup_bias_lr=0)
    half = plan.at(1, 250)
    assert half.lr == half.bias_lr == pytest.approx(0.01 * plan.factor(1) / 4)
    assert half.momentum == pytest.approx((0.8 + 0.937) / 2)


def test_the_schedule_ends_at_its_horizon_and_stays() -> None:
    """YOLOX: constant in the last 15 of 300 epochs; PP-YOLOE: 300 epochs of a cosine over 360."""
    yolox, pp_yoloe = (Schedule(load_recipe(name), 500) for name in ("yolox", "pp-yoloe"))
    assert yolox.factor(284) > 0.05
    assert {yolox.factor(epoch) for epoch in range(285, 300)} == {0.05}
    assert pp_yoloe.factor(180) == pytest.approx(0.5, abs=1e-4)
    assert pp_yoloe.factor(299) == pytest.approx((1 + math.cos(math.pi * 299 / 360)) / 2, abs=1e-4)
    line = schedule(schedule="linear", horizon=0.5, epochs=21)
    assert [line.factor(epoch) for epoch in (0, 10, 20)] == pytest.approx([1, 0.1, 0.1])


def test_without_warm_up_the_first_batch_has_the_full_rate() -> None:
    first = schedule(warmup_epochs=0, warmup_iterations_min=0).at(0, 0)
    assert (first.lr, first.bias_lr, first.momentum) == (0.01, 0.01, 0.937)


def test_the_cosine_falls_per_epoch_towards_its_end_without_reaching_it() -> None:
    plan = schedule()
    factors = [plan.factor(epoch) for epoch in range(300)]
    assert factors[0] == 1
    assert factors[150] == pytest.approx(0.55)
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 299 / 300)) / 2)
    assert factors[-1] > 0.1


def test_settings_reach_the_groups_by_name() -> None:
    recipe: Recipe = load_recipe("p5")
    model = nn.Conv2d(3, 4, 1)  # no "scale" group
    optimiser = make_optimiser(model, recipe)
    Schedule(recipe, 1000).at(0, 0).put(optimiser, ("weight", "bias"))
    assert [group["lr"] for group in optimiser.param_groups] == [0, 0.1]
    assert [group["momentum"] for group in optimiser.param_groups] == [0.8, 0.8]


def conv_and_norm() -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.Sequential]:
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)
    return conv, norm, nn.Sequential(conv, norm)


def test_the_average_follows_its_rising_decay_with_norm_statistics() -> None:
    conv, _, model = conv_and_norm()
    nn.init.ones_(conv.weight)
    ema = Ema(model, decay=0.9, tau=5)
    weight, mean = 1.0, 0.0
    for step in range(1, 8):
        nn.init.constant_(conv.weight, step)
        model.load_state_dict(model.state_dict() | {"1.running_mean": torch.full((1,), -float(step))})
        ema.update(model)
        decay = 0.9 * (1 - math.exp(-step / 5))
        weight, mean = decay * weight + (1 - decay) * step, decay * mean - (1 - decay) * step
    averages = ema.model.state_dict()
    assert ema.updates == 7
    assert averages["0.weight"].item() == pytest.approx(weight)
    assert averages["1.running_mean"].item() == pytest.approx(mean)
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())


def test_statistics_that_are_not_finite_are_mended_from_the_average() -> None:
    _, norm, model = conv_and_norm()
    ema = Ema(model, decay=0.9, tau=5)
    bad = {"1.running_mean": torch.full((1,), math.nan), "1.running_var": torch.full((1,), 3.0)}
    model.load_state_dict(model.state_dict() | bad)
    ema.mend_statistics(model)
    assert norm.state_dict()["running_mean"].tolist() == [0]
    assert norm.state_dict()["running_var"].tolist() == [3]


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_smaller_batch_keeps_the_images_and_the_decay_of_a_step(batch: int, nominal: int) -> None:
    recipe = load_recipe("p5", {"batch": batch, "nominal_batch": nominal})
    model = nn.Conv2d(3, 4, 1, bias=False)
    smaller = recipe
    while smaller.batch > 1:
        part = halved(smaller.batch)
        assert part < smaller.batch
        assert smaller.batch % part == 0
        smaller = with_batch(smaller, part)
        assert smaller.batch * accumulation(smaller) == recipe.batch * accumulation(recipe)
        before, after = (make_optimiser(model, each).param_groups[0]["weight_decay"] for each in (recipe, smaller))
        assert after == pytest.approx(before)


def test_the_line_falls_evenly_and_reaches_its_end_in_the_last_epoch() -> None:
    plan = Schedule(load_recipe("p5", {"schedule": "linear", "epochs": 11}), 10)
    assert [plan.factor(epoch) for epoch in range(11)] == pytest.approx([1 - 0.09 * epoch for epoch in range(11)])


def test_adamw_has_the_momentum_as_its_first_beta_and_decays_apart_from_the_gradient() -> None:
    model = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(model.weight)
    recipe = load_recipe("p5", {"optimiser": "adamw", "weight_decay": 0.5, "lr0": 0.1})
    optimiser = make_optimiser(model, recipe)
    assert optimiser.param_groups[0]["betas"] == (0.937, 0.999)
    Schedule(recipe, 1000).at(5, 0).put(optimiser, ("weight",))  # has no momentum to set
    optimiser.param_groups[0]["lr"] = 0.1
    model.weight.grad = torch.full_like(model.weight, 7.0)
    optimiser.step()
    # The first step is lr long whatever the gradient (Kingma & Ba 2015), after a decay by lr * decay (Loshchilov 2019).
    assert model.weight.item() == pytest.approx(1 - 0.1 * 0.5 - 0.1, rel=1e-5)
