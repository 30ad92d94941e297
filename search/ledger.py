"""The trials of a study in Optuna's storage, and what became of each."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from ..blocks.errors import InputError
from ..scaler.documents import parse
from .candidates import Candidate
from .leases import alive, is_dead
from .rows import Row, State, comparable, write_rows
from .samplers import Untried
from .study import Study, differences

INTERRUPTED = "interrupted"  # how the reason begins of a failed trial that did not fail


class Ledger:
    """A study's trials. Every change is in the storage first, then in `trials.csv`.

    Optuna's state says what its samplers learn from: COMPLETE has values, PRUNED was refused (bad), FAIL is ignored.
    """

    def __init__(self, study: Study, folder: Path, storage: RDBStorage, opened: optuna.Study, sampler: Untried) -> None:
        self.study, self.folder, self.storage, self.optuna, self.sampler = study, folder, storage, opened, sampler

    @classmethod
    def open(cls, study: Study, folder: Path, url: str | None) -> Self:
        """Open the storage: `study.db` in the folder, or a database by its URL; a new study gets its references.

        Raises:
            InputError: it cannot be reached, or holds another study of this name.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = Untried(study)
        try:
            storage = RDBStorage(url or f"sqlite:///{folder / 'study.db'}", engine_kwargs=_engine(url))
            opened = optuna.create_study(
                storage=storage,
                study_name=study.name,
                directions=list(study.objectives.values()),
                sampler=sampler,
                load_if_exists=True,
            )
        except (SQLAlchemyError, ImportError, ValueError) as error:
            shown = _without_password(url) if url else folder / "study.db"
            raise InputError(f"{shown}: cannot be used as storage: {str(error).splitlines()[0]}") from error
        ledger = cls(study, folder, storage, opened, sampler)
        try:
            ledger._begin()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _begin(self) -> None:
        before = self.optuna.user_attrs.get("study")
        if before is None:
            self.optuna.set_user_attr("study", self.study.model_dump(mode="json"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # names are for people who open the storage
                self.optuna.set_metric_names(list(self.study.objectives))
            for base in self.study.base if self.study.references else ():
                self.optuna.enqueue_trial({}, user_attrs={"reference": base})
        elif changed := differences(parse(Study, before, "storage"), self.study):
            raise InputError(f"the storage holds another study {self.study.name!r}: {'; '.join(changed)}")

    def close(self) -> None:
        """Let go of the storage."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False)

    def rows(self) -> list[Row]:
        """Every trial that has begun."""
        trials = self.trials
        heirs = {trial.user_attrs["continues"]: trial.number for trial in trials if "continues" in trial.user_attrs}
        return [_row(trial, heirs.get(trial.number)) for trial in trials if trial.state is not TrialState.WAITING]

    def row(self, number: int) -> Row:
        """A trial that has begun."""
        return next(row for row in self.rows() if row.number == number)

    def used(self) -> int:
        """Trials that count towards the study's total: trained or in training; not refused, reused or interrupted."""
        return sum(
            row.state in ("complete", "running") or (row.state == "failed" and not row.reason.startswith(INTERRUPTED))
            for row in self.rows()
            if row.same_as is None
        )

    def exhausted(self) -> bool:
        """Whether nothing waits, and every combination of a finite space has been tried."""
        waiting = any(trial.state is TrialState.WAITING for trial in self.trials)
        return not waiting and self.sampler.exhausted(self.optuna)

    def ask(self, worker: str) -> tuple[Trial, dict[str, Any]]:
        """The next trial and its values; none for a reference."""
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
        trial.set_user_attr("name", candidate.architecture.name)
        trial.set_user_attr("fingerprint", candidate.architecture.fingerprint)
        trial.set_user_attr("key", candidate.key)
        trial.set_user_attr("figures", dict(figures))
        self.write()

    def complete(self, trial: Trial, figures: Mapping[str, float], twin: Row | None = None) -> None:
        """Note a result; `twin` is the trial that it was taken over from."""
        if twin:
            trial.set_user_attr("same_as", twin.number)
            trial.set_user_attr("reason", f"the same detector as trial {twin.number}: its result is reused")
        trial.set_user_attr("figures", dict(figures))
        self.optuna.tell(trial, [figures[name] for name in self.study.objectives])
        self.write()

    def refuse(self, trial: Trial, reason: str) -> None:
        """Note a candidate that is never trained."""
        trial.set_user_attr("reason", reason)
        self.optuna.tell(trial, state=TrialState.PRUNED)
        self.write()

    def fail(self, trial: Trial, reason: str) -> None:
        """Note a training that failed."""
        trial.set_user_attr("reason", reason)
        self.optuna.tell(trial, state=TrialState.FAIL)
        self.write()

    def hand_on(self, trial: FrozenTrial | Trial) -> None:
        """End an interrupted trial and enqueue it again, to go on from its checkpoint."""
        frozen = self.trials[trial.number]
        if frozen.state.is_finished():
            return
        attributes: dict[str, Any] = {"continues": trial.number}
        if "reference" in frozen.user_attrs:
            attributes["reference"] = frozen.user_attrs["reference"]
        self.optuna.tell(trial.number, state=TrialState.FAIL)
        if "reference" in attributes or frozen.params.keys() == self.sampler.distributions.keys():
            self.optuna.enqueue_trial(frozen.params, user_attrs=attributes)
        self.write()

    def take_over(self) -> list[int]:
        """Hand on the trials of workers that are gone; gives their numbers."""
        lost = [trial for trial in self.trials if trial.state is TrialState.RUNNING and self._lost(trial)]
        for trial in lost:
            self.hand_on(trial)
        return [trial.number for trial in lost]

    def _lost(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker")
        return is_dead(self.folder, worker) if worker else not alive(self.folder)

    def write(self) -> None:
        """Write `trials.csv` anew."""
        write_rows(self.folder / "trials.csv", self.study, self.rows())


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


def _row(trial: FrozenTrial, heir: int | None) -> Row:
    known = trial.user_attrs
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "refused",
        TrialState.RUNNING: "running",
    }
    interrupted = INTERRUPTED if trial.state is TrialState.FAIL else ""
    if heir is not None:
        interrupted += f"; goes on as trial {heir}"
    return Row(
        number=trial.number,
        state=states.get(trial.state, "failed"),
        reason=known.get("reason", "") or interrupted,
        reference=known.get("name", Path(known["reference"]).stem) if "reference" in known else "",
        values=trial.params,
        figures=known.get("figures", {}),
        fingerprint=known.get("fingerprint", ""),
        name=known.get("name", ""),
        same_as=known.get("same_as"),
    )


def _engine(url: str | None) -> dict[str, Any]:
    """A worker that finds an SQLite file locked waits for it rather than to fail."""
    return {"connect_args": {"timeout": 60}} if url is None or url.startswith("sqlite") else {}


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "--storage"
