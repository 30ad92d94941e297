"""Several graphs timed in turns, A B C A B C …, so that drift of the machine falls on all alike. No torch."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TypeVar

from .protocol import Protocol
from .samples import summary

LEAST_RUNS = 5  # timed, however slow
NO_MEMORY = ("out of memory", "can't allocate memory", "failed to allocate memory")  # torch, its CPU part, onnxruntime

Run = Callable[[], float]  # runs once and gives how long it took, in milliseconds
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Timed:
    """What came of one graph: its samples, one of each round, or why there are none."""

    samples_ms: tuple[float, ...]
    warm_up: int  # runs before the first that counts
    failure: str | None = None


def interleaved(
    runs: Mapping[Key, Run], protocol: Protocol, *, after_round: Callable[[], None] = lambda: None
) -> dict[Key, Timed]:
    """Warm each up until it is steady, then time rounds in which each runs once, in the order given.

    Rounds go on until there are `protocol.runs` and each interval is as narrow as asked; at most to
    `protocol.most_runs`, or until `protocol.cap_s` seconds for each graph have passed. A graph that fails keeps no
    samples but its reason, and the others go on. `after_round` is for looking at the device between runs.
    """
    warm_up: dict[Key, int] = {}
    failures: dict[Key, str] = {}
    samples: dict[Key, list[float]] = {}

    for key, run in runs.items():
        try:
            warm_up[key] = warmed_up(run, protocol)
            samples[key] = []
        except Exception as error:  # whatever a runtime throws is the reason of this graph alone
            failures[key] = reason(error)
    end = perf_counter() + protocol.cap_s * len(samples)
    rounds = 0
    while samples and not _enough(samples, rounds, protocol) and (rounds < LEAST_RUNS or perf_counter() < end):
        for key in tuple(samples):
            try:
                samples[key].append(runs[key]())
            except Exception as error:
                failures[key] = reason(error)
                del samples[key]
        rounds += 1
        after_round()
    return {key: Timed(tuple(samples.get(key, ())), warm_up.get(key, 0), failures.get(key)) for key in runs}


def warmed_up(run: Run, protocol: Protocol) -> int:
    """Run until the median of the last runs is steady; gives how many runs that took.

    It is compared with the median of as many runs before. At most `protocol.most_warm_up` runs, or `protocol.cap_s`.
    """
    least, samples = protocol.least_warm_up, list[float]()
    end = perf_counter() + protocol.cap_s
    while len(samples) < protocol.most_warm_up and (len(samples) < least or perf_counter() < end):
        samples.append(run())
        if len(samples) >= 2 * least:
            before, after = median(samples[-2 * least : -least]), median(samples[-least:])
            if abs(after - before) <= protocol.steady * before:
                break
    return len(samples)


def reason(error: BaseException) -> str:
    """The first line of what went wrong, and `out of memory` in these words whoever says it."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    said = any(words in text.lower() for words in NO_MEMORY)
    return "out of memory" if said or isinstance(error, MemoryError) else text


def _enough(samples: Mapping[Key, list[float]], rounds: int, protocol: Protocol) -> bool:
    """Whether no further round is needed; intervals are looked at whenever `protocol.runs` more are there."""
    if rounds >= max(protocol.runs, protocol.most_runs):
        return True
    if not rounds or rounds % protocol.runs:
        return False
    return all(summary(taken, protocol.confidence).width <= protocol.widest_interval for taken in samples.values())
