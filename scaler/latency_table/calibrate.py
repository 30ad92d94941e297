"""A table made on the device: networks of a space run as a whole and layer by layer, in turns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from random import Random
from statistics import median
from time import perf_counter

from ...blocks.errors import CatscaleError, InputError
from ..architecture import Architecture
from ..latency.architectures import subject
from ..latency.lock import Say
from ..latency.measure import Measurement, Subject, measure
from ..latency.protocol import Protocol
from ..latency.runtimes import Runtime, find_runtime
from ..latency.stamp import Stamp
from .in_situ import LayerClock, check_clockable
from .layers import LayerKey, layers_of
from .predictor import Calibrated, LayerTimes, features_of_network
from .table import FEWEST, LatencyTable

TOGETHER = 8  # networks that are held in memory and take turns
PASSES = 2  # over all networks, so that no drift of the machine falls on some of them alone
RUNS = 6  # of each network in a pass, as a whole and layer by layer
DIGITS = 6  # of milliseconds: no clock tells more
FOLDS = 8  # of the networks, whose layers are left out in turn


@dataclass
class Timed:
    """An architecture at its size, with what was measured of it, in milliseconds."""

    architecture: Architecture
    whole: list[float] = field(default_factory=list)  # of each run
    runs: list[dict[str, float]] = field(default_factory=list)  # of each run that was clocked, by layer

    @cached_property
    def layers(self) -> list[tuple[LayerKey, float]]:
        """Its layers in order, with the medians of their times."""
        placed = layers_of(self.architecture.graph("deploy"), self.architecture.size)
        return [(key, median(run[layer.name] for run in self.runs)) for layer, key in placed]


def calibrate(
    architectures: Sequence[Architecture],
    protocol: Protocol,
    *,
    runs: int = RUNS,
    passes: int = PASSES,
    say: Say = lambda line: None,
) -> LatencyTable:
    """Measure networks, each at its own size, and their layers where they stand; a table for all that are like them.

    Args:
        architectures: different networks of the space, from its smallest to its largest.
        protocol: device, dtype, batch, threads and memory format; how long is measured is `runs` and `passes`.
        runs: of each network in a pass, once as a whole and once layer by layer.
        passes: over all networks.
        say: is told how far it is.

    Raises:
        InputError: there are too few networks, or as `check_clockable` and `measure` raise.
        CatscaleError: a network cannot run on the device, or the device stays busy.
    """
    start = perf_counter()
    check_clockable(protocol)
    networks = {(a.fingerprint, a.size): Timed(a) for a in architectures}
    if len(networks) < FEWEST:
        raise InputError(f"calibrate: {len(networks)} different networks; at least {FEWEST} are needed")
    protocol = protocol.replace(
        size=None, least_warm_up=1, most_warm_up=2, runs=runs, most_runs=runs, cap_s=1e6, widest_interval=1e6
    )
    runtime = find_runtime(protocol.runtime)
    some = list(networks.values())
    taken: list[Measurement] = []
    for number in range(passes):
        mixed = Random(number).sample(some, len(some))  # who shares turns with whom, and when, is to say nothing
        for first in range(0, len(some), TOGETHER):
            chunk = mixed[first : first + TOGETHER]
            taken += _measured(chunk, protocol, runtime, say)
            say(f"calibrate: pass {number + 1} of {passes}, network {first + len(chunk)} of {len(some)}")
    largest = max(taken, key=lambda measured: measured.stamp.size)
    return tabulated(some, largest.stamp, largest.protocol, taken[0].taken, perf_counter() - start)


def tabulated(networks: Sequence[Timed], stamp: Stamp, protocol: Protocol, taken: str, seconds: float) -> LatencyTable:
    """The table of networks that were timed."""
    return LatencyTable(
        stamp=stamp,
        protocol=protocol,
        taken=taken,
        seconds=round(seconds, 1),
        layers_ms=layer_table(networks),
        networks=tuple(calibrated(networks, protocol.dtype, protocol.batch)),
    )


def layer_table(networks: Sequence[Timed]) -> dict[LayerKey, float]:
    """The median of the times of equal layers, wherever they stand."""
    times: dict[LayerKey, list[float]] = {}
    for network in networks:
        for key, ms in network.layers:
            times.setdefault(key, []).append(ms)
    return {key: round(median(some), DIGITS) for key, some in sorted(times.items(), key=str)}


def _measured(chunk: Sequence[Timed], protocol: Protocol, runtime: Runtime, say: Say) -> list[Measurement]:
    """Run some networks in turns, and keep what each took."""
    clocks: dict[int, LayerClock] = {}

    def clocked(place: int, settled: Protocol) -> LayerClock:
        clocks[place] = LayerClock.of(chunk[place].architecture, settled)
        return clocks[place]

    subjects: list[Subject] = []
    for place, network in enumerate(chunk):
        whole = subject(network.architecture, runtime, network.architecture.size)
        subjects += [whole, replace(whole, prepare=partial(clocked, place))]
    found = measure(subjects, protocol, runtime, say=say)
    for measured in found:
        if measured.failure:
            raise CatscaleError(f"calibrate: {measured.name} at {measured.stamp.size} px: {measured.failure}")
        if measured.conditions and measured.conditions.throttle:
            raise CatscaleError(f"calibrate: {measured.name}: {measured.refusal}")
    for place, network in enumerate(chunk):
        network.whole += found[2 * place].samples_ms
        network.runs += clocks[place].layers_ms[-protocol.runs :]  # those before were to warm up
    return found


def calibrated(networks: Sequence[Timed], dtype: str, batch: int) -> Iterator[Calibrated]:
    """Each network beside what its layers take by the table of the others, as a network not measured will have it."""
    together = LayerTimes(layer_table(networks), dtype, batch)
    for fold in range(FOLDS):
        others = [network for place, network in enumerate(networks) if place % FOLDS != fold]
        times = LayerTimes(layer_table(others), dtype, batch, like=together)
        for network in networks[fold::FOLDS]:
            architecture = network.architecture
            sums = features_of_network(times.of(architecture.graph("deploy"), architecture.size))
            ms, layers, gbytes, gflops = sums.tolist()
            yield Calibrated(
                architecture.name,
                architecture.fingerprint,
                architecture.size,
                round(median(network.whole), DIGITS),
                ms,
                int(layers),
                gbytes,
                gflops,
            )
