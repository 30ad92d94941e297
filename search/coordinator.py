"""Many workers on one study: started, watched, replaced where they die, and asked to hand back what they are at."""

import os
import signal
import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..blocks.errors import CatscaleError, InputError
from ..trainer.run_folder import EpochRow, RunFolder
from .backends import Backend, Placed, place
from .child import run_in_child
from .epoch_bars import Watch
from .leases import alive, lease
from .ledger import Ledger
from .planner import time_left
from .proxies.record import audit_lines
from .rows import Row
from .status import trial_line
from .storages import patiently
from .trial import OnEpoch, OnFigures, Outcome, Task
from .worker import Attempt, Pulse, Worker

SHOW_S = 0.5  # how often the coordinator looks for what has ended


@dataclass(frozen=True)
class Crew:
    """How many workers, and where."""

    workers: int = 1
    devices: tuple[str, ...] = ()  # of this machine, by turns: "0", "cuda:1", "cpu"; as the run's device where none
    backend: Backend = field(default_factory=Backend)

    def __post_init__(self) -> None:
        if self.devices and self.backend.kind != "loky":
            raise InputError("--devices: are this machine's; a cluster gives each trial its own (--gpus)")


@dataclass(frozen=True)
class Job:
    """What a worker needs to begin, wherever it is."""

    worker: Worker
    storage: str | None
    run: str  # the lease names of its workers begin with it
    environment: dict[str, str]  # of its trials
    starter: int | None  # the process without which it ends; none on a cluster


def work(job: Job) -> str:
    """Be a worker; says what went wrong, or nothing."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the coordinator, which asks in its turn
        signal.signal(signal.SIGTERM, _interrupt)
    starter = job.starter

    def orphaned() -> bool:
        return starter is not None and os.getppid() != starter

    try:
        ledger = Ledger.open(job.worker.study, job.worker.folder, job.storage)
        try:
            with lease(job.worker.folder, job.run) as held:
                pulse = Pulse(ledger, held, job.run, orphaned)
                with pulse.beating():
                    replace(job.worker, attempt=in_child(job.environment)).work(ledger, pulse)
        finally:
            ledger.close()
    except CatscaleError as error:
        return str(error)
    except KeyboardInterrupt:
        return ""
    return ""


def in_child(environment: dict[str, str] | None = None) -> Attempt:
    """What does each trial's work in a fresh process."""

    def attempt(task: Task, on_figures: OnFigures, on_epoch: OnEpoch, pulse: Pulse) -> Outcome:
        return run_in_child(
            task,
            on_figures,
            on_epoch,
            stopping=lambda: pulse.stopping,
            lost=lambda: pulse.lost,
            lease=pulse.lease.descriptor,
            environment=environment,
            log=task.folder.parent.parent / "logs" / f"trial-{task.number}.log",
        )

    return attempt


def run_crew(
    ledger: Ledger,
    worker: Worker,
    crew: Crew,
    storage: str | None,
    say: Callable[[str], None],
    watch: Watch | None = None,
) -> None:
    """Have a study's trials done by a crew; its first interrupt lets the workers hand back their trials.

    Raises:
        CatscaleError: what went wrong in a worker; the others have handed back then.
        KeyboardInterrupt: after all have.
    """
    run = uuid.uuid4().hex[:8]
    local = crew.backend.kind == "loky"
    jobs = [_job(worker, crew, slot, run, storage, os.getpid() if local else None) for slot in range(crew.workers)]
    show = Reporter(ledger, run, say, watch)
    with ExitStack() as stack:
        placed = place(crew.backend, work, jobs, say)
        stack.callback(placed.kill)
        interrupted = _watched(placed, ledger, run, show, say)
    patiently(show)
    if placed.problems:
        raise CatscaleError(placed.problems[0])
    if interrupted:
        raise KeyboardInterrupt


def _watched(placed: Placed, ledger: Ledger, run: str, show: "Reporter", say: Callable[[str], None]) -> bool:
    """Until the last worker is done; gives whether an interrupt was the cause."""
    interrupted = False
    over = threading.Event()
    while placed.running:
        try:
            over.wait(SHOW_S)
            patiently(show)
            if placed.problems and not placed.ending:
                placed.ending = True
                patiently(ledger.ask_to_stop, run)
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = placed.ending = True
            say("stopping: the workers hand back their trials; once more ends them at once")
            patiently(ledger.ask_to_stop, run)
    return interrupted


@dataclass
class Reporter:
    """Says a line for each trial that a run's workers have ended, and keeps `trials.csv` up to date.

    Where somebody watches, it tells the epochs of those under way, as their run folders have them.
    """

    ledger: Ledger
    run: str  # how the names of its leases begin
    say: Callable[[str], None]
    watch: Watch | None = None
    said: set[int] = field(default_factory=set)
    rows: list[Row] = field(default_factory=list)
    verdict: str = ""  # on the study's proxies, as said last

    def __call__(self) -> None:
        now = self.ledger.standing()
        rows = now.rows
        if self.watch is not None:
            self._tell_epochs(self.watch, [row for row in rows if row.worker.startswith(self.run)])
        if rows == self.rows:
            return
        self.rows = rows
        self.ledger.write(rows)
        for row in rows:
            if row.state != "running" and row.number not in self.said and row.worker.startswith(self.run):
                self.said.add(row.number)
                left = time_left(self.ledger.study, rows, max(1, len(alive(self.ledger.folder))))
                self.say(trial_line(self.ledger.study, row, now.used, left))
        if (settings := self.ledger.study.proxies) is not None:
            lines = audit_lines(settings, self.ledger.audits())
            if lines[0] != self.verdict:
                self.verdict = lines[0]
                for line in lines:
                    self.say(line)

    def _tell_epochs(self, watch: Watch, rows: list[Row]) -> None:
        for row in rows:
            if row.number in self.said:
                continue
            epochs: list[EpochRow] = []
            if row.state == "running":
                with suppress(InputError):  # it is being written
                    epochs = RunFolder(self.ledger.folder / "trials" / str(row.number)).read_metrics()
            if epochs or row.state != "running":
                watch(row.number, epochs[-1] if epochs else None)


def _job(worker: Worker, crew: Crew, slot: int, run: str, storage: str | None, starter: int | None) -> Job:
    device, environment = worker.device, {}
    if crew.devices:
        device, environment = pinned(crew.devices[slot % len(crew.devices)])
    threads = max(1, (os.cpu_count() or 1) // crew.workers) if device == "cpu" and starter is not None else None
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    own = replace(worker, device=device, threads=threads, attempt=_nowhere, say=_silent, changed=_ignore)
    folder = Path(worker.folder).resolve()
    return Job(replace(own, folder=folder), storage, run, environment, starter)


def pinned(device: str) -> tuple[str, dict[str, str]]:
    """A device by its number or name, as the only one that a trial sees: its name there, and the environment.

    Raises:
        InputError: it is neither the CPU nor a CUDA device.
    """
    number = device.removeprefix("cuda:")
    if device == "cpu":
        return "cpu", {}
    if not number.isdigit():
        raise InputError(f"--devices: {device!r} is none; give numbers of CUDA devices, or cpu: 0,1,2,3")
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if visible and int(number) >= len(visible):
        raise InputError(f"--devices: {number} is not there: CUDA_VISIBLE_DEVICES shows {len(visible)}")
    return "cuda:0", {"CUDA_VISIBLE_DEVICES": visible[int(number)] if visible else number}


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _nowhere(task: Task, on_figures: OnFigures, on_epoch: OnEpoch, pulse: Pulse) -> Outcome:
    raise AssertionError("a worker sets its own")


def _silent(line: str) -> None:
    pass


def _ignore() -> None:
    pass
