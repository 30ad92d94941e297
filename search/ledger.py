"""The trials of a study in Optuna's storage, and what became of each."""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
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
from .candidates import Candidate, violations
from .early_stop import CURVE, SPARED, to_take_up
from .leases import BEAT_S, is_dead
from .outcomes import SINCE
from .proxies.audit import Audit
from .proxies.ranking import SCORES, audits
from .proxies.record import FILE, write_audits
from .rows import Row, comparable, write_rows
from .samplers import Untried
from .standing import SPENT, TAKEN_UP, Standing, deaths
from .storages import close_storage, exclusive, open_storage
from .stored_study import differences, document
from .study import Study


class Ledger:
    """A study's trials in a storage. `trials.csv` is written from it.

    Optuna's state says what its samplers learn from: COMPLETE has values, PRUNED was refused (bad), FAIL is ignored.
    """

    def __init__(self, study: Study, folder: Path, storage: BaseStorage, opened: optuna.Study) -> None:
        self.study, self.folder, self.storage, self.optuna = study, folder, storage, opened
        self.sampler = opened.sampler = Untried(study)
        self._stale_failed = -math.inf  # when the heartbeats were last looked at

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

    def standing(self) -> Standing:
        """How the study stands, by one reading."""
        return Standing(self.trials)

    def rows(self) -> list[Row]:
        """Every trial that has begun."""
        return self.standing().rows

    def exhausted(self, now: Standing) -> bool:
        """Whether nothing waits, and every combination of a finite space has been tried."""
        return not now.waiting and self.sampler.exhausted(self.optuna)

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
        now = self.standing()
        twins = [trial.number for trial in now.trials if trial.user_attrs.get("key") == candidate.key]
        return next((row for row in comparable(now.rows) if row.number in twins), None)

    def describe(self, trial: Trial, candidate: Candidate, figures: Mapping[str, float]) -> None:
        """Note what is known of a trial before its training."""
        known = {
            "name": candidate.architecture.name,
            "fingerprint": candidate.architecture.fingerprint,
            "key": candidate.key,
            "figures": dict(figures),
        }
        self._note(trial, **{name: value for name, value in known.items() if trial.user_attrs.get(name) != value})

    def score(self, trial: Trial, candidate: Candidate) -> None:
        """Note what the study's proxies say of a candidate that is to be trained."""
        if self.sampler.ranking is not None and SCORES not in trial.user_attrs:
            self._note(trial, **{SCORES: self.sampler.ranking.scores(candidate)})

    def complete(self, trial: Trial, figures: Mapping[str, float], twin: Row | None = None, stopped: str = "") -> None:
        """Note a result; `twin` is the trial that it was taken over from, `stopped` why its training ended early."""
        if twin:
            same = f"the same detector as trial {twin.number}: its result is reused"
            self._note(trial, same_as=twin.number, reason=same)
        if stopped:
            self._note(trial, stopped=True, reason=stopped)
        self._note(trial, figures=dict(figures))
        self._constrain(trial)
        self._end(trial, TrialState.COMPLETE, [figures[name] for name in self.study.objectives])

    def refuse(self, trial: Trial, reason: str) -> None:
        """Note a candidate that is never trained."""
        self._note(trial, reason=reason)
        self._constrain(trial)
        self._end(trial, TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """Note a training that failed."""
        self._note(trial, reason=reason)
        self._broken_off(trial)

    def hand_back(self, trial: Trial) -> None:
        """End a trial before its time, whose training goes on from its checkpoint in another one."""
        self._note(trial, handed_back=True)
        self._broken_off(trial)
        self.mend()

    def drop(self, trial: Trial, why: str) -> None:
        """End a trial whose process died; it goes on in another one, unless that has happened too often."""
        self._note(trial, died=why)
        self._broken_off(trial)
        self.mend()

    def take_over(self, asking: str | None = None) -> tuple[list[int], Standing]:
        """Hand on the trials of workers that are gone; gives their numbers, and how the study stands then.

        Only within `exclusive`. A worker that is `asking` is at no trial: one in its name was given to it in an answer
        that did not arrive.
        """
        now = self.standing()
        lost = [trial for trial in now.running if self.lost(trial) or trial.user_attrs["worker"] == asking]
        for trial in lost:
            self._end(trial, TrialState.FAIL)
        gone = [trial.number for trial in lost]
        gone += self._fail_stale([trial.number for trial in now.running if trial.number not in gone])
        mended = self.mend(None if gone else now)
        return gone, self.standing() if gone or mended else now

    def _fail_stale(self, running: Sequence[int]) -> list[int]:
        """Fail those of the running trials whose heartbeats ended, where the storage has them; now and then."""
        if not isinstance(self.storage, RDBStorage) or time.monotonic() - self._stale_failed < BEAT_S:
            return []
        self._stale_failed = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(self.optuna)
        trials = self.trials
        return [number for number in running if trials[number].state is TrialState.FAIL]

    def mend(self, now: Standing | None = None) -> list[int]:
        """Enqueue what was interrupted and is not enqueued yet, unless it has been too often; gives their numbers."""
        trials = (now or self.standing()).trials
        continued = {trial.user_attrs.get("continues") for trial in trials}
        mended = []
        for trial in trials:
            known = trial.user_attrs
            values = {
                **trial.system_attrs.get("fixed_params", {}),
                **trial.params,
            }  # it may have died before it took them
            whole = "reference" in known or values.keys() == self.sampler.distributions.keys()
            open_ = trial.state is TrialState.FAIL and "reason" not in known and trial.number not in continued
            if not whole or not open_:
                continue
            if deaths(trial) <= TAKEN_UP:
                kept = {name: known[name] for name in ("reference", SCORES, CURVE, SPARED) if name in known}
                if "figures" in known:
                    kept["figures"] = {name: value for name, value in known["figures"].items() if name != SINCE}
                attributes = {**kept, "continues": trial.number, "deaths": deaths(trial)}
                self.optuna.enqueue_trial(values, user_attrs=attributes)
                mended.append(trial.number)
        return mended

    def take_up_stopped(self) -> int | None:
        """Enqueue the most promising stopped trial, to go on to its end; gives its number. Only within `exclusive`."""
        trial = to_take_up(self.trials, self.study.objectives)
        if trial is None:
            return None
        kept = {name: trial.user_attrs[name] for name in ("figures", SCORES, CURVE) if name in trial.user_attrs}
        self.optuna.enqueue_trial(trial.params, user_attrs={**kept, "continues": trial.number, SPARED: True})
        return trial.number

    def before(self, trial: Trial) -> list[int]:
        """The trials that one continues, the latest first."""
        chain, known = [], trial.user_attrs
        trials = self.trials if "continues" in known else []
        while "continues" in known:
            chain.append(known["continues"])
            known = trials[chain[-1]].user_attrs
        return chain

    def beat(self, number: int) -> bool:
        """Give a sign of life for a trial, where the storage has them; whether the trial is still this worker's."""
        storage = self.optuna._storage
        its = storage.get_trial_id_from_study_id_trial_number(self.optuna._study_id, number)
        if storage.get_trial(its).state.is_finished():
            return False
        if isinstance(self.storage, RDBStorage):
            self.storage.record_heartbeat(its)
        return True

    def ask_to_stop(self, run: str) -> None:
        """Ask the workers of a run, wherever they are, to hand back their trials."""
        self.optuna.set_user_attr(f"stop {run}", True)

    def asked_to_stop(self, run: str) -> bool:
        """Whether they were."""
        return f"stop {run}" in self.optuna.user_attrs

    def audits(self) -> list[Audit]:
        """What the study's proxies are worth so far; nothing where it has none."""
        return audits(self.study, self.trials)

    def write(self, rows: Sequence[Row] | None = None) -> None:
        """Write `trials.csv` anew, from the storage's rows where none are given; with proxies `proxies.csv` too."""
        write_rows(self.folder / "trials.csv", self.study, self.rows() if rows is None else rows)
        if self.study.proxies is not None:
            write_audits(self.folder / FILE, self.audits())

    def lost(self, trial: FrozenTrial) -> bool:
        """Whether a running trial's worker is gone.

        One that has no worker's name was asked for by a worker that died at once: asking is exclusive.
        """
        worker = trial.user_attrs.get("worker")
        return worker is None or is_dead(self.folder, worker)

    def _note(self, trial: Trial, **known: Any) -> None:
        """Note something of a trial, unless another worker has ended it, having taken this one for dead."""
        with suppress(UpdateFinishedTrialError):
            for name, value in known.items():
                trial.set_user_attr(name, value)

    def _constrain(self, trial: Trial) -> None:
        """Note how far a trial is over each bound, as Optuna and its dashboard read it; our samplers read figures."""
        known = trial.storage.get_trial(trial._trial_id).constraints
        with suppress(UpdateFinishedTrialError):
            for name, excess in violations(self.study, trial.user_attrs.get("figures", {})).items():
                if name not in known:
                    trial.set_constraint(name, excess)

    def _broken_off(self, trial: Trial) -> None:
        since = trial.user_attrs.get("figures", {}).get(SINCE)
        self._note(trial, **({} if since is None else {SPENT: time.time() - since}))
        self._end(trial, TrialState.FAIL)

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
