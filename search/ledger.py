"""The trials of a study in Optuna's storage, and what became of each."""

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState

from ..blocks.errors import InputError
from ..scaler.documents import parse
from .candidates import Candidate
from .early_stop import CURVE, SPARED, to_take_up
from .leases import is_dead
from .rows import Row, State, comparable, write_rows
from .samplers import Untried
from .storages import close_storage, exclusive, open_storage
from .stored_study import differences, document
from .study import Study

INTERRUPTED = "interrupted"  # how the reason begins of a failed trial that did not fail
TAKEN_UP = 3  # times that a trial is taken up again whose process died, before the trial counts as what kills it


class Ledger:
    """A study's trials in a storage. `trials.csv` is written from it.

    Optuna's state says what its samplers learn from: COMPLETE has values, PRUNED was refused (bad), FAIL is ignored.
    """

    def __init__(self, study: Study, folder: Path, storage: BaseStorage, opened: optuna.Study) -> None:
        self.study, self.folder, self.storage, self.optuna = study, folder, storage, opened
        self.sampler = opened.sampler = Untried(study)

    @classmethod
    def open(cls, study: Study, folder: Path, url: str | None) -> Self:
        """Open a storage (see `storages.open_storage`); a new study gets its references.

        Raises:
            InputError: it cannot be reached, or holds another study of this name.
        """
        storage = open_storage(url, folder, on_stale=lambda _, trial: None)  # `mend` sees to it
        try:
            with exclusive(storage, folder, study.name):
                opened = optuna.create_study(
                    storage=storage,
                    study_name=study.name,
                    directions=list(study.objectives.values()),
                    load_if_exists=True,
                )
                ledger = cls(study, folder, storage, opened)
                ledger._begin()
        except BaseException:
            close_storage(storage)
            raise
        return ledger

    def _begin(self) -> None:
        before = self.optuna.user_attrs.get("study")
        if before is None and self.trials:
            raise InputError(f"the storage holds a study {self.study.name!r} that is not catscale's; take another name")
        if before is None:
            self.optuna.set_user_attr("study", document(self.study))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # names are for people who open the storage
                self.optuna.set_metric_names(list(self.study.objectives))
        elif changed := differences(parse(Study, before, "storage"), self.study):
            raise InputError(f"the storage holds another study {self.study.name!r}: {'; '.join(changed)}")
        there = {trial.user_attrs.get("reference") for trial in self.trials}
        for name in self.study.compared:
            if name not in there:
                self.optuna.enqueue_trial({}, user_attrs={"reference": name})

    def close(self) -> None:
        """Let go of the storage."""
        close_storage(self.storage)

    def exclusive(self) -> AbstractContextManager[None]:
        """Let no other worker ask or take over meanwhile."""
        return exclusive(self.storage, self.folder, self.study.name)

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False)

    def rows(self) -> list[Row]:
        """Every trial that has begun."""
        trials = self.trials
        heirs = self._heirs()
        return [_row(trial, heirs.get(trial.number)) for trial in trials if trial.state is not TrialState.WAITING]

    def _heirs(self) -> dict[int, int]:
        """By the number of a trial, that of the one that goes on with it."""
        return {trial.user_attrs["continues"]: trial.number for trial in self.trials if "continues" in trial.user_attrs}

    def row(self, number: int) -> Row:
        """A trial that has begun."""
        return next(row for row in self.rows() if row.number == number)

    def used(self) -> int:
        """Trials that count towards the study's total: trained or in training; not refused, reused or interrupted."""
        return sum(
            row.state in ("complete", "stopped", "running")
            or (row.state == "failed" and not row.reason.startswith(INTERRUPTED))
            for row in self._rows_once()
        )

    def training_seconds(self) -> float:
        """What has been spent on trainings that have ended."""
        return sum(row.figures.get("seconds", 0.0) for row in self._rows_once())

    def _rows_once(self) -> list[Row]:
        """Every training once: none of a result that was taken over, nor a stopped one that has gone on."""
        heirs = self._heirs()
        return [r for r in self.rows() if r.same_as is None and not (r.state == "stopped" and r.number in heirs)]

    def running(self) -> bool:
        """Whether any worker is at a trial."""
        return any(trial.state is TrialState.RUNNING for trial in self.trials)

    def exhausted(self) -> bool:
        """Whether nothing waits, and every combination of a finite space has been tried."""
        waiting = any(trial.state is TrialState.WAITING for trial in self.trials)
        return not waiting and self.sampler.exhausted(self.optuna)

    def reference_is_next(self) -> bool:
        """Whether the trial that waits first is a reference."""
        waiting = [trial for trial in self.trials if trial.state is TrialState.WAITING]
        return bool(waiting) and "reference" in waiting[0].user_attrs

    def trained_references(self) -> dict[str, int]:
        """By the short names of references that are trained, the trials whose run folders have them."""
        return {
            trial.user_attrs["reference"]: trial.user_attrs.get("same_as", trial.number)
            for trial in self.trials
            if "reference" in trial.user_attrs and _row(trial, None).state == "complete"
        }

    def ask(self, worker: str) -> tuple[Trial, dict[str, Any]]:
        """The next trial and its values; none for a reference."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about heartbeats: a worker's `Pulse` makes them
            trial = self.optuna.ask()
        trial.set_user_attr("worker", worker)
        if "reference" in trial.user_attrs:
            return trial, {}
        return trial, {name: _suggested(trial, name, kind) for name, kind in self.sampler.distributions.items()}

    def twin(self, candidate: Candidate) -> Row | None:
        """A finished trial of the same detector at the same size."""
        twins = [trial.number for trial in self.trials if trial.user_attrs.get("key") == candidate.key]
        return next((row for row in comparable(self.rows()) if row.number in twins), None)

    def describe(self, trial: Trial, candidate: Candidate, figures: Mapping[str, float]) -> None:
        """Note what is known of a trial before its training."""
        known = {
            "name": candidate.architecture.name,
            "fingerprint": candidate.architecture.fingerprint,
            "key": candidate.key,
            "figures": dict(figures),
        }
        self._note(trial, **{name: value for name, value in known.items() if trial.user_attrs.get(name) != value})

    def complete(self, trial: Trial, figures: Mapping[str, float], twin: Row | None = None, stopped: str = "") -> None:
        """Note a result; `twin` is the trial that it was taken over from, `stopped` why its training ended early."""
        if twin:
            same = f"the same detector as trial {twin.number}: its result is reused"
            self._note(trial, same_as=twin.number, reason=same)
        if stopped:
            self._note(trial, stopped=True, reason=stopped)
        self._note(trial, figures=dict(figures))
        self._end(trial, TrialState.COMPLETE, [figures[name] for name in self.study.objectives])

    def refuse(self, trial: Trial, reason: str) -> None:
        """Note a candidate that is never trained."""
        self._note(trial, reason=reason)
        self._end(trial, TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """Note a training that failed."""
        self._note(trial, reason=reason)
        self._end(trial, TrialState.FAIL)

    def hand_back(self, trial: Trial) -> None:
        """End a trial before its time, whose training goes on from its checkpoint in another one."""
        self._note(trial, handed_back=True)
        self._end(trial, TrialState.FAIL)
        self.mend()

    def drop(self, trial: Trial, why: str) -> None:
        """End a trial whose process died; it goes on in another one, unless that has happened too often."""
        self._note(trial, died=why)
        self._end(trial, TrialState.FAIL)
        self.mend()

    def take_over(self) -> list[int]:
        """Hand on the trials of workers that are gone; gives their numbers. Only within `exclusive`."""
        lost = [trial for trial in self.trials if trial.state is TrialState.RUNNING and self._lost(trial)]
        for trial in lost:
            self._end(trial, TrialState.FAIL)
        running = {trial.number for trial in self.trials if trial.state is TrialState.RUNNING}
        if isinstance(self.storage, RDBStorage):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                fail_stale_trials(self.optuna)  # where the heartbeats ended
        stale = [number for number in sorted(running) if self.trials[number].state is TrialState.FAIL]
        self.mend()
        return [*(trial.number for trial in lost), *stale]

    def mend(self) -> list[int]:
        """Enqueue what was interrupted and is not enqueued yet, unless it has been too often; gives their numbers."""
        continued = {trial.user_attrs.get("continues") for trial in self.trials}
        mended = []
        for trial in self.trials:
            known = trial.user_attrs
            values = {
                **trial.system_attrs.get("fixed_params", {}),
                **trial.params,
            }  # it may have died before it took them
            whole = "reference" in known or values.keys() == self.sampler.distributions.keys()
            open_ = trial.state is TrialState.FAIL and "reason" not in known and trial.number not in continued
            if not whole or not open_:
                continue
            if _deaths(trial) <= TAKEN_UP:
                kept = {name: known[name] for name in ("reference", "figures", CURVE, SPARED) if name in known}
                attributes = {**kept, "continues": trial.number, "deaths": _deaths(trial)}
                self.optuna.enqueue_trial(values, user_attrs=attributes)
                mended.append(trial.number)
        return mended

    def take_up_stopped(self) -> int | None:
        """Enqueue the most promising stopped trial, to go on to its end; gives its number. Only within `exclusive`."""
        trial = to_take_up(self.trials, self.study.objectives)
        if trial is None:
            return None
        kept = {name: trial.user_attrs[name] for name in ("figures", CURVE)}
        self.optuna.enqueue_trial(trial.params, user_attrs={**kept, "continues": trial.number, SPARED: True})
        return trial.number

    def before(self, trial: Trial) -> list[int]:
        """The trials that one continues, the latest first."""
        chain, known = [], trial.user_attrs
        while "continues" in known:
            chain.append(known["continues"])
            known = self.trials[chain[-1]].user_attrs
        return chain

    def beat(self, number: int) -> bool:
        """Give a sign of life for a trial, where the storage has them; whether the trial is still this worker's."""
        trial = self.trials[number]
        if trial.state.is_finished():
            return False
        if isinstance(self.storage, RDBStorage):
            self.storage.record_heartbeat(trial._trial_id)
        return True

    def ask_to_stop(self, run: str) -> None:
        """Ask the workers of a run, wherever they are, to hand back their trials."""
        self.optuna.set_user_attr(f"stop {run}", True)

    def asked_to_stop(self, run: str) -> bool:
        """Whether they were."""
        return f"stop {run}" in self.optuna.user_attrs

    def write(self) -> None:
        """Write `trials.csv` anew."""
        write_rows(self.folder / "trials.csv", self.study, self.rows())

    def _lost(self, trial: FrozenTrial) -> bool:
        """One that has no worker's name was asked for by a worker that died at once: asking is exclusive."""
        worker = trial.user_attrs.get("worker")
        return worker is None or is_dead(self.folder, worker)

    def _note(self, trial: Trial, **known: Any) -> None:
        """Note something of a trial, unless another worker has ended it, having taken this one for dead."""
        with suppress(UpdateFinishedTrialError):
            for name, value in known.items():
                trial.set_user_attr(name, value)

    def _end(self, trial: Trial | FrozenTrial, state: TrialState, values: list[float] | None = None) -> None:
        """End a trial, once."""
        with suppress(UpdateFinishedTrialError):
            self.optuna.tell(trial.number, values, state, skip_if_finished=True)


def _suggested(trial: Trial, name: str, kind: BaseDistribution) -> Any:
    match kind:
        case CategoricalDistribution():
            return trial.suggest_categorical(name, kind.choices)
        case IntDistribution():
            return trial.suggest_int(name, kind.low, kind.high, step=kind.step)
        case FloatDistribution():
            return trial.suggest_float(name, kind.low, kind.high, step=kind.step)
        case _:
            raise TypeError(f"{kind} is no distribution of a space")


def _deaths(trial: FrozenTrial) -> int:
    """How often the process of a trial that came to no end has died, those that it continues included."""
    return trial.user_attrs.get("deaths", 0) + ("handed_back" not in trial.user_attrs)


def _row(trial: FrozenTrial, heir: int | None) -> Row:
    known = trial.user_attrs
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "stopped" if "stopped" in known else "complete",
        TrialState.PRUNED: "refused",
        TrialState.RUNNING: "running",
    }
    interrupted = ""
    if trial.state is TrialState.FAIL and "reason" not in known:
        goes_on = "" if heir is None else f"; goes on as trial {heir}"
        died = f"crashed: {known.get('died', 'its worker died')}, and so {_deaths(trial)} times in all"
        interrupted = died if _deaths(trial) > TAKEN_UP else f"{INTERRUPTED}{goes_on}"
    gone_on = f"; goes on as trial {heir}" if "stopped" in known and heir is not None else ""
    return Row(
        number=trial.number,
        state=states.get(trial.state, "failed"),
        reason=(known.get("reason", "") or interrupted) + gone_on,
        reference=known.get("name", known["reference"]) if "reference" in known else "",
        values=trial.params,
        figures=known.get("figures", {}),
        fingerprint=known.get("fingerprint", ""),
        name=known.get("name", ""),
        same_as=known.get("same_as"),
        worker=known.get("worker", ""),
    )
