"""Early stopping in a study: the curves as its storage has them, and what a worker asks after each epoch.

A trial notes its curve on itself when it reaches a rung, and reads those of the others: all state is in the storage, so
workers need nothing of each other. A stopped trial is told to Optuna with the values that it had; its row is "stopped".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, Trial, TrialState

from ..blocks.errors import InputError
from ..trainer.run_folder import EpochRow, RunFolder
from .curves import Curve, best_so_far
from .fidelity import Stop
from .halving import Halving
from .quantities import QUANTITIES, Direction
from .stopping import FrontStopper, Stopper, default_rungs, most_promising

if TYPE_CHECKING:
    from .ledger import Ledger

SPARED = "spared"  # the attribute of a trial that goes on with one that was stopped, to its end
CURVE = "curve"  # the attribute of a trial that holds its best score until each epoch, up to its last rung

STOPPERS: dict[Stop, Callable[[], Stopper]] = {"front": FrontStopper, "halving": Halving}
PRUNERS: dict[Stop, Callable[[Sequence[int], int], BasePruner]] = {  # Optuna's own, for a single objective
    "median": lambda rungs, epochs: MedianPruner(n_warmup_steps=rungs[0] - 1),
    "hyperband": lambda rungs, epochs: HyperbandPruner(min_resource=rungs[0], max_resource=epochs),
    "asha": lambda rungs, epochs: SuccessiveHalvingPruner(min_resource=rungs[0], reduction_factor=2),
}

Check = Callable[["Ledger", Trial, EpochRow], str]  # is told each epoch; why the trial is to be stopped, or nothing


def early_stop(
    kind: Stop, objectives: Mapping[str, Direction], epochs: int, rungs: Sequence[int] | None = None
) -> Check:
    """What a worker is to ask after each epoch of a trial.

    Args:
        kind: "none", "front" or "halving"; of a study with one objective also "median", "hyperband" or "asha".
        objectives: of the study.
        epochs: of a whole training.
        rungs: epochs after which is decided; after a quarter, a half and three quarters where None.

    Raises:
        InputError: the kind, the objectives and the rungs do not fit each other.
    """
    rungs = default_rungs(epochs) if rungs is None else tuple(sorted(set(rungs)))
    if kind == "none" or (not rungs and epochs < 2):
        return lambda ledger, trial, row: ""
    if not rungs or rungs[0] < 1 or rungs[-1] >= epochs:
        raise InputError(f"fidelity: rungs: {list(rungs)}: must lie within 1 … {epochs - 1}, before the last epoch")
    scores = [name for name in objectives if QUANTITIES[name].trained]
    if len(scores) != 1 or objectives[scores[0]] != "maximize":
        raise InputError(f"fidelity: stop: {kind} needs one of ap and ap50 as an objective, to be maximised")
    if kind in STOPPERS:
        return RungCheck(STOPPERS[kind](), rungs, scores[0])
    if len(objectives) > 1:
        raise InputError(f"fidelity: stop: {kind} is for a single objective; with several, take front or halving")
    return PrunerCheck(PRUNERS[kind](rungs, epochs), scores[0], kind)


@dataclass(frozen=True)
class RungCheck:
    """Asks a stopper at each rung."""

    stopper: Stopper
    rungs: tuple[int, ...]
    score: str  # the trained objective

    def __call__(self, ledger: "Ledger", trial: Trial, row: EpochRow) -> str:
        if row.epoch not in self.rungs:
            return ""
        # The run folder also has the epochs before the trial was interrupted.
        rows = RunFolder(ledger.folder / "trials" / str(trial.number)).read_metrics()[: row.epoch]
        trial.set_user_attr(CURVE, best_so_far(getattr(one, self.score) for one in rows))
        if SPARED in trial.user_attrs or "reference" in trial.user_attrs:  # references are there to compare with
            return ""
        curves = curves_of(ledger.optuna.get_trials(deepcopy=False), ledger.study.objectives)
        own = next(curve for curve in curves if curve.number == trial.number)
        decision = self.stopper.decide(curves, own, row.epoch)
        return decision.reason if decision.stop else ""


@dataclass(frozen=True)
class PrunerCheck:
    """Asks one of Optuna's pruners, which have an answer where there is one objective."""

    pruner: BasePruner
    score: str
    kind: Stop

    def __call__(self, ledger: "Ledger", trial: Trial, row: EpochRow) -> str:
        score = getattr(row, self.score)
        trial.report(score, row.epoch)
        ledger.optuna.pruner = self.pruner  # where `should_prune` looks for it
        return f"{score:.3f} after epoch {row.epoch}, pruned by {self.kind}" if trial.should_prune() else ""


def curves_of(trials: Iterable[FrozenTrial], objectives: Mapping[str, Direction]) -> list[Curve]:
    """The curves of the trials that have reached a rung, with their costs in the order of the objectives.

    Of one that went on as another, the other's alone.
    """
    trials = list(trials)
    gone_on = {trial.user_attrs.get("continues") for trial in trials}
    score = next(name for name in objectives if _trained(name))
    costly = {name: way for name, way in objectives.items() if not _trained(name)}
    curves = []
    for trial in trials:
        known = trial.user_attrs
        measured = CURVE in known and costly.keys() <= known["figures"].keys()
        if not measured or trial.number in gone_on:
            continue
        whole = trial.state is TrialState.COMPLETE and "stopped" not in known
        costs = [(known["figures"][name], way) for name, way in costly.items()]
        curves.append(
            Curve(
                number=trial.number,
                scores=tuple(known[CURVE]),
                costs=tuple(-cost if way == "maximize" else cost for cost, way in costs),
                final=known["figures"][score] if whole else None,
            )
        )
    return curves


def to_take_up(trials: Sequence[FrozenTrial], objectives: Mapping[str, Direction]) -> FrozenTrial | None:
    """The stopped trial that is to go on when nothing new is left to try; None where there is none."""
    gone_on = {trial.user_attrs.get("continues") for trial in trials}
    stopped = {t.number for t in trials if "stopped" in t.user_attrs and t.number not in gone_on}
    number = most_promising(curves_of(trials, objectives), stopped)
    return next((trial for trial in trials if trial.number == number), None)


def _trained(name: str) -> bool:
    return QUANTITIES[name].trained
