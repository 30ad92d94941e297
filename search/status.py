"""How far a study is: what a person asks while it runs, and a script afterwards."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .leases import alive, is_dead
from .outcomes import named
from .planner import Hours, time_left
from .proxies.record import FILE, audit_lines, read_audits
from .quantities import QUANTITIES, shown
from .rows import STATES, Row, front, read_rows
from .starting import start_words
from .stored_study import read_stored
from .study import Study, study_folder


@dataclass(frozen=True)
class StudyRecord:
    """A study as its folder has it."""

    folder: Path
    study: Study
    rows: list[Row]

    def run_folder(self, row: Row) -> Path:
        """Where a trial's training is kept; that of the trial whose result it took over."""
        return self.folder / "trials" / str(row.number if row.same_as is None else row.same_as)

    @property
    def front(self) -> list[Row]:
        return front(self.study, self.rows)


def read_study(reference: str | Path) -> StudyRecord:
    """Read a study's folder, given by itself or by its study file.

    Raises:
        InputError: there is none, or a file in it is damaged.
    """
    folder = study_folder(reference)
    study = read_stored(folder / "study.yaml")
    table = folder / "trials.csv"
    return StudyRecord(folder, study, read_rows(table, study) if table.is_file() else [])


def status(record: StudyRecord) -> dict[str, Any]:
    """Counts by state, reasons, the front so far and the time spent, as plain data."""
    rows, study = record.rows, record.study
    at_work = len(alive(record.folder))
    return {
        "name": study.name,
        "folder": str(record.folder),
        "trials": study.trials,
        "start": start_words(study),
        "trained": sum(row.state in ("complete", "stopped") and row.same_as is None for row in rows),
        "states": {state: sum(row.state == state for row in rows) for state in STATES},
        "outcomes": named(rows),
        "stale": _stale(record),
        "reasons": dict(Counter(f"{row.state}: {row.reason}" for row in rows if row.reason).most_common()),
        "workers": at_work,
        "interrupted": not at_work and any(row.state == "running" for row in rows),
        "hours_left": _left(record, max(1, at_work)),
        "training_seconds": round(sum(row.figures.get("seconds", 0.0) for row in rows if row.same_as is None), 1),
        "objectives": dict(study.objectives),
        "proxies": _proxies(record),
        "front": [_member(row) for row in record.front],
    }


def status_lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    counts = ", ".join(f"{count} {state}" for state, count in found["states"].items() if count) or "no trial yet"
    lines = [
        f"{found['name']} in {found['folder']}: {found['trained']} of {found['trials']} trained ({counts}), "
        f"{found['training_seconds']:.0f} s of training"
    ]
    left = Hours(**found["hours_left"]) if found["hours_left"] else None
    lines += [found["start"]] if found["start"] else []
    if found["workers"]:
        ahead = "" if left is None else f", with about {left} of training left"
        lines.append(f"{found['workers']} worker{'s' * (found['workers'] > 1)} at work{ahead}")
    elif left is not None:
        lines.append(f"with one worker it has about {left} of training left")
    if found["interrupted"]:
        lines.append("interrupted: the same `catscale search run` goes on where it stopped")
    if found["stale"] and found["workers"]:
        which = ", ".join(map(str, found["stale"]))
        lines.append(f"stale: trial {which}, whose worker is gone: another one takes it up, or catscale search repair")
    lines += [f"  {count} x {reason}" for reason, count in found["reasons"].items()]
    lines += found["proxies"]["lines"] if found["proxies"] else []
    if found["front"]:
        lines.append(f"Pareto front of {', '.join(found['objectives'])}:")
    names = dict.fromkeys((*found["objectives"], "ap", "params", "gflops", "latency_ms"))
    for member in found["front"]:
        figures = "  ".join(f"{QUANTITIES[n].title} {shown(n, member[n])}" for n in names if n in member)
        lines.append(f"  trial {member['number']:>3}  {member['name']}  {figures}")
    return lines


def _proxies(record: StudyRecord) -> dict[str, Any] | None:
    """The audit of the study's proxies; None where it has none."""
    settings, file = record.study.proxies, record.folder / FILE
    if settings is None:
        return None
    audits = read_audits(file) if file.is_file() else []
    return {"audits": [asdict(one) for one in audits], "lines": audit_lines(settings, audits)}


def _left(record: StudyRecord, workers: int) -> dict[str, float] | None:
    """Hours left, if any are."""
    left = time_left(record.study, record.rows, workers)
    return asdict(left) if left is not None and left.middle > 0 else None


def _stale(record: StudyRecord) -> list[int]:
    """Trials that count as running though their worker is gone."""
    running = (row for row in record.rows if row.state == "running")
    return [row.number for row in running if not row.worker or is_dead(record.folder, row.worker)]


def trial_line(study: Study, row: Row, used: int, left: Hours | None = None) -> str:
    """What became of a trial, for a person; `used` of the study's trials are, and `left` of its training."""
    named = row.name or " ".join(f"{name}={value}" for name, value in row.values.items())
    words = [f"trial {row.number} ({used}/{study.trials})", named, row.state]
    if row.state in ("complete", "stopped"):
        names = dict.fromkeys(("ap", *study.objectives, "params", "gflops", "latency_ms"))
        words += [f"{QUANTITIES[name].title} {shown(name, row.figures[name])}" for name in names if name in row.figures]
        words += [f"{row.figures['seconds']:.0f} s"] if "seconds" in row.figures else []
    ahead = "" if left is None or left.middle == 0 else f"; about {left} of training left"
    return "  ".join(words) + (f": {row.reason}" if row.reason else "") + ahead


def _member(row: Row) -> dict[str, Any]:
    return {"number": row.number, "name": row.name, "reference": row.reference, **row.values, **row.figures}
