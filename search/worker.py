"""A worker: it asks for a trial, sees to it, notes what came of it, until the study's trials are done."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..blocks.errors import CatscaleError, InputError
from ..trainer.recipe import Recipe
from ..trainer.run_folder import EpochRow, RunFolder
from .candidates import Bases, Candidate, over_budget
from .disk import check_space, tidy
from .feasible import Feasible
from .leases import BEAT_S, Lease
from .ledger import Ledger
from .outcomes import SINCE, Outcome
from .proxies.ranking import Ranking
from .settings import THEIR_BASE
from .standing import INTERRUPTED, Standing
from .starting import at_start
from .storages import end_session, patiently
from .study import Study
from .trial import OnEpoch, OnFigures, Task, latency_file

if TYPE_CHECKING:
    from optuna.trial import Trial

UNFIT_IN_A_ROW = 200  # refused or repeated candidates before the space counts as used up
FAILED_IN_A_ROW = 3  # trainings before something other than the candidates counts as broken
WAIT_S, LONGEST_WAIT_S = 0.5, 4.0  # before a worker looks again whether a trial of another's has been left to it
LOOK_S = 1.0  # how often it looks whether its run was asked to stop

Stopper = Callable[[Ledger, "Trial", EpochRow], str]  # is told each epoch; why the trial is to be stopped, or nothing


class Attempt(Protocol):
    """What does a trial's work: `child.run_in_child`, `trial.attempt` in this process, or a benchmark's stand-in."""

    def __call__(self, task: Task, on_figures: OnFigures, on_epoch: OnEpoch, pulse: "Pulse") -> Outcome: ...


@dataclass
class Pulse:
    """A worker's signs of life, and what it is asked meanwhile: made by a thread beside the trial's work."""

    ledger: Ledger
    lease: Lease
    run: str
    orphaned: Callable[[], bool] = lambda: False  # whether who started this worker is gone
    trial: int | None = None  # at work on
    asked: bool = False  # to stop
    lost: bool = False  # the trial was given to another worker
    until: float | None = None  # when the study's hours of training are spent, as far as one can tell; of its training
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat until the end of the block."""
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def at(self, trial: int | None) -> None:
        """Note the trial that is worked on."""
        self.trial, self.lost, self.until = trial, False, None
        if trial is not None:
            patiently(self.ledger.beat, trial)

    @property
    def stopping(self) -> bool:
        """Whether the trial is to be handed back."""
        return self.asked or self.spent

    @property
    def spent(self) -> bool:
        """Whether the trial has used up the study's hours of training."""
        return self.until is not None and time.time() >= self.until

    def _beat(self) -> None:
        try:
            self._beat_on()
        except CatscaleError:  # the storage stays away, as the work itself finds and says
            self.asked = True
        end_session(self.ledger.storage)

    def _beat_on(self) -> None:
        beaten = 0.0
        while not self._over.wait(LOOK_S):
            self.asked = self.asked or self.orphaned() or patiently(self.ledger.asked_to_stop, self.run)
            near = self.until is None or self.until - time.time() < 2 * BEAT_S
            if near or time.monotonic() - beaten >= BEAT_S:
                self._look_ahead()
            if time.monotonic() - beaten < BEAT_S:
                continue
            beaten = time.monotonic()
            self.lease.beat()
            if (trial := self.trial) is not None and not patiently(self.ledger.beat, trial):
                self.lost = self.trial == trial

    def _look_ahead(self) -> None:
        """Tell anew how long the hours of training last, as others begin and end."""
        trial, bound = self.trial, self.ledger.study.budget.gpu_hours
        if bound is None or trial is None:
            return
        now = patiently(self.ledger.standing)
        if self.trial == trial and any(other.number == trial for other in now.training):
            self.until = now.spent_by(3600 * bound, time.time())

    def spent_by(self) -> float | None:
        """When the hours of training are spent, were a training to begin now; None where they are not bounded."""
        bound = self.ledger.study.budget.gpu_hours
        return None if bound is None else patiently(self.ledger.standing).spent_by(3600 * bound, time.time())


@dataclass(frozen=True)
class Worker:
    """One worker of a study."""

    study: Study
    folder: Path
    bases: Bases
    recipe: Recipe
    device: str
    attempt: Attempt
    threads: int | None = None
    deadline: float | None = None  # when to hand back and end; seconds since the epoch
    limit_s: float | None = None  # that a trial's training may take
    stopper: Stopper = lambda ledger, trial, row: ""
    say: Callable[[str], None] = lambda line: None
    changed: Callable[[], None] = lambda: None  # is told when a trial has begun, is measured, or has ended

    def work(self, ledger: Ledger, pulse: Pulse) -> None:
        """Work until the study is done, the time is up, or this worker is asked to stop.

        Raises:
            CatscaleError: trainings fail one after another, or the disk is full.
            KeyboardInterrupt: after the trial has been handed back.
        """
        ledger.sampler.among = Feasible(self.study, self.bases)
        ledger.sampler.ranking = Ranking(self.study, self.bases) if self.study.proxies else None
        unfit = failed = 0
        wait_s = WAIT_S
        while not pulse.asked:
            if self.deadline is not None and time.time() >= self.deadline:
                self.say("the time is up; the same command goes on")
                return
            asked = patiently(self._next, ledger, pulse, unfit)
            if asked is None:
                return
            if asked == "wait":
                self._wait(ledger, pulse, wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            trial, values = asked
            wait_s = WAIT_S
            pulse.at(trial.number)
            self.changed()
            try:
                self._see_to(ledger, trial, values, pulse)
            except BaseException:
                patiently(self._note, ledger, trial, Outcome("interrupted"))
                self.changed()
                raise
            finally:
                pulse.at(None)
            self.changed()
            rows = patiently(ledger.rows)
            row = next(row for row in rows if row.number == trial.number)
            tidy(self.folder, self.study, rows)
            unfit = unfit + 1 if row.state == "refused" or row.same_as is not None else 0
            went_wrong = row.state == "failed" and not row.reason.startswith(INTERRUPTED)
            failed = failed + 1 if went_wrong else failed * (row.state == "refused")
            if failed == FAILED_IN_A_ROW:
                raise CatscaleError(f"{self.study.name}: {failed} trainings in a row failed; the last: {row.reason}")

    def _next(self, ledger: Ledger, pulse: Pulse, unfit: int) -> Any:
        """A trial and its values; "wait" where what others are at may be left to this worker; None where all is done.

        Alone with the storage, so that the total is kept to, and no candidate is proposed twice.
        """
        with ledger.exclusive():
            gone, now = ledger.take_over(pulse.lease.name)
            for number in gone:
                self.say(f"trial {number}: was interrupted; goes on now")
            if now.used < self.study.trials and not self._spent(now):
                if self._awaits_bases(now):
                    return "wait"
                if not ledger.exhausted(now) and unfit < UNFIT_IN_A_ROW:
                    return ledger.ask(pulse.lease.name)
                if (number := ledger.take_up_stopped()) is not None:
                    self.say(f"nothing new is left to try: trial {number}, which was stopped, goes on")
                    return ledger.ask(pulse.lease.name)
                why = ledger.sampler.used_up
                if unfit == UNFIT_IN_A_ROW:
                    why = f"{unfit} candidates in a row were refused or repeats; the space seems used up"
                if not now.running:
                    self.say(why)
            elif self._spent(now) and not now.running:
                self.say(f"{self.study.budget.gpu_hours:g} hours of training are spent; raise gpu_hours to go on")
            return "wait" if now.running else None

    def _wait(self, ledger: Ledger, pulse: Pulse, pause_s: float) -> None:
        """Wait until there may be something to do; looking keeps nobody else from the storage."""
        until = time.monotonic() + BEAT_S  # whether heartbeats ended shows to one alone with the storage
        while not pulse.asked and time.monotonic() < until:
            time.sleep(pause_s)
            now = patiently(ledger.standing)
            left = now.used < self.study.trials and not self._spent(now)
            if left or not now.running or any(map(ledger.lost, now.running)):
                return

    def _awaits_bases(self, now: Standing) -> bool:
        """Whether the next trial begins with a trained base, and not all are trained yet.

        Raises:
            CatscaleError: one never will be.
        """
        if self.study.start is None or self.study.start.source != THEIR_BASE or now.reference_is_next:
            return False
        missing = self.study.bases.keys() - now.trained_references.keys()
        if missing and not now.running:
            why = "; ".join(f"trial {row.number} {row.state}: {row.reason}" for row in now.rows if row.reference)
            raise CatscaleError(f"{self.study.name}: start: no trained weights of {min(missing)} to begin with: {why}")
        return bool(missing)

    def _spent(self, now: Standing) -> bool:
        """Whether the study's hours of training are used up."""
        bound = self.study.budget.gpu_hours
        return bound is not None and now.training_seconds(time.time()) > 3600 * bound - LOOK_S

    def _see_to(self, ledger: Ledger, trial: "Trial", values: dict[str, Any], pulse: Pulse) -> None:
        """Take one candidate as far as it goes."""
        reference = trial.user_attrs.get("reference")
        try:
            candidate = self.bases.reference(reference) if reference else self.bases.candidate(values)
        except InputError as error:
            reason = f"cannot be built: {error}"
            patiently(ledger.refuse, trial, reason)
            return
        known = {**trial.user_attrs.get("figures", {}), **candidate.figures}
        patiently(ledger.describe, trial, candidate, known)
        if reason := over_budget(self.study, candidate.figures) or self.bases.cannot_grow(candidate):
            patiently(ledger.refuse, trial, reason)
        elif twin := patiently(ledger.twin, candidate):
            patiently(ledger.complete, trial, twin.figures, twin)
        else:
            self._train(ledger, trial, candidate, known, pulse)

    def _train(
        self, ledger: Ledger, trial: "Trial", candidate: Candidate, known: dict[str, float], pulse: Pulse
    ) -> None:
        def measured(figures: Any) -> None:
            known.update(figures)
            patiently(ledger.describe, trial, candidate, known)
            self.changed()

        patiently(ledger.score, trial, candidate)
        check_space(self.folder, candidate.figures["params"])
        task = Task(
            number=trial.number,
            study=self.study,
            architecture=candidate.architecture,
            recipe=candidate.trained_by(self.recipe),
            folder=self._run_folder(ledger, trial),
            device=self.device,
            threads=self.threads,
            figures=known,
            deadline=self.deadline,
            limit_s=self.limit_s,
            start=at_start(self.study, self.folder, self._base_run(ledger, candidate)),
        )
        outcome = self.attempt(task, measured, lambda row: patiently(self.stopper, ledger, trial, row), pulse)
        figures = {name: value for name, value in {**known, **outcome.figures}.items() if name != SINCE}
        patiently(self._note, ledger, trial, replace(outcome, figures=figures))

    def _base_run(self, ledger: Ledger, candidate: Candidate) -> Path | None:
        """The run of the trained base that a candidate begins with, where it does."""
        if not candidate.base:
            return None
        return self.folder / "trials" / str(patiently(ledger.standing).trained_references[candidate.base])

    def _note(self, ledger: Ledger, trial: "Trial", outcome: Outcome) -> None:
        match outcome.kind:
            case "complete":
                ledger.complete(trial, outcome.figures)
            case "stopped":
                ledger.complete(trial, outcome.figures, stopped=outcome.reason)
            case "refused":
                ledger.refuse(trial, outcome.reason)
            case "failed":
                ledger.fail(trial, outcome.reason)
            case "interrupted":
                with ledger.exclusive():
                    ledger.hand_back(trial)
            case "died":
                with ledger.exclusive():
                    ledger.drop(trial, outcome.reason)

    def _run_folder(self, ledger: Ledger, trial: "Trial") -> Path:
        """The trial's run folder; where it continues another, that one's, under the new number."""
        folder = self.folder / "trials" / str(trial.number)
        for number in patiently(ledger.before, trial):
            before = RunFolder(self.folder / "trials" / str(number))
            if latency_file(before.path).is_file():
                latency_file(before.path).rename(latency_file(folder))
            if before.state.is_file() and not folder.exists():
                before.path.rename(folder)
            elif before.path.is_dir():  # it died before its first state was saved
                shutil.rmtree(before.path)
        return folder
