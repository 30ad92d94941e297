"""What a study took, time and energy, and in words."""

from collections.abc import Sequence

from ..search.rows import Row
from ..search.status import StudyRecord


def spent(rows: Sequence[Row]) -> float:
    """Seconds of training, of all trials with one of their own."""
    return sum(row.figures.get("seconds", 0.0) for row in rows if row.same_as is None)


def duration(seconds: float) -> str:
    """As people say it: `31 s`, `4 min 5 s`, `20 min`, `3 h 20 min`, `160 h`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    if whole < 36000:
        return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")
    return f"{whole // 3600:,} h"


def amount(joules: float) -> str:
    """Energy as people say it: `812 J`, `12.3 kJ (3.4 Wh)`, `4.2 MJ (1.2 kWh)`."""
    if joules < 1000:
        return f"{joules:.0f} J"
    if joules < 1e6:
        return f"{joules / 1e3:.1f} kJ ({joules / 3600:.1f} Wh)"
    return f"{joules / 1e6:,.1f} MJ ({joules / 3.6e6:,.1f} kWh)"


def energy_words(record: StudyRecord, looked_at: Sequence[Row]) -> str:
    """What the trainings of a study took in energy, or why that is not known.

    Args:
        record: the study.
        looked_at: trials whose run folders may say that their machine could not tell.

    Raises:
        InputError: a run folder's facts are damaged.
    """
    trained = [row for row in record.rows if row.same_as is None and "seconds" in row.figures]
    known = [row.figures["energy_joules"] for row in trained if "energy_joules" in row.figures]
    if known:
        of = (
            ""
            if len(known) == len(trained)
            else f" of {len(known):,} of {len(trained):,} trials, where it was readable"
        )
        return (
            f"Energy{of}: {amount(sum(known))} of the processors and GPUs that trained, as wholes: "
            "what else they did meanwhile is counted, and trainings at the same time are each counted in full."
        )
    runs = [run for row in looked_at for run in record.study.runs_of(record.run_folder(row)).values()]
    if any(run.facts.is_file() and run.read_facts().energy is not None for run in runs):
        return "Energy: not readable on this machine."
    return "Energy was not recorded."
