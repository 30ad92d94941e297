"""How a study stands, by one reading of its storage: its trials as rows, and what follows from all of them.

With many workers a reading is what costs; whoever asks more than one question asks them of one reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from optuna.trial import FrozenTrial, TrialState

from .outcomes import SINCE
from .rows import Row, State

INTERRUPTED = "interrupted"  # how the reason begins of a failed trial that did not fail
SPENT = "spent"  # the attribute of a trial that came to no end: its seconds of training
TAKEN_UP = 3  # times that a trial is taken up again whose process died, before the trial counts as what kills it


@dataclass(frozen=True)
class Standing:
    """The trials of a study at a moment."""

    trials: Sequence[FrozenTrial]

    @cached_property
    def rows(self) -> list[Row]:
        """Every trial that has begun."""
        heirs = self._heirs
        return [_row(trial, heirs.get(trial.number)) for trial in self.trials if trial.state is not TrialState.WAITING]

    @property
    def used(self) -> int:
        """Trials that count towards the study's total: trained or in training; not refused, reused or interrupted."""
        return sum(
            row.state in ("complete", "stopped", "running")
            or (row.state == "failed" and not row.reason.startswith(INTERRUPTED))
            for row in self._once
        )

    @property
    def training(self) -> list[FrozenTrial]:
        """The running trials whose training has begun."""
        return [trial for trial in self.running if SINCE in trial.user_attrs.get("figures", {})]

    def training_seconds(self, now: float) -> float:
        """What has been spent on training, by those that have ended, were broken off, or are at it.

        Args:
            now: in seconds since the epoch.
        """
        ended = sum(row.figures.get("seconds", 0.0) for row in self._once)
        under_way = sum(now - trial.user_attrs["figures"][SINCE] for trial in self.training)
        gone_on = {number for number, heir in self._heirs.items() if heir not in self._waiting}
        broken_off = [trial for trial in self.trials if SPENT in trial.user_attrs and trial.number not in gone_on]
        return ended + under_way + sum(trial.user_attrs[SPENT] for trial in broken_off)

    def spent_by(self, budget_s: float, now: float) -> float:
        """When so many seconds of training will be spent, if those that are at it stay at it."""
        return now + (budget_s - self.training_seconds(now)) / max(len(self.training), 1)

    @property
    def running(self) -> list[FrozenTrial]:
        """What workers are at."""
        return [trial for trial in self.trials if trial.state is TrialState.RUNNING]

    @property
    def waiting(self) -> bool:
        """Whether a trial is enqueued."""
        return bool(self._waiting)

    @property
    def reference_is_next(self) -> bool:
        """Whether the trial that waits first is a reference."""
        first = next((trial for trial in self.trials if trial.state is TrialState.WAITING), None)
        return first is not None and "reference" in first.user_attrs

    @property
    def trained_references(self) -> dict[str, int]:
        """By the short names of references that are trained, the trials whose run folders have them."""
        return {
            trial.user_attrs["reference"]: trial.user_attrs.get("same_as", trial.number)
            for trial in self.trials
            if "reference" in trial.user_attrs and _row(trial, None).state == "complete"
        }

    @cached_property
    def _waiting(self) -> set[int]:
        return {trial.number for trial in self.trials if trial.state is TrialState.WAITING}

    @cached_property
    def _heirs(self) -> dict[int, int]:
        """By the number of a trial, that of the one that goes on with it."""
        return {trial.user_attrs["continues"]: trial.number for trial in self.trials if "continues" in trial.user_attrs}

    @property
    def _once(self) -> list[Row]:
        """Every training once: none of a result that was taken over, nor a stopped one that has gone on."""
        heirs = self._heirs
        return [r for r in self.rows if r.same_as is None and not (r.state == "stopped" and r.number in heirs)]


def deaths(trial: FrozenTrial) -> int:
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
        died = f"crashed: {known.get('died', 'its worker died')}, and so {deaths(trial)} times in all"
        interrupted = died if deaths(trial) > TAKEN_UP else f"{INTERRUPTED}{goes_on}"
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
