"""Early stopping by properties: what is never stopped, what always is, and that nothing hangs on order."""

import math
from dataclasses import replace

import numpy as np
import pytest
from catscale.search.curves import Curve, Interval, best_so_far, extrapolated
from catscale.search.halving import Halving, best
from catscale.search.pareto import pareto_front
from catscale.search.stopping import FrontStopper, default_rungs, most_promising
from hypothesis import given, settings
from hypothesis import strategies as st

EPOCHS = 8
tenths = st.integers(0, 10).map(lambda value: value / 10)


@st.composite
def whole_curves(draw: st.DrawFn, least: int = 2, most: int = 24) -> list[Curve]:
    """Trials trained to their end, with few different values, so that ties are common."""
    count = draw(st.integers(least, most))
    curves = []
    for number in range(count):
        scores = best_so_far(draw(st.lists(tenths, min_size=EPOCHS, max_size=EPOCHS)))
        curves.append(Curve(number, scores, (draw(tenths), draw(tenths)), scores[-1]))
    return curves


def oracle(curves: list[Curve]) -> FrontStopper:
    """A front stopper that foresees the end without any error."""
    ends = {curve.number: curve.final or 0.0 for curve in curves}
    return FrontStopper(predict=lambda own, finished, confidence: Interval(*[ends[own.number]] * 3))


def on_the_front(own: Curve, others: list[Curve]) -> bool:
    points = [(curve.final or 0.0, *curve.costs) for curve in (own, *others)]
    return 0 in pareto_front(points, ["maximize", "minimize", "minimize"])


@settings(max_examples=80, deadline=None)
@given(whole_curves(), st.integers(1, EPOCHS - 1))
def test_foreseeing_exactly_it_never_stops_what_is_on_the_front(curves: list[Curve], rung: int) -> None:
    own, *finished = curves
    decision = oracle(curves).decide(finished, own.until(rung), rung)
    assert not (decision.stop and on_the_front(own, finished))


@settings(max_examples=80, deadline=None)
@given(whole_curves(), st.integers(1, EPOCHS - 1))
def test_foreseeing_exactly_it_stops_what_a_cheaper_one_beats(curves: list[Curve], rung: int) -> None:
    own, *finished = curves
    beaten = any(
        (other.final or 0.0) > (own.final or 0.0) and other.costs[0] <= own.costs[0] and other.costs[1] <= own.costs[1]
        for other in finished
    )
    assert oracle(curves).decide(finished, own.until(rung), rung).stop == beaten


@settings(max_examples=30, deadline=None)
@given(whole_curves(12), st.integers(1, EPOCHS - 1), st.randoms(use_true_random=False))
def test_decisions_do_not_hang_on_the_order_of_records(curves: list[Curve], rung: int, random: object) -> None:
    own = curves[0].until(rung)
    shuffled = list(curves[1:])
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for stopper in (FrontStopper(), Halving(2), Halving(3)):
        assert stopper.decide(shuffled, own, rung) == stopper.decide(curves[1:], own, rung)


@settings(max_examples=50, deadline=None)
@given(whole_curves(2, 9), st.integers(1, EPOCHS - 1))
def test_too_few_finished_trials_stop_nothing(curves: list[Curve], rung: int) -> None:
    own, *finished = curves
    assert not FrontStopper().decide(finished, own.until(rung), rung).stop


def rising(number: int, end: float, rng: np.random.Generator, noise: float) -> Curve:
    """A curve that saturates: at each epoch e, end (1 - exp(-e / 3)), with noise."""
    epochs = np.arange(1, EPOCHS + 1)
    scores = best_so_far((end * (1 - np.exp(-epochs / 3)) + rng.normal(0, noise, EPOCHS)).tolist())
    return Curve(number, scores, (end, 0.0), scores[-1])


def test_the_upper_end_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        curves = [rising(number, rng.uniform(0.2, 0.6), rng, 0.02) for number in range(31)]
        own = curves[0].until(4)
        interval = extrapolated(own, curves[1:])
        assert interval is not None
        held.append((interval.high >= curves[0].scores[-1], interval.low <= curves[0].scores[-1]))
    above, below = np.mean(held, axis=0)
    assert above == pytest.approx(0.9, abs=0.06)  # three standard errors and what the jackknife leaves
    assert below == pytest.approx(0.9, abs=0.06)


def test_curves_without_noise_are_foreseen() -> None:
    rng = np.random.default_rng(0)
    curves = [rising(number, 0.2 + number / 50, rng, 0.0) for number in range(21)]
    interval = extrapolated(curves[10].until(4), [*curves[:10], *curves[11:]])
    assert interval is not None
    assert interval.middle == pytest.approx(curves[10].scores[-1], abs=0.005)
    assert interval.high - interval.low < 0.02


def test_what_has_been_reached_is_not_taken_back() -> None:
    curves = [Curve(number, (0.1,) * EPOCHS, (1.0,), 0.1) for number in range(12)]
    interval = extrapolated(Curve(20, (0.5, 0.6), (1.0,)), curves)
    assert interval is not None
    assert interval.low >= 0.6


def test_the_reason_names_who_is_better_and_no_dearer() -> None:
    rng = np.random.default_rng(0)
    curves = [rising(number, 0.5 + number / 1000, rng, 0.001) for number in range(12)]
    poor = replace(rising(12, 0.2, rng, 0.001), costs=(9.0, 9.0)).until(4)
    decision = FrontStopper().decide(curves, poor, 4)
    assert decision.stop
    assert "after epoch 4, expected to end at" in decision.reason
    assert "trial 11 has 0.47" in decision.reason
    cheap = replace(poor, costs=(0.0, 0.0))
    assert FrontStopper().decide(curves, cheap, 4).reason == "nothing finished costs as little"


@settings(max_examples=30, deadline=None)
@given(whole_curves(1, 16), st.integers(1, EPOCHS - 1), st.sampled_from([1.5, 2.0, 3.0, 4.0]))
def test_halving_lets_one_in_eta_go_on_rounded_up(curves: list[Curve], rung: int, eta: float) -> None:
    under_way = [curve.until(rung) for curve in curves]
    goes_on = [not Halving(eta).decide(under_way, own, rung).stop for own in under_way]
    assert sum(goes_on) == math.ceil(len(curves) / eta)


@settings(max_examples=25, deadline=None)
@given(whole_curves(1, 12))
def test_no_front_loses_a_member_to_a_later_one(curves: list[Curve]) -> None:
    losses = np.array([(-(curve.final or 0.0), *curve.costs) for curve in curves])
    for keep in range(len(losses) + 1):
        kept = best(losses, keep)
        lost = set(range(len(losses))) - kept
        dominates = [
            (i, j) for i in lost for j in kept if (losses[i] <= losses[j]).all() and (losses[i] < losses[j]).any()
        ]
        assert len(kept) == keep
        assert not dominates


def test_of_a_front_that_does_not_fit_the_ends_and_the_lonely_stay() -> None:
    losses = np.array([[-0.9, 9], [-0.8, 6.0], [-0.79, 5.9], [-0.5, 3.0], [-0.49, 2.9], [-0.1, 1]])
    kept = best(losses, 4)
    assert {0, 5} <= kept
    assert len({1, 2} & kept) <= 1
    assert len({3, 4} & kept) <= 1


def test_no_unit_of_a_cost_matters_to_halving() -> None:
    rng = np.random.default_rng(0)
    curves = [
        replace(rising(n, rng.uniform(0.2, 0.6), rng, 0.02), costs=tuple(rng.uniform(1, 9, 2))) for n in range(20)
    ]
    scaled = [replace(curve, costs=(curve.costs[0] ** 2, 1e6 * curve.costs[1])) for curve in curves]
    for own, other in zip(curves, scaled, strict=True):
        assert Halving().decide(curves, own, 4) == Halving().decide(scaled, other, 4)


def test_the_most_promising_is_furthest_above_what_costs_no_more() -> None:
    done = Curve(0, (0.1, 0.2, 0.4), (1.0,), 0.4)
    stopped = [Curve(1, (0.15,), (2.0,)), Curve(2, (0.1, 0.19), (2.0,)), Curve(3, (0.3,), (3.0,))]
    assert most_promising([done, *stopped], {1, 2}) == 1
    assert most_promising([done, *stopped], {1, 2, 3}) == 3
    assert most_promising([done, *stopped], set()) is None


@pytest.mark.parametrize(("epochs", "rungs"), [(1, ()), (2, (1,)), (3, (1, 2)), (12, (3, 6, 9)), (300, (75, 150, 225))])
def test_rungs_lie_before_the_end(epochs: int, rungs: tuple[int, ...]) -> None:
    assert default_rungs(epochs) == rungs
