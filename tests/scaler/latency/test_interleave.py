"""Rounds A B C A B C, how long they go on, and what becomes of one that fails."""

from collections.abc import Callable

import numpy as np
import pytest
from catscale.scaler.latency.interleave import interleaved, reason, warmed_up
from catscale.scaler.latency.protocol import Protocol

PROTOCOL = Protocol(runs=6, most_runs=24, least_warm_up=1, most_warm_up=4)


def test_graphs_take_turns_in_the_order_given() -> None:
    log = ""

    def run(name: str) -> Callable[[], float]:
        def once() -> float:
            nonlocal log
            log += name
            return 1.0

        return once

    found = interleaved({name: run(name) for name in "ABC"}, PROTOCOL)
    assert log == "AABBCC" + 6 * "ABC"  # each is warm after two equal runs
    assert {name: (timed.warm_up, len(timed.samples_ms)) for name, timed in found.items()} == dict.fromkeys(
        "ABC", (2, 6)
    )


def test_one_that_fails_says_why_and_the_others_go_on() -> None:
    left = [RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), ValueError("no kernel\nstack")]
    runs = iter([1.0, 1.0, 1.0])

    def at_once() -> float:
        raise left[0]

    def later() -> float:
        if (value := next(runs, None)) is None:
            raise left[1]
        return value

    found = interleaved({"good": lambda: 2.0, "at once": at_once, "later": later}, PROTOCOL)
    assert found["good"].samples_ms == (2.0,) * 6
    assert (found["at once"].failure, found["at once"].samples_ms) == ("out of memory", ())
    assert (found["later"].failure, found["later"].samples_ms) == ("no kernel", ())


def test_an_interrupt_is_nobodys_failure() -> None:
    def interrupted() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interleaved({"one": interrupted}, PROTOCOL)


def test_the_warm_up_ends_when_the_median_is_steady_or_at_its_cap() -> None:
    cooling = iter([100.0, 50.0, 20.0, 10.0, 10.1, 10.0, 10.0, 10.1])
    settings = Protocol(least_warm_up=2, steady=0.02)
    assert warmed_up(lambda: next(cooling), settings) == 7  # medians of two: 10.05 of runs 4, 5, then 10.0 of 6, 7
    growing = iter(range(1, 1000))
    assert warmed_up(lambda: float(next(growing) ** 2), Protocol(least_warm_up=2, most_warm_up=9)) == 9


def test_rounds_go_on_while_an_interval_is_too_wide_and_end_at_the_most() -> None:
    random = np.random.default_rng(0)
    found = interleaved({"steady": lambda: 1.0, "spread": lambda: 1.0 + random.random()}, PROTOCOL)
    assert {len(timed.samples_ms) for timed in found.values()} == {24}


def test_the_cap_in_seconds_leaves_five_runs_of_the_slowest() -> None:
    found = interleaved({"slow": lambda: 1e6}, PROTOCOL.replace(cap_s=1e-6))
    assert len(found["slow"].samples_ms) == 5


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (RuntimeError("Failed to allocate memory for requested buffer of size 9"), "out of memory"),
        (RuntimeError(""), "RuntimeError"),
        (OSError("first\nsecond"), "first"),
    ],
)
def test_a_reason_is_one_line(error: Exception, words: str) -> None:
    assert reason(error) == words
