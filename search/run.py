"""Running a study: propose, check, measure, train, note; until its trials are done."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..blocks.errors import CatscaleError, InputError
from ..scaler.architecture import Architecture
from ..scaler.documents import parse, read_yaml
from ..trainer.data.records import Dataset
from ..trainer.recipe import Recipe, load_recipe
from ..trainer.run_folder import EpochRow, RunFolder
from .candidates import Bases, Candidate, over_budget
from .leases import lease
from .ledger import Ledger
from .machine import write_machine
from .quantities import QUANTITIES, shown
from .rows import Row
from .space_table import check_feasible
from .study import Study, differences

if TYPE_CHECKING:
    from optuna.trial import Trial

UNFIT_IN_A_ROW = 200  # refused or repeated candidates before the space counts as used up
FAILED_IN_A_ROW = 3  # trainings before something other than the candidates counts as broken

Say = Callable[[str], None]
Watch = Callable[[int, EpochRow], None]  # number of the trial, an epoch of it


def run_study(
    study: Study,
    folder: Path,
    *,
    storage: str | None = None,
    device: str = "auto",
    say: Say = lambda line: None,
    watch: Watch = lambda number, row: None,
) -> list[Row]:
    """Run a study until its total of trials is trained, or go on with one that was begun.

    A candidate that cannot be built or is over a bound is noted and never trained; a repeated one takes over the
    result; a training that fails is noted, and the study goes on. An interrupt leaves a study that can go on.

    Args:
        study: as read by `load_study`.
        folder: where it is kept (`default_folder`).
        storage: URL of a database; an SQLite file in the folder where None.
        device: "auto", "cpu", "cuda", "cuda:1" …
        say: is told one line for each trial.
        watch: is told each epoch.

    Returns:
        Every trial, as in `trials.csv`.

    Raises:
        InputError: study, data, recipe, device or folder do not fit; nothing has been written then.
        CatscaleError: trainings fail one after another for the same reason.
    """
    runner = _prepared(study, folder, device, say, watch)
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(study, folder, storage)
    try:
        study.write(folder / "study.yaml")
        write_machine(folder / "hardware.json", runner.device)
        with lease(folder) as worker:
            for number in ledger.take_over():
                say(f"trial {number}: was interrupted; goes on now")
            runner.run(ledger, worker)
        return ledger.rows()
    finally:
        ledger.close()


def recipe_of(study: Study) -> Recipe:
    """How each candidate of a study is trained.

    Raises:
        InputError: the recipe is not there, or a setting of it or of the study's overrides is wrong.
    """
    changes = {**study.overrides, **({"epochs": study.epochs} if study.epochs else {})}
    return load_recipe(study.recipe, changes)


def _prepared(study: Study, folder: Path, device: str, say: Say, watch: Watch) -> "_Runner":
    """Everything that can be refused before anything is written."""
    from ..scaler.devices import find_device
    from ..trainer.data.sources import open_dataset

    if (folder / "study.yaml").is_file():
        before: Study = parse(Study, read_yaml(folder / "study.yaml"), str(folder / "study.yaml"))
        if changed := differences(before, study):
            lines = "\n  ".join(changed)
            raise InputError(
                f"{folder}: was begun with another study; put it back, or choose another --folder:\n  {lines}"
            )
    changes = {**study.overrides, **({"epochs": study.epochs} if study.epochs else {})}
    try:
        recipe = load_recipe(study.recipe, changes)
    except InputError as error:
        raise InputError(f"{study.name}: recipe: {error}") from error
    Bases(study)  # refuses an unknown base before the data is opened
    where = str(find_device(device))
    dataset = open_dataset(study.data)
    bases = Bases(study, len(dataset.classes), _with_anchors(study, recipe, dataset, say))
    check_feasible(study, bases)
    return _Runner(study, folder, bases, dataset, recipe, where, say, watch)


def _with_anchors(
    study: Study, recipe: Recipe, dataset: Dataset, say: Say
) -> Callable[[Architecture], Architecture] | None:
    """What settles the anchors of a base, which all its candidates share: the same in every worker of a study."""
    from ..trainer.anchors import settle_anchors

    if recipe.anchors == "keep":
        return None

    def settled(base: Architecture) -> Architecture:
        split = dataset.split("train")
        its = settle_anchors(base, split, recipe.anchors, size_px=base.size, anchor_t=recipe.anchor_t, seed=study.seed)
        say(f"{base.name}: {its}")
        return its.arch

    return settled


@dataclass(frozen=True)
class _Runner:
    """One process at work on a study."""

    study: Study
    folder: Path
    bases: Bases
    dataset: Dataset
    recipe: Recipe
    device: str
    say: Say
    watch: Watch

    def run(self, ledger: Ledger, worker: str) -> None:
        unfit = failed = 0
        while ledger.used() < self.study.trials:
            if ledger.exhausted():
                self.say(f"the whole space, {self.study.combinations} candidates, has been tried")
                return
            if unfit == UNFIT_IN_A_ROW:
                self.say(f"{unfit} candidates in a row were refused or repeats; the space seems used up")
                return
            trial, values = ledger.ask(worker)
            try:
                row = self._attempt(ledger, trial, values)
            except BaseException:
                ledger.hand_on(trial)
                raise
            self.say(self._line(row, ledger.used()))
            unfit = unfit + 1 if row.state == "refused" or row.same_as is not None else 0
            failed = failed + 1 if row.state == "failed" else failed * (row.state == "refused")
            if failed == FAILED_IN_A_ROW:
                raise CatscaleError(f"{self.study.name}: {failed} trainings in a row failed; the last: {row.reason}")

    def _attempt(self, ledger: Ledger, trial: "Trial", values: dict[str, Any]) -> Row:
        """Take one candidate as far as it goes."""
        reference = trial.user_attrs.get("reference")
        try:
            candidate = self.bases.reference(reference) if reference else self.bases.candidate(values)
        except InputError as error:
            ledger.refuse(trial, f"cannot be built: {error}")
            return ledger.row(trial.number)
        ledger.describe(trial, candidate, candidate.figures)
        if reason := over_budget(self.study, candidate.figures):
            ledger.refuse(trial, reason)
        elif twin := ledger.twin(candidate):
            ledger.complete(trial, twin.figures, twin)
        else:
            self._measure_and_train(ledger, trial, candidate)
        return ledger.row(trial.number)

    def _measure_and_train(self, ledger: Ledger, trial: "Trial", candidate: Candidate) -> None:
        from ..scaler.latency.architectures import SEARCHING, measure_latency
        from ..trainer.threads import compute_threads

        try:
            protocol = SEARCHING.replace(device=self.device, threads=compute_threads())
            latency = measure_latency(candidate.architecture, protocol, say=self.say)
            if latency.refusal:  # a candidate is worth more than a steady clock: its figure stands, with its spread
                self.say(f"trial {trial.number}: a rough latency: {latency.refusal}")
            median_ms, iqr_ms = round(latency.summary.median_ms, 4), round(latency.summary.iqr_ms, 4)
            figures = {**candidate.figures, "latency_ms": median_ms, "latency_iqr_ms": iqr_ms}
            ledger.describe(trial, candidate, figures)
            if reason := over_budget(self.study, figures):
                ledger.refuse(trial, reason)
                return
            results = self._train(trial, candidate)
        except (CatscaleError, RuntimeError, MemoryError) as error:
            ledger.fail(trial, _reason(error))
            return
        if math.isfinite(results["ap"]):
            ledger.complete(trial, {**figures, **results})
        else:
            ledger.fail(trial, "AP is not a number: the training diverged")

    def _train(self, trial: "Trial", candidate: Candidate) -> dict[str, float]:
        """Train in the trial's run folder; go on from the checkpoint of the trial that this one continues."""
        from ..trainer.loop import train

        run = RunFolder(self.folder / "trials" / str(trial.number))
        before = RunFolder(self.folder / "trials" / str(trial.user_attrs.get("continues", "")))
        if "continues" in trial.user_attrs and before.state.is_file():
            before.path.rename(run.path)
            facts = run.read_facts()
            if facts.status == "complete":  # it died between the end of its training and the note of it
                return {"ap": facts.ap, "ap50": facts.ap50, "seconds": facts.seconds}
        result = train(
            candidate.architecture,
            self.dataset,
            self.recipe,
            run.path,
            seed=self.study.seed,
            device=self.device,
            on_epoch=lambda row: self.watch(trial.number, row),
            resume=run.state.is_file(),
        )
        return {"ap": result.ap, "ap50": result.ap50, "seconds": result.seconds}

    def _line(self, row: Row, used: int) -> str:
        words = [f"trial {row.number} ({used}/{self.study.trials})", row.name or _values(row.values), row.state]
        if row.state == "complete":
            names = dict.fromkeys(("ap", *self.study.objectives, "params", "gflops", "latency_ms"))
            words += [f"{QUANTITIES[name].title} {shown(name, row.figures[name])}" for name in names]
            words += [f"{row.figures['seconds']:.0f} s"] if "seconds" in row.figures else []
        return "  ".join(words) + (f": {row.reason}" if row.reason else "")


def _values(values: Any) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _reason(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "out of memory" if "out of memory" in text.lower() or isinstance(error, MemoryError) else text
