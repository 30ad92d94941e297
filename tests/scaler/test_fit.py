"""A budget met by the largest variant that a strategy has: closed forms, and properties against plain scaling."""

import json
import subprocess
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import catscale
import pytest
from catscale.cli import app
from catscale.scaler.architecture import Architecture
from catscale.scaler.fit import STRATEGIES, fast_factors, fit
from catscale.scaler.ladder import ladder, shortest
from catscale.scaler.scaling import apply
from catscale.scaler.targets import Target, parse_target, parse_targets
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]
BASES = ["yolov7-tiny", "yolov7", "yolov7-x-light", "yolor-csp"]

ODD_WIDTHS = """
size: 64
anchors: [[10, 13], [30, 61]]
nodes:
  stem.conv: {conv: {out: 36, kernel: 3, stride: 2}}
  stage1.elan: {elan: {width: 20, taps: 4, convs_per_tap: 1, out: 52}}
  stage1.down: {strided_conv: {out: 76}}
  stage2.elan: {elan: {width: 28, taps: 6, convs_per_tap: 1, out: 100}}
  stage2.down: {strided_conv: {out: 44}}
heads: [stage1.down, stage2.down]
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Architecture:
    """Widths that are no multiples of the divisor, which a factor of 1 leaves alone and every other rounds up."""
    path = tmp_path_factory.mktemp("odd") / "odd.yaml"
    path.write_text(ODD_WIDTHS, encoding="utf-8")
    return catscale.load(path)


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Architecture:
    """CSP blocks with chains of 2, 5 and 6."""
    path = tmp_path_factory.mktemp("chains") / "chains.yaml"
    nodes = "".join(f"  stage{n}: {{csp_a: {{out: 16, repeats: {n}}}}}\n" for n in (2, 5, 6))
    stem = "  stem.conv: {conv: {out: 16, kernel: 3, stride: 2}}\n"
    path.write_text(f"size: 64\nanchors: [[8, 8]]\nnodes:\n{stem}{nodes}heads: [stage6]\n", encoding="utf-8")
    return catscale.load(path)


def counts(architecture: Architecture) -> dict[str, Decimal]:
    """Every quantity, by the plain count."""
    cost = architecture.cost()
    return {
        "params": Decimal(cost.params),
        "gflops": Decimal(cost.flops("paper")) / 10**9,
        "macs": Decimal(cost.macs),
        "activations": Decimal(cost.activations),
    }


@pytest.mark.parametrize(
    ("base", "before", "bound", "model", "factor"),
    [  # arXiv:2207.02696, Tables 2 and 3
        ("yolov7-x-light", {}, "71.4M", "yolov7-x", 1.5),
        ("yolov7-w6", {"transition": "downc"}, "97.21M", "yolov7-e6", 1.5),
        ("yolov7-w6", {"transition": "downc"}, "133.8M", "yolov7-d6", 2),
    ],
)
def test_a_published_model_is_found_by_its_parameters(
    base: str, before: dict[str, str], bound: str, model: str, factor: float
) -> None:
    found = fit(catscale.load(base).scale(**before), parse_targets([f"params={bound}"]))
    assert found.best.scalings == {"compound": factor}
    assert found.best.architecture.fingerprint == catscale.load(model).fingerprint


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("base", ["yolov7", "yolov7-w6", "yolor-csp"])
def test_its_own_count_gives_back_the_base(base: str, strategy: str) -> None:
    detector = catscale.load(base)
    found = fit(detector, [Target("params", Decimal(detector.cost().params))], strategy)
    assert found.best.architecture == detector
    assert found.miss(found.targets[0]) == 0


@settings(max_examples=20, deadline=None)
@given(
    base=st.sampled_from(BASES),
    strategy=st.sampled_from(list(STRATEGIES)),
    share=st.floats(0.55, 3),
    quantity=st.sampled_from(["params", "gflops", "macs", "activations"]),
    divisor=st.sampled_from([8, 16, 32]),
)
def test_a_fit_is_within_its_bound_and_the_next_step_is_not(
    base: str, strategy: str, share: float, quantity: str, divisor: int
) -> None:
    detector = catscale.load(base)
    target = Target(quantity, counts(detector)[quantity] * Decimal(str(round(share, 3))))
    own = {} if strategy == "depth" else {"divisor": divisor}
    scaling = STRATEGIES[strategy][-1]
    smallest = ladder(detector, scaling, divisor)[0]
    if (
        strategy in ("depth", "compound")
        and counts(apply(detector, {scaling: smallest, **own}))[quantity] > target.bound
    ):
        with pytest.raises(catscale.InputError, match=f"no {scaling} factor fits; {smallest:g}, the smallest"):
            fit(detector, [target], strategy, settings=own)
        return
    found = fit(detector, [target], strategy, settings=own)
    assert found.larger is not None
    reached, beyond = (variant.counts[quantity] for variant in (found.best, found.larger))
    assert reached <= target.bound < beyond
    again = apply(detector, found.best.scalings)  # what is reported is what makes it
    assert again.fingerprint == found.best.architecture.fingerprint
    low, high = (float(variant.scalings[scaling]) for variant in (found.best, found.larger))
    if scaling == "width" and low < high:
        for factor in (low, low + (high - low) / 3, low + (high - low) * 2 / 3, high):
            between = apply(detector, {**found.best.scalings, "width": factor})
            assert between.fingerprint in {found.best.architecture.fingerprint, found.larger.architecture.fingerprint}


@settings(max_examples=60, deadline=None)
@given(factor=st.fractions(Fraction(1, 50), 5, max_denominator=1000), divisor=st.sampled_from([8, 16, 32]))
@example(factor=Fraction(1), divisor=32)
@example(factor=Fraction(99, 100), divisor=8)
def test_no_width_factor_makes_a_detector_that_is_no_step(odd: Architecture, factor: Fraction, divisor: int) -> None:
    steps = ladder(odd, "width", divisor)
    made = odd.scale(width=factor, divisor=divisor)
    near = [step for step in steps if abs(step - factor) < 0.5]
    assert made.fingerprint in {odd.scale(width=step, divisor=divisor).fingerprint for step in near}


@pytest.mark.parametrize("divisor", [8, 16, 32])
@pytest.mark.parametrize("share", [0.7, 0.97, 1, 1.03, 1.2, 1.6])
def test_among_odd_widths_nothing_larger_fits(odd: Architecture, share: float, divisor: int) -> None:
    """Counts are not monotone where the factor is 1: 36 channels x 0.99 are rounded up. So every step is tried."""
    bound = int(odd.cost().params * share)
    steps = [step for step in ladder(odd, "width", divisor) if step < 2]
    made = [odd.scale(width=step, divisor=divisor).cost().params for step in steps]
    assert max(made[: steps.index(1)]) > odd.cost().params
    fitting = [count for count in made if count <= bound]
    if not fitting:
        with pytest.raises(catscale.InputError, match="no width factor fits"):
            fit(odd, [Target("params", Decimal(bound))], "width", settings={"divisor": divisor})
        return
    found = fit(odd, [Target("params", Decimal(bound))], "width", settings={"divisor": divisor})
    assert found.best.counts["params"] == max(fitting)


@settings(max_examples=100)
@given(low=st.fractions(0, 3), gap=st.fractions(0, 1), closed=st.booleans())
def test_a_step_is_written_with_the_fewest_decimals(low: Fraction, gap: Fraction, closed: bool) -> None:
    high = low + max(gap, Fraction(1, 10**5))
    found = shortest(low, high, closed=closed)
    assert low < found <= high if closed else low < found < high
    digits = next(digits for digits in range(7) if (found * 10**digits).denominator == 1)
    fewer = (Fraction(n, 10**d) for d in range(digits) for n in range(int(low * 10**d), int(high * 10**d) + 1))
    assert not any(low < other < high or (closed and other == high) for other in fewer) or found == 1


def test_possible_depths_are_multiples_of_one_over_the_greatest_common_divisor(odd: Architecture) -> None:
    assert ladder(odd, "compound", 8)[:4] == (0.5, 1, 1.5, 2)  # of 4 and 6 taps
    assert ladder(catscale.load("yolov7-e6e"), "depth", 8)[:3] == (1 / 3, 2 / 3, 1)  # of 3 taps


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.02, 2.5))
@example(factor=0.25)
@example(factor=1.25)  # at which 2 goes down to 2, and 6 up to 8
def test_no_depth_factor_of_chains_makes_a_detector_that_is_no_step(chains: Architecture, factor: float) -> None:
    """A chain is rounded, a half to the even number: just there, some go down and others up."""
    steps = ladder(chains, "depth", 8)
    near = sorted(steps, key=lambda step: abs(step - factor))[:3]
    assert chains.scale(depth=factor).fingerprint in {chains.scale(depth=step).fingerprint for step in near}


@pytest.mark.parametrize("growth", [0.25, 1, 2, 16])
def test_fast_compound_is_its_closed_form(growth: float) -> None:
    """Alpha 0.8: depth s ** 0.1, width s ** 0.4, size s ** 0.05 (arXiv:2103.06877, Table 4); the FLOPs grow s times."""
    factors = fast_factors(growth)
    assert factors == pytest.approx({"depth": growth**0.1, "width": growth**0.4, "resolution": growth**0.05})
    assert prod((factors["depth"], factors["width"] ** 2, factors["resolution"] ** 2)) == pytest.approx(growth)
    assert fast_factors(growth, alpha=1) == pytest.approx({"depth": 1, "width": growth**0.5, "resolution": 1})
    uniform = fast_factors(growth, alpha=1 / 3)
    assert uniform["depth"] == pytest.approx(uniform["width"] ** 2) == pytest.approx(uniform["resolution"] ** 2)


@pytest.mark.parametrize(
    ("growth", "depth", "size"),
    [(2, 1, 672), (16, 1.5, 736), (1 / 40, 0.5, 544)],  # 2**.05 x 640 = 663; 16**.1 = 1.32, 735; 40**-.1 = 0.69, 532
)
def test_fast_compound_takes_the_nearest_depth_and_size(growth: float, depth: float, size: int) -> None:
    base = catscale.load("yolov7")
    found = fit(base, [Target("macs", Decimal(base.cost().macs) * Decimal(growth))], "fast-compound")
    assert {name: found.best.scalings[name] for name in ("depth", "resolution")} == {"depth": depth, "resolution": size}
    assert found.best.architecture.size == size


def test_fast_compound_grows_as_far_as_the_tighter_bound() -> None:
    """A quarter of the params are s = 0.25 ** (1 / 0.9), so the size is 640 x s ** 0.05 = 593; the FLOPs may double."""
    targets = parse_targets([f"params={catscale.load('yolov7').cost().params // 4}", "gflops=210"])
    for order in (targets, targets[::-1]):
        assert fit(catscale.load("yolov7"), order, "fast-compound").best.architecture.size == 608


def test_all_bounds_hold_at_once() -> None:
    base = catscale.load("yolov7")
    loose, tight = parse_targets(["params=30M", "gflops=60"])
    both, one = (fit(base, targets, "width") for targets in ([loose, tight], [tight]))
    assert both.best.architecture == one.best.architecture  # the tighter bound decides
    assert all(both.miss(target) >= 0 for target in (loose, tight))


@pytest.mark.parametrize(
    ("base", "word", "strategy", "message"),
    [  # 21.15 M: 2 / 2 taps leave r = 3 / 4
        ("yolov7", "params=1M", "compound", r"no compound factor fits; 0\.5, the smallest, gives params 21\.15M; "
         r"1 gives params 36\.91M; .*; use strategy width \(0\.\d+ fits\)"),
        ("yolov7", "params=99", "width", r"<= 99: no width factor fits; 0\.00\d, the smallest, .*; raise the bound"),
        ("yolov7", "params=100T", "depth", r"even depth 16 fits, with params .*; lower the bound"),
        ("yolov7", "params=20M", "widht", r"no strategy is called 'widht'; did you mean 'width'\?"),
    ],
)  # fmt: skip
def test_a_bound_that_nothing_meets_says_what_was_possible(base: str, word: str, strategy: str, message: str) -> None:
    with pytest.raises(catscale.InputError, match=message):
        fit(catscale.load(base), [parse_target(word)], strategy)


def test_without_a_depth_there_is_no_depth_to_solve_for(tmp_path: Path) -> None:
    text = (
        "size: 64\nanchors: [[8, 8]]\nnodes:\n  stem.conv: {conv: {out: 16, kernel: 3, stride: 2}}\nheads: [stem.conv]"
    )
    (tmp_path / "flat.yaml").write_text(text, encoding="utf-8")
    flat = catscale.load(tmp_path / "flat.yaml")
    with pytest.raises(catscale.InputError, match="flat: depth: no block of it has a depth to scale; use width"):
        fit(flat, [parse_target("params=20k")], "depth")
    assert fit(flat, [parse_target("params=20k")], "fast-compound").best.counts["params"] <= 20_000


def test_a_fit_from_the_command_line(cli: CommandLine, tmp_path: Path) -> None:
    done = cli(
        "scale", "yolov7-w6", "--fit", "params=97.21M", "--down", "downc", "-o", "e6.yaml", "--json", cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["scale"] == {"transition": "downc", "compound": 1.5}
    assert told["params"] == 97_202_940
    assert told["fit"]["bounds"] == [
        {"quantity": "params", "bound": 97.21e6, "reached": 97202940, "miss": 7060, "miss_percent": 7060 / 972_100}
    ]
    assert told["fit"]["next_larger"]["scale"] == {"compound": 2}
    assert catscale.load(tmp_path / "e6.yaml").fingerprint == catscale.load("yolov7-e6").fingerprint


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ("--down downc --divisor 16", {"transition": "downc", "divisor": 16}),
        ("--compound 1.5 --exponent 0.5", {"compound": 1.5, "exponent": 0.5}),
    ],
)
def test_settings_go_to_the_scalings_that_take_them(options: str, scale: dict[str, Any]) -> None:
    words = ["scale", "yolov7", *options.split(), "--fit", "params=10M", "--strategy", "width", "--json"]
    done = CliRunner().invoke(app, words)
    told = json.loads(done.stdout)
    assert told["scale"] | {"width": 1} == scale | {"width": 1}
    assert told["params"] == catscale.load("yolov7").scale(**told["scale"]).cost().params <= 10_000_000


def test_a_fit_for_a_person(cli: CommandLine) -> None:
    done = cli("scale", "yolov7", "--fit", "gflops=104.7", "--strategy", "width", "--size", 640)
    for part in ("before", "after", "next larger", "104.68", "as it is"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fit", "params=20M", "--strategy", "width", "--width", 0.5], "--width: strategy width solves for it; drop"),
        (["--fit", "params=20M", "--strategy", "fast-compound", "--size", 640], "--size: strategy fast-compound"),
        (["--fit", "params=20M", "--divisor", 12], "divisor: 12 is none of 1, 2, 4, 8, 16, 32"),
        (["--fit", "params=20M", "--strategy", "depth", "--exponent", 1], "exponent is a setting of compound"),
        (["--fit", "params=20M", "--device", "cpu"], "--device cpu: only a latency is measured; add --fit"),
        (["--strategy", "width"], "--strategy width: is of --fit; add --fit params=20M"),
        (["--fit", "params=1M"], "no compound factor fits"),
    ],
)  # fmt: skip
def test_contradictions_are_one_message(arguments: list[object], message: str, tmp_path: Path) -> None:
    output = tmp_path / "x.yaml"
    done = CliRunner().invoke(app, [str(word) for word in ("scale", "yolov7", *arguments, "-o", output)])
    assert isinstance(done.exception, catscale.InputError)
    assert message in str(done.exception)
    assert not output.exists()


def test_a_bound_that_nothing_meets_is_exit_2(cli: CommandLine) -> None:
    done = cli("scale", "yolov7", "--fit", "params=1M")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: yolov7: fit: params <= 1.00M: no compound factor fits; 0.5, the smallest")
