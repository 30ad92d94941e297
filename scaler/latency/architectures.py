"""Architectures measured: the deploy graph's forward, its suppression, or the whole way."""

from collections.abc import Sequence
from functools import partial

from ...blocks.errors import CatscaleError
from ..architecture import Architecture, check_size
from .lock import Say
from .measure import Measurement, Subject, measure
from .protocol import Protocol
from .runtimes import Runtime, find_runtime

ATTEMPTS = 3  # of `measure_latency`, while the interval is too wide


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


def measure_latency(
    architecture: Architecture, protocol: Protocol | None = None, *, say: Say = lambda line: None
) -> Measurement:
    """Measure one architecture; while the figure is refused, again, at most `ATTEMPTS` times.

    Of refused attempts the one of the narrowest interval is given, and its `refusal` says that it is no result: who
    cannot do without a figure, as a search, notes it with its spread.

    Raises:
        InputError: as `measure_all`.
        CatscaleError: the runtime failed, out of memory for example, or the device stays busy.
    """
    protocol = protocol or Protocol()
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
