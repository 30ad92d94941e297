"""The audit of proxies: tau as SciPy has it, and a proxy in use only where it clearly beats MACs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catscale.search.proxies.audit import audit, kendall
from catscale.search.proxies.ranking import choose
from catscale.search.proxies.record import audit_lines, read_audits, verdict, write_audits
from catscale.search.settings import Proxies
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import kendalltau

VALUES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 3)), min_size=2, max_size=12)


@given(VALUES)
def test_tau_is_scipys_also_with_ties_and_of_values_that_stand_several_times(rows: list[tuple[int, int, int]]) -> None:
    x, y, times = map(np.array, zip(*rows, strict=True))
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    alone: Any = kendalltau(x, y)
    repeated: Any = kendalltau(np.repeat(x, times), np.repeat(y, times))
    assert kendall(x, y)[0] == pytest.approx(alone.statistic)
    assert kendall(x, y, times[None])[0] == pytest.approx(repeated.statistic)


def test_what_orders_nothing_has_no_tau() -> None:
    assert kendall([1, 1, 1], [1, 2, 3])[0] == 0


def noisy(values: np.ndarray, noise: float, seed: int) -> list[float]:
    return (values + noise * np.random.default_rng(seed).normal(size=len(values))).tolist()


def test_a_proxy_that_orders_better_than_macs_is_in_use_and_of_two_the_better_one() -> None:
    ap = np.linspace(0.1, 0.5, 16)
    macs = noisy(ap, 0.2, 0)
    audits = audit(ap, macs, {"good": noisy(ap, 0.02, 1), "best": ap.tolist(), "bad": noisy(ap, 9.0, 2)}, after=8)
    assert [one.in_use for one in audits] == [False, True, False]
    assert audits[0].beats > 0.99 > 0.5 > audits[2].beats
    assert audits[1].tau.value == 1
    assert audits[0].tau.low < audits[0].tau.value < audits[0].tau.high


def test_macs_themselves_never_beat_macs_nor_does_a_bad_score_beat_worse_macs() -> None:
    ap = np.linspace(0.1, 0.5, 16)
    assert not audit(ap, noisy(ap, 0.2, 0), {"macs": noisy(ap, 0.2, 0)}, 8)[0].in_use
    (bad,) = audit(ap, -ap, {"bad": noisy(-ap, 0.2, 0)}, 8)
    assert -1 == bad.macs.value < bad.tau.value < 0
    assert not bad.in_use


def test_the_more_proxies_are_tried_the_more_each_must_show() -> None:
    ap = np.linspace(0.1, 0.5, 8)
    macs, proxy = noisy(ap, 0.2, 3), noisy(ap, 0.1, 8)
    (alone,) = audit(ap, macs, {"one": proxy}, 8)
    assert 0.9 < alone.beats < 0.975
    assert alone.in_use
    others: dict[str, list[float | None]] = {name: [0.0] * 8 for name in "abc"}
    assert not any(one.in_use for one in audit(ap, macs, {"one": proxy, **others}, 8))


def test_proxies_that_are_as_good_as_macs_seldom_are_in_use_though_one_mostly_looks_better() -> None:
    rng = np.random.default_rng(0)
    used = ahead = 0
    for _ in range(40):
        ap = rng.normal(size=12)
        macs, *scores = (noisy(ap, 0.75, int(rng.integers(2**31))) for _ in range(6))
        audits = audit(ap, macs, dict(zip("abcde", scores, strict=True)), 8, draws=300)
        used += any(one.in_use for one in audits)
        ahead += any(one.tau.value > one.macs.value for one in audits)
    assert ahead > 24
    assert used <= 4


def test_of_few_trials_none_is_in_use_and_trials_without_a_score_do_not_count() -> None:
    ap = np.linspace(0.1, 0.5, 10)
    scores: list[float | None] = ap.tolist()
    assert audit(ap, noisy(ap, 0.3, 0), {"one": scores}, 10)[0].in_use
    scores[3] = None
    (one,) = audit(ap, noisy(ap, 0.3, 0), {"one": scores}, 10)
    assert (one.n, one.unscored, one.in_use) == (9, 1, False)
    assert audit([], [], {"one": []}, 8)[0].n == 0


def test_later_trials_switch_a_proxy_off_again() -> None:
    ap = np.linspace(0.1, 0.5, 30)
    macs, proxy = noisy(ap, 0.2, 0), [*ap[:10].tolist(), *np.random.default_rng(0).normal(size=20)]
    assert audit(ap[:10], macs[:10], {"one": proxy[:10]}, 8)[0].in_use
    assert not audit(ap, macs, {"one": proxy}, 8)[0].in_use


def test_the_audit_is_written_and_said(tmp_path: Path) -> None:
    ap = np.linspace(0.1, 0.5, 12)
    audits = audit(ap, noisy(ap, 0.3, 0), {"zen": ap.tolist(), "meco": [None] * 12}, 8)
    write_audits(tmp_path / "proxies.csv", audits)
    read = read_audits(tmp_path / "proxies.csv")
    assert [(one.kind, one.n, one.unscored, one.in_use) for one in read] == [
        ("zen", 12, 0, True),
        ("meco", 0, 12, False),
    ]
    settings = Proxies(kinds=("zen", "meco"))
    lines = audit_lines(settings, read)
    assert lines[0] == "proxies: zen ranks proposals, as it orders the finished trials by AP better than MACs do"
    assert lines[1].startswith("  zen: tau 1.00 (1.00 … 1.00), MACs ")
    assert lines[2].endswith("12 trials have no score")
    assert verdict(settings, [replace(one, in_use=False) for one in read]).startswith("proxies: off, as none orders")
    none_yet = audit([], [], {"zen": [], "meco": []}, 8)
    assert audit_lines(settings, none_yet) == [verdict(settings, [])]
    assert verdict(settings, []) == "proxies: off until 8 trials are finished, with which they are audited"


def test_the_choice_weighs_costs_and_goes_where_little_was_trained() -> None:
    pool = np.array([(-1.0, 8.0), (-0.5, 1.0), (-0.4, 2.0)])  # scores to be high, and costs
    dear, cheap = np.array([(-1.05, 9.0), (-0.97, 7.0)]), np.array([(-0.5, 1.1), (-0.48, 0.9)])
    assert choose(pool, dear) == 1
    assert choose(pool, cheap) == 0
    assert choose(np.array([(-0.2,), (-0.7,), (-0.7,)]), np.empty((0, 1))) == 1
    better = np.array([(-2.0, 0.5)])
    assert choose(pool, better) != 2  # which another of the pool dominates
