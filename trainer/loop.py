"""The training loop: one for every architecture, with or without auxiliary heads."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..blocks.errors import CatscaleError, InputError
from ..scaler.architecture import Architecture
from ..scaler.build import build, deploy
from .assigners import Head
from .checkpoint import WeightsHeader, load_state, put_weights, save_state, save_weights
from .data.loader import Batch, random_size_px, train_batches
from .data.records import Dataset
from .ema import Ema
from .evaluate import evaluate
from .loss import Loss
from .optimiser import Schedule, make_optimiser, parameter_groups
from .preflight import check_training
from .recipe import Recipe
from .run_folder import EpochRow, RunFolder, ended
from .threads import sharing_cores

BAD_IN_A_ROW = 20  # batches without a finite loss and gradient before a training counts as diverged


class Diverged(CatscaleError):
    """The loss or its gradient stayed non-finite."""


@dataclass(frozen=True)
class TrainResult:
    """What a training came to; AP is that of the best epoch."""

    ap: float
    ap50: float
    best_epoch: int  # counted from 1
    epochs: int
    seconds: float
    folder: Path


def train(
    arch: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    size_px: int | None = None,
    on_epoch: Callable[[EpochRow], None] | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    initialise: Callable[[torch.nn.Module], object] | None = None,
    resume: bool = False,
) -> TrainResult:
    """Train a detector on the "train" split of a data set, and evaluate it on "val" after every epoch.

    The folder is readable at any time: each epoch ends with a whole checkpoint. On one CPU with the same number of
    threads, a training that was interrupted and resumed equals an unbroken one to the bit.

    Args:
        arch: the detector; its classes are as many as the data set's.
        dataset: has the splits "train" and "val".
        recipe: all settings.
        folder: where the run is kept; new or empty, unless `resume`.
        seed: of the weights, the order of the images and their augmentation.
        device: "cpu", "cuda" ... Mixed precision is used on CUDA alone.
        size_px: side of the square input; the architecture's own where None.
        on_epoch: called after each epoch's evaluation and checkpoint; what it raises stops the training.
        on_batch: called after each batch with how many of how many are done.
        initialise: called with the fresh model, to put weights into it.
        resume: go on in `folder`, from its last whole epoch. A recipe with more epochs extends the run; nothing else
            may differ.

    Raises:
        InputError: data, architecture, recipe and folder do not fit each other.
        Diverged: the loss was not finite for many batches in a row.
    """
    size_px = arch.size if size_px is None else size_px
    run = RunFolder(Path(folder))
    facts = check_training(arch, dataset, recipe, run, seed=seed, device=str(device), size_px=size_px, resume=resume)
    with sharing_cores(device):
        training = _Training(
            arch,
            dataset,
            recipe,
            run,
            seed=seed,
            device=torch.device(device),
            size_px=size_px,
            initialise=initialise,
        )
        if resume and run.state.is_file():
            training.restore(load_state(run.state))
        run.write_settings(arch, recipe)
        run.write_facts(ended(facts, "running", training.rows))
        try:
            while len(training.rows) < recipe.epochs:
                row = training.epoch(on_batch)
                run.write_facts(ended(facts, "running", training.rows))
                if on_epoch:
                    on_epoch(row)
        except BaseException as error:  # whatever ends it, an interrupt too, the folder says so
            status = "diverged" if isinstance(error, Diverged) else "stopped"
            run.write_facts(ended(facts, status, training.rows, str(error) or type(error).__name__))
            raise
    facts = ended(facts, "complete", training.rows)
    run.write_facts(facts)
    return TrainResult(facts.ap, facts.ap50, facts.best_epoch, facts.epochs, facts.seconds, run.path)


class _Training:
    """A training between two epochs: model, average, optimiser, and the rows so far."""

    def __init__(
        self,
        arch: Architecture,
        dataset: Dataset,
        recipe: Recipe,
        run: RunFolder,
        *,
        seed: int,
        device: torch.device,
        size_px: int,
        initialise: Callable[[torch.nn.Module], object] | None,
    ) -> None:
        self.arch, self.dataset, self.recipe, self.run = arch, dataset, recipe, run
        self.seed, self.device, self.size_px = seed, device, size_px
        self.rows: list[EpochRow] = []
        self.batches = math.ceil(len(dataset.splits["train"].images) / recipe.batch)
        torch.manual_seed(seed)
        self.model = build(arch).to(device).to(memory_format=torch.channels_last)  # faster than the default on CPUs too
        if initialise:
            initialise(self.model)
        self.groups = tuple(name for name, parameters in parameter_groups(self.model).items() if parameters)
        self.optimiser = make_optimiser(self.model, recipe)
        self.schedule = Schedule(recipe, self.batches)
        self.loss = Loss(Head.of(arch), classes=arch.classes, size_px=size_px, recipe=recipe)
        self.ema = Ema(self.model, decay=recipe.ema_decay, tau=recipe.ema_tau)
        self.mixed = device.type == "cuda"
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.mixed)
        self.bad = 0  # batches in a row

    def epoch(self, on_batch: Callable[[int, int], None] | None) -> EpochRow:
        """Train, evaluate and save the next epoch."""
        number = len(self.rows)
        batches = train_batches(
            self.dataset.splits["train"],
            size_px=self.size_px,
            batch=self.recipe.batch,
            recipe_augment=self.recipe.augment_of(number),
            seed=self.seed,
            epoch=number,
            cache=self.recipe.cache,
        )
        start = time.perf_counter()
        learnt = self._learn(batches, number, on_batch)
        trained = time.perf_counter()
        metrics = evaluate(
            deploy(self.ema.model),
            self.dataset.splits["val"],
            self.dataset,
            size_px=self.size_px,
            conf=self.recipe.conf,
            iou=self.recipe.iou,
            max_det=self.recipe.max_det,
            batch=self.recipe.batch,
            device=self.device,
            by_size=False,
        )
        row = EpochRow(
            epoch=number + 1,
            **learnt,
            ap=metrics.ap,
            ap50=metrics.ap50,
            ap75=metrics.ap75,
            train_seconds=round(trained - start, 3),
            val_seconds=round(time.perf_counter() - trained, 3),
        )
        self.rows.append(row)
        self._save(row)
        return row

    def _learn(
        self, batches: Iterable[Batch], epoch: int, on_batch: Callable[[int, int], None] | None
    ) -> dict[str, Any]:
        """One pass over the training images; what is left of an accumulation at its end makes a step too."""
        self.model.train()
        sums = torch.zeros(3, device=self.device)
        instances = skipped = pending = 0
        settings = self.schedule.at(epoch, 0)
        for index, batch in enumerate(batches):
            settings = self.schedule.at(epoch, index)
            settings.put(self.optimiser, self.groups)
            images = batch.pixels(self.device, self._batch_size_px(epoch, index))
            with torch.autocast(self.device.type, enabled=self.mixed):
                outputs = self.model(images)
            parts = self.loss(outputs, batch.targets)  # they stay on the host
            instances += len(batch.targets)
            if parts.total.isfinite():
                self.scaler.scale(parts.total).backward()
                pending += 1
                sums += torch.stack((parts.box, parts.obj, parts.cls))
            else:
                skipped += 1
                self._bad(epoch, f"the loss of batch {index + 1} is {parts.total.item():g}")
            if pending >= settings.accumulate or (pending and index + 1 == self.batches):
                skipped += pending * (not self._step(epoch))
                pending = 0
            if on_batch:
                on_batch(index + 1, self.batches)
        means = (sums / max(self.batches - skipped, 1)).tolist()
        names = ("box", "obj", "cls")
        return dict(zip(names, means, strict=True)) | {"lr": settings.lr, "instances": instances, "skipped": skipped}

    def _batch_size_px(self, epoch: int, index: int) -> int:
        if not self.recipe.multi_scale:
            return self.size_px
        return random_size_px(self.size_px, max(self.arch.strides), seed=self.seed, epoch=epoch, index=index)

    def _step(self, epoch: int) -> bool:
        """Step the optimiser and the average, unless the gradient is not finite."""
        self.scaler.unscale_(self.optimiser)
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        finite = bool(torch.nn.utils.get_total_norm(gradients).isfinite())
        if finite:
            self.scaler.step(self.optimiser)
            self.ema.update(self.model)
            self.bad = 0
        self.scaler.update()
        self.optimiser.zero_grad()
        if not finite:
            self._bad(epoch, "the gradient is not finite")
        return finite

    def _bad(self, epoch: int, what: str) -> None:
        self.ema.mend_statistics(self.model)
        self.bad += 1
        if self.bad >= BAD_IN_A_ROW:
            raise Diverged(
                f"{self.arch.name} diverged in epoch {epoch + 1}: {what}, as were {self.bad} in a row; "
                f"lower lr0 ({self.recipe.lr0:g}) or lengthen the warm-up"
            )

    def _save(self, row: EpochRow) -> None:
        header = WeightsHeader(
            architecture=self.arch.name,
            fingerprint=self.arch.fingerprint,
            size_px=self.size_px,
            classes=self.dataset.classes,
            category_ids=self.dataset.category_ids,
            epoch=row.epoch,
            ap=row.ap,
            ap50=row.ap50,
        )
        if all(row.fitness > before.fitness for before in self.rows[:-1]):
            save_weights(self.run.weights("best"), self.ema.model, header)
        save_weights(self.run.weights("last"), self.ema.model, header)
        # The state comes last: it alone is what a resume goes on from, and brings the rest to its own epoch.
        self.run.write_metrics(self.rows)
        save_state(self.run.state, self.state())

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on; batches follow from seed and epoch."""
        return {
            "fingerprint": self.arch.fingerprint,
            "rows": [asdict(row) for row in self.rows],
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "bad": self.bad,
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state_all() if self.mixed else [],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state.

        Raises:
            InputError: it is not this training's.
        """
        try:
            put_weights(state["model"], self.model, self.run.state)
            put_weights(state["ema"], self.ema.model, self.run.state)
            self.ema.updates = state["ema_updates"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.scaler.load_state_dict(state["scaler"])
            self.bad = state["bad"]
            self.rows = [EpochRow(**row) for row in state["rows"]]
            torch.set_rng_state(state["rng"])
            if self.mixed and state["rng_cuda"]:
                torch.cuda.set_rng_state_all(state["rng_cuda"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.run.state}: not a training state of this version: {error}") from error
        self.run.write_metrics(self.rows)
