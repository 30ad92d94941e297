"""What can become of a trial, each with a name that is counted; no candidate can crash a study."""

import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..trainer.divergence import Diverged
from .rows import Row

Kind = Literal["complete", "stopped", "refused", "failed", "interrupted", "died"]
SINCE = "training_since"  # the figure of a trial in training: when it would have begun, had it never been broken off
OUT_OF_MEMORY, DIVERGED, TIME_LIMIT = "out of memory", "diverged", "time limit"


@dataclass(frozen=True)
class Outcome:
    """How the work on a trial ended; of an interrupted one and one whose process died, the training may go on."""

    kind: Kind
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def failure(error: BaseException) -> str:
    """Why a training failed: the outcome's name, and what there is to say."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "out of memory" in text.lower() or isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, Diverged):
        return f"{DIVERGED}: {text}"
    return text


def death(returncode: int) -> str:
    """How a process died, in words."""
    if returncode >= 0:
        return f"its process ended with exit code {returncode}"
    name = signal.Signals(-returncode).name
    return f"its process was ended by {name}{', perhaps for want of memory' if name == 'SIGKILL' else ''}"


def named(rows: Iterable[Row]) -> dict[str, int]:
    """How often each outcome came about, the most frequent first: its state, or the name before what is said of it."""
    names = (
        row.reason.split(":")[0].split(";")[0] if row.state in ("failed", "refused") else row.state for row in rows
    )
    return dict(Counter(names).most_common())
