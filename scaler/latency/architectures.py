"""Architectures measured: the deploy graph's forward, its suppression, or the whole way."""

from collections.abc import Sequence
from functools import partial

from ...blocks.errors import CatscaleError
from ..architecture import Architecture, check_size
from .cache import Cache
from .lock import Say
from .measure import Measurement, Subject, measure, settled
from .protocol import Protocol
from .runtimes import Runtime, find_runtime
from .stamp import take_stamp

ATTEMPTS = 3  # of `measure_latency`, while the figure is refused
SEARCHING = Protocol(most_runs=90, cap_s=4.0, widest_interval=0.1)  # of many, where a rough figure is better than none


def subject(architecture: Architecture, runtime: Runtime, size: int | None) -> Subject:
    """An architecture at a size in pixels, its own where None.

    Raises:
        InputError: the size is no multiple of its largest stride.
    """
    size = architecture.size if size is None else size
    check_size(size, architecture.strides[-1], architecture.name)
    return Subject(architecture.name, architecture.fingerprint, size, partial(runtime.prepare, architecture))


def measure_all(
    architectures: Sequence[Architecture], protocol: Protocol, *, say: Say = lambda line: None
) -> list[Measurement]:
    """Measure architectures in turns; see `measure.measure`.

    Raises:
        InputError: a size is no multiple of a stride; or as `find_runtime` and `measure` raise.
        CatscaleError: the device stays busy.
    """
    runtime = find_runtime(protocol.runtime)
    return measure([subject(a, runtime, protocol.size) for a in architectures], protocol, runtime, say=say)


def measured_or_kept(
    architectures: Sequence[Architecture],
    protocol: Protocol,
    cache: Cache,
    *,
    fresh: bool = False,
    say: Say = lambda line: None,
) -> list[Measurement]:
    """The same, from the cache where it has them all; else, or where `fresh`, all are measured in turns and kept.

    Raises:
        InputError: as `measure_all`; or the cache cannot be written.
        CatscaleError: the device stays busy.
    """
    runtime = find_runtime(protocol.runtime)
    subjects = [subject(architecture, runtime, protocol.size) for architecture in architectures]
    whole = settled(protocol, runtime)
    facts = runtime.facts(whole)
    kept = [cache.find(one.name, one.fingerprint, take_stamp(whole, facts, one.size), whole) for one in subjects]
    if not fresh and all(kept):
        say(f"from the cache, {cache.path}; --fresh measures again")
        return [found for found in kept if found]
    found = measure(subjects, whole, runtime, say=say)
    cache.keep(found)
    return found


def measure_latency(
    architecture: Architecture, protocol: Protocol = SEARCHING, *, say: Say = lambda line: None
) -> Measurement:
    """Measure one architecture; while the figure is refused, again, at most `ATTEMPTS` times.

    Of refused attempts the one of the narrowest interval is given, and its `refusal` says that it is no result: who
    cannot do without a figure, as a search, notes it with its spread.

    Raises:
        InputError: as `measure_all`.
        CatscaleError: the runtime failed, out of memory for example, or the device stays busy.
    """
    best: Measurement | None = None
    for _ in range(ATTEMPTS):
        (found,) = measure_all([architecture], protocol, say=say)
        if found.failure:
            at = f"on {found.protocol.device} at {found.stamp.size} px, batch {found.stamp.batch}"
            raise CatscaleError(f"{architecture.name}: {found.failure} {at}")
        if best is None or found.summary.width < best.summary.width:
            best = found
        if found.accepted:
            return found
    assert best
    return best
