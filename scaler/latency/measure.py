"""Graphs measured by a protocol on one runtime: prepared, interleaved, and refused where the figure is worth nothing.

No torch here: on a device without it the same lines measure what its runtime prepares.
"""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

from ...blocks.errors import InputError
from .conditions import Conditions, Watch
from .interleave import Timed, interleaved, reason
from .lock import Say, device_lock_path, locked
from .pinning import check_threads, default_threads, pinned
from .protocol import Protocol
from .runtimes import FILE_RUNTIMES, Prepared, Runtime
from .samples import Summary, summary
from .stamp import Stamp, take_stamp


@dataclass(frozen=True, slots=True)
class Subject:
    """A graph to measure, and how it is made ready; what `prepare` throws is its failure."""

    name: str
    fingerprint: str  # equal for equal graphs, whatever their names
    size: int  # pixels
    prepare: Callable[[Protocol], Prepared]


DISTURBING = 0.1  # cores' worth of other work from which it is spoken of


@dataclass(frozen=True)
class Measurement:
    """What came of one graph, and everything that says how."""

    name: str
    fingerprint: str
    stamp: Stamp
    protocol: Protocol
    session: str  # figures of one session were interleaved: their samples are of the same rounds
    taken: str  # date and time, UTC
    warm_up: int
    samples_ms: tuple[float, ...]  # in the order in which they were taken
    conditions: Conditions | None
    failure: str | None = None  # why there are no samples

    @cached_property
    def summary(self) -> Summary:
        """Of the samples.

        Raises:
            ValueError: there are none, as the runtime failed.
        """
        if self.failure:
            raise ValueError(f"{self.name} has no samples: {self.failure}")
        return summary(self.samples_ms, self.protocol.confidence)

    @property
    def fps(self) -> float:
        """Images in a second."""
        return 1000 * self.stamp.batch / self.summary.median_ms

    @property
    def refusal(self) -> str | None:
        """Why the figure is not a result, where it is not."""
        if self.failure:
            return None
        if self.conditions and self.conditions.throttle:
            return f"the device throttled meanwhile ({', '.join(self.conditions.throttle)}); cool it, or fix its clocks"
        width, widest = self.summary.width, self.protocol.widest_interval
        if width <= widest:
            return None
        busy = f"; {self.disturbed}" if self.disturbed else ""
        return (
            f"the interval of its median is {width:.1%} wide after {self.summary.runs} runs, {widest:.1%} is asked"
            f"{busy}; stop other work, take more --runs or a wider --interval"
        )

    @property
    def disturbed(self) -> str | None:
        """What else was at work, in words: a steady disturbance leaves the interval narrow and the figure too long."""
        load = self.conditions.foreign_load if self.conditions else None
        return f"other work took {load:.1f} cores meanwhile" if load and load >= DISTURBING else None

    @property
    def accepted(self) -> bool:
        """Whether this is a result."""
        return not self.failure and not self.refusal

    def to_json(self, *, samples: bool = True) -> dict[str, Any]:
        """Plain data; what follows from the samples stands beside them, or for them, for whoever reads it."""
        figures = {} if self.failure else {**asdict(self.summary), "fps": self.fps}
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            **{name: round(value, 4) for name, value in figures.items()},
            "refusal": self.refusal,
            "failure": self.failure,
            "stamp": self.stamp.to_json(),
            "protocol": self.protocol.to_json(),
            "conditions": self.conditions.to_json() if self.conditions else None,
            "session": self.session,
            "taken": self.taken,
            "warm_up": self.warm_up,
            **({"samples_ms": list(self.samples_ms)} if samples else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "measurement") -> Self:
        """A measurement from plain data.

        Raises:
            InputError: something is missing, or cannot be; with its place.
        """
        try:
            conditions = document["conditions"]
            measured = cls(
                name=str(document["name"]),
                fingerprint=str(document["fingerprint"]),
                stamp=Stamp.from_json(document["stamp"], f"{where}: stamp"),
                protocol=Protocol.from_json(document["protocol"], f"{where}: protocol"),
                session=str(document["session"]),
                taken=str(document["taken"]),
                warm_up=int(document["warm_up"]),
                samples_ms=tuple(float(sample) for sample in document["samples_ms"]),
                conditions=Conditions.from_json(conditions, f"{where}: conditions") if conditions else None,
                failure=document["failure"],
            )
        except KeyError as error:
            raise InputError(f"{where}: {error.args[0]!r} is missing") from error
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: {error}") from error
        if not measured.failure and not measured.samples_ms:
            raise InputError(f"{where}: {measured.name} has neither samples nor a failure")
        if any(not math.isfinite(sample) or sample <= 0 for sample in measured.samples_ms):
            raise InputError(f"{where}: {measured.name} has samples that are no times")
        return measured


def measure(
    subjects: Sequence[Subject], protocol: Protocol, runtime: Runtime, *, say: Say = lambda line: None
) -> list[Measurement]:
    """Measure graphs in turns, alone on the device; one that fails says why, and the others go on.

    Args:
        subjects: what to measure; all of them are held in memory at once.
        protocol: how; its device may be `auto`, its threads None.
        runtime: of `protocol.runtime`.
        say: is told that the device is busy.

    Returns:
        One for each subject, in their order; refused ones (`Measurement.refusal`) and failed ones among them.

    Raises:
        InputError: no such device, or the runtime cannot do what the protocol asks.
        CatscaleError: the device stays busy.
    """
    protocol = settled(protocol, runtime)
    facts = runtime.facts(protocol)
    session = uuid.uuid4().hex
    with ExitStack() as held:
        lock = device_lock_path(facts.gpu or protocol.device)
        held.enter_context(locked(lock, f"latency: {protocol.device}", say=say))
        if protocol.threads:
            held.enter_context(pinned(protocol.threads))
        held.enter_context(runtime.held(protocol))
        ready: dict[int, Prepared] = {}
        timed: dict[int, Timed] = {}
        for index, subject in enumerate(subjects):
            try:
                ready[index] = subject.prepare(protocol.replace(size=subject.size))
            except Exception as error:  # whatever a runtime throws is the reason of this graph alone
                timed[index] = Timed((), 0, reason(error))
        watch, taken = Watch(facts.gpu), datetime.now(UTC).isoformat(timespec="seconds")
        timed |= interleaved({index: one.run for index, one in ready.items()}, protocol, after_round=watch.look)
        conditions = watch.conditions()
    return [
        Measurement(
            subject.name,
            subject.fingerprint,
            take_stamp(protocol, facts, subject.size),
            protocol,
            session,
            taken,
            timed[index].warm_up,
            tuple(round(sample, 5) for sample in timed[index].samples_ms),
            None if timed[index].failure else conditions,
            timed[index].failure,
        )
        for index, subject in enumerate(subjects)
    ]


def settled(protocol: Protocol, runtime: Runtime) -> Protocol:
    """The protocol with a whole device name and, for a CPU, a number of threads.

    Raises:
        InputError: no such device, more threads than cores, or the runtime cannot do what is asked.
    """
    device = runtime.find_device(protocol.device)
    threads = (protocol.threads or default_threads()) if device == "cpu" else None
    if threads:
        check_threads(threads)
    chosen = protocol.replace(device=device, threads=threads)
    if protocol.runtime in FILE_RUNTIMES:
        chosen = chosen.replace(memory_format="contiguous")  # of the images in ONNX; inside, the runtime chooses
    runtime.check(chosen)
    return chosen
