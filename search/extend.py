"""A study with a changed space goes on from what an earlier one has found."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from ..blocks.errors import InputError
from ..scaler.documents import read_text, write_text
from .ledger import Ledger
from .status import read_study
from .storages import close_storage, open_storage
from .stored_study import differences, write_study
from .study import Study
from .trial import latency_file

MAY_CHANGE = ("space.", "constraints", "sampler.", "references", "objectives")  # what leaves a training as it is


@dataclass(frozen=True)
class Extended:
    """What became of an earlier study's finished trials."""

    copied: int
    outside: int  # of the new space
    there: int  # already


def extend(
    study: Study, folder: Path, earlier: str | Path, storage: str | None = None, earlier_storage: str | None = None
) -> Extended:
    """Copy an earlier study's finished trials that lie in a study's space, with their run folders.

    Args:
        study: the new one, with a changed space.
        folder: of the new one; another than the earlier one's.
        earlier: the earlier study's folder or file.
        storage: of the new one; a file in its folder where None.
        earlier_storage: of the earlier one, likewise.

    Raises:
        InputError: the trials of the two could not be compared, or there is no such study.
    """
    record = read_study(earlier)
    if folder.resolve() == record.folder.resolve():
        raise InputError(f"{folder}: is the earlier study's; name another --folder, or the new study another way")
    if wrong := [line for line in differences(record.study, study) if not line.startswith((*MAY_CHANGE, "name"))]:
        lines = "\n  ".join(wrong)
        raise InputError(f"{record.folder}: its trials were trained otherwise and cannot be compared:\n  {lines}")
    source = open_storage(earlier_storage, record.folder)
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(study, folder, storage)
    try:
        write_study(study, folder / "study.yaml")
        trials = {trial.number: trial for trial in _finished(source, record.study.name)}
        with ledger.exclusive():
            there = {trial.user_attrs.get("copied_from") for trial in ledger.trials}
            copied = outside = 0
            for row in record.rows:
                trial = trials.get(row.number)
                mark = f"{record.study.name} {row.number}"
                if row.state != "complete" or row.same_as is not None or trial is None or mark in there:
                    continue
                new = _as_new(study, ledger, trial)
                if new is None:
                    outside += 1
                    continue
                new.set_user_attr("copied_from", mark)
                runs = record.folder / "trials" / str(row.number), folder / "trials" / str(len(ledger.trials))
                if runs[0].is_dir():
                    shutil.copytree(*runs, dirs_exist_ok=True)
                samples = latency_file(runs[0])
                if samples.is_file():
                    write_text(latency_file(runs[1]), read_text(samples))
                ledger.optuna.add_trial(new)
                copied += 1
        ledger.write()
    finally:
        ledger.close()
        close_storage(source)
    return Extended(copied, outside, len(there - {None}))


def _finished(source: optuna.storages.BaseStorage, name: str) -> list[FrozenTrial]:
    try:
        return optuna.load_study(study_name=name, storage=source).get_trials(states=[TrialState.COMPLETE])
    except KeyError as error:
        raise InputError(f"the storage holds no study {name!r}") from error


def _as_new(study: Study, ledger: Ledger, trial: FrozenTrial) -> FrozenTrial | None:
    """A trial as one of the new study's; None where its space has no such candidate, or a figure is missing."""
    distributions = ledger.sampler.distributions
    reference = "reference" in trial.user_attrs
    inside = trial.params.keys() == distributions.keys() and all(
        _contains(distribution, trial.params[name]) for name, distribution in distributions.items()
    )
    figures = trial.user_attrs.get("figures", {})
    if not (inside or reference) or any(name not in figures for name in study.objectives):
        return None
    return optuna.trial.create_trial(
        values=[figures[name] for name in study.objectives],
        params={} if reference else trial.params,
        distributions={} if reference else dict(distributions),
        user_attrs={name: value for name, value in trial.user_attrs.items() if name not in ("continues", "worker")},
    )


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    match distribution:
        case CategoricalDistribution():
            return value in distribution.choices
        case IntDistribution() | FloatDistribution():
            step, low = distribution.step, distribution.low
            on_grid = step is None or abs((value - low) / step - round((value - low) / step)) < 1e-6
            return low <= value <= distribution.high and on_grid
        case _:
            return False
