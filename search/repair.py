"""A study that has been left in disorder: opened as it is, and mended."""

import shutil
from pathlib import Path

import optuna

from ..blocks.errors import InputError
from .front_folder import write_front
from .leases import alive, is_dead
from .ledger import Ledger
from .status import StudyRecord, read_study
from .storages import JOURNAL, JournalLock, close_storage, open_storage, shown
from .study import study_folder


def opened(reference: str | Path, storage: str | None) -> optuna.Study:
    """A study as Optuna has it; see `catscale.search.open`."""
    folder = study_folder(reference)
    name = read_study(folder).study.name
    if storage is None and not (folder / "study.db").is_file():
        raise InputError(f"{folder}: its trials are in no file here; name their --storage")
    there = open_storage(storage, folder)
    try:
        return optuna.load_study(study_name=name, storage=there)
    except KeyError as error:
        close_storage(there)
        raise InputError(f"{shown(storage, folder)}: holds no study {name!r}") from error


def repair(reference: str | Path, storage: str | None) -> list[str]:
    """Mend a study; says what has been mended, a line each.

    A journal's broken last line goes; trials of workers that are gone are handed on; what dead workers and writers left
    behind is removed; the tables and the front are written anew from the storage. Trials that run are left alone.

    Raises:
        InputError: there is no such study, or its storage cannot be opened.
    """
    folder = study_folder(reference)
    study = read_study(folder).study
    done = _whole_lines(Path(storage.removeprefix(JOURNAL))) if storage and storage.startswith(JOURNAL) else []
    if storage is None and not (folder / "study.db").is_file():
        raise InputError(f"{folder}: its trials are in no file here; name their --storage")
    ledger = Ledger.open(study, folder, storage)
    try:
        with ledger.exclusive():
            (lost, _), left = ledger.take_over(), ledger.mend()
        done += [f"trial {number}: its worker is gone; it goes on when the study does" for number in lost]
        done += [f"trial {number}: was interrupted; it goes on when the study does" for number in left]
        rows = ledger.rows()
        before = (folder / "trials.csv").read_bytes() if (folder / "trials.csv").is_file() else b""
        ledger.write()
        if (folder / "trials.csv").read_bytes() != before:
            done.append("trials.csv: was behind the storage; written anew")
        with ledger.exclusive():
            write_front(StudyRecord(folder, study, rows))
        numbers = {str(trial.number) for trial in ledger.trials}
    finally:
        ledger.close()
    done += [
        f"trial {row.number}: is complete, and its folder is gone"
        for row in rows
        if row.state == "complete" and row.same_as is None and not (folder / "trials" / str(row.number)).is_dir()
    ]
    if alive(folder):
        return done
    for path in (folder / "workers").glob("*"):
        if is_dead(folder, path.name):
            path.unlink()
            done.append(f"{path.relative_to(folder)}: was a dead worker's; removed")
    for path in sorted(folder.rglob(".*.tmp")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        done.append(f"{path.relative_to(folder)}: was half written; removed")
    for path in sorted((folder / "trials").glob("*")):
        if path.name not in numbers:
            done.append(f"{path.relative_to(folder)}: is no trial's of this study; left as it is")
    return done


def _whole_lines(journal: Path) -> list[str]:
    """Cut the last line of a journal that a power failure broke off: nothing can be added behind it."""
    if not journal.is_file():
        raise InputError(f"{journal}: there is no such journal")
    lock = JournalLock(journal)
    lock.acquire()
    try:
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole == content:
            return []
        with journal.open("r+b") as file:
            file.truncate(len(whole))
    finally:
        lock.release()
    return [f"{journal}: its last line was broken off; removed"]
