"""A measurement of given samples, and a runtime whose times are given."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.latency.conditions import Conditions
from catscale.scaler.latency.measure import Measurement
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency.stamp import RuntimeFacts, take_stamp

QUIET = Conditions(clocks_mhz=(2100, 2100), memory_clocks_mhz=None, throttle=(), foreign_load=0.0)


class Clockwork:
    """A runtime on which a run takes what a list says, and fails where the list says so."""

    name = "clockwork"

    def find_device(self, device: str) -> str:
        if device not in ("auto", "cpu"):
            raise InputError(f"no device {device!r} here")
        return "cpu"

    def check(self, protocol: Protocol) -> None:
        pass

    def facts(self, protocol: Protocol) -> RuntimeFacts:
        return RuntimeFacts("a clockwork", {"clockwork": "1"})

    @contextmanager
    def held(self, protocol: Protocol) -> Iterator[None]:
        yield

    def prepare(self, architecture: Any, protocol: Protocol) -> "Ticks":
        return Ticks(architecture)


class Ticks:
    def __init__(self, samples: Sequence[float | Exception]) -> None:
        self.samples, self.runs = samples, 0

    def run(self) -> float:
        sample = self.samples[self.runs % len(self.samples)]
        self.runs += 1
        if isinstance(sample, Exception):
            raise sample
        return sample


@pytest.fixture
def clockwork() -> Clockwork:
    return Clockwork()


@pytest.fixture
def measured() -> Callable[..., Measurement]:
    def make(samples: Sequence[float] = (10.0,) * 30, **facts: Any) -> Measurement:
        protocol = facts.pop("protocol", Protocol(threads=1))
        size = facts.pop("size", 64)
        standard = {
            "name": "one",
            "fingerprint": "f" * 64,
            "stamp": take_stamp(protocol, RuntimeFacts("a clockwork", {"clockwork": "1"}), size),
            "session": "s",
            "taken": "2030-01-01T00:00:00+00:00",
            "warm_up": 3,
            "conditions": QUIET,
        }
        return Measurement(**{**standard, "protocol": protocol, "samples_ms": tuple(samples), **facts})

    return make
