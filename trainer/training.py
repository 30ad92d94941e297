"""A training between two steps: the rows so far, the epoch under way, and what is saved of them."""

import gc
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from ..scaler.build import deploy
from ..scaler.optimised import optimised
from .checkpoint import WeightsHeader, load_state, put_weights, save_state, save_weights
from .data.loader import Batch, random_size_px, train_batches, val_batches
from .data.records import Dataset
from .distributed import World
from .divergence import LOWER_RATE, Diverged, Watch
from .evaluate import measure
from .interruption import Interrupted, Request, TimeUp
from .kept_matches import keep_matches
from .optimiser import Schedule
from .recipe import Recipe
from .run_folder import EpochRow, RunFolder
from .scoring import Found
from .step import Stepper
from .warm_start import WarmStart


@dataclass
class Epoch:
    """An epoch under way."""

    batches: int = 0  # done
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # of the loss's parts
    instances: int = 0
    skipped: int = 0
    seconds: float = 0.0  # before it was interrupted
    data_seconds: float = 0.0


class Training:
    """Model, average, optimiser, the rows so far and the epoch under way. Arguments as for `loop.train`."""

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
        world: World,
        request: Request,
        tell: Callable[[str], None],
        start: WarmStart | None,
    ) -> None:
        self.arch, self.dataset, self.recipe, self.run = arch, dataset, recipe, run
        self.seed, self.device, self.size_px = seed, device, size_px
        self.world, self.request, self.tell = world, request, tell
        self.rows: list[EpochRow] = []
        self.under_way = Epoch()
        self.found: list[Found] = []  # by the last evaluation
        self.watch = Watch()
        self.images = len(dataset.splits["train"].images)
        self.batches = math.ceil(self.images / recipe.batch)
        if self.images % recipe.batch and self.images % recipe.batch < world.size:
            self.batches -= 1  # not one image for each process
        torch.manual_seed(seed)
        self.step = Stepper(arch, recipe, device=device, size_px=size_px, world=world, start=start)
        self.schedule = Schedule(recipe, self.batches)
        self.kept = 0  # epochs of a run that was complete and is extended

    @property
    def why_over(self) -> str:
        """Why the training ends before its last epoch; empty where it does not."""
        best = max((row.fitness for row in self.rows), default=0.0)
        since = next((age for age, row in enumerate(reversed(self.rows)) if row.fitness == best), 0)
        if len(self.rows) > self.kept and self.recipe.patience and since >= self.recipe.patience:
            return f"no better epoch in {since}"
        return ""

    @property
    def over(self) -> bool:
        """Whether the last epoch is done, or none has been better for long; an extension has one epoch at least."""
        return len(self.rows) >= self.recipe.epochs or bool(self.why_over)

    def epoch(self, on_batch: Callable[[int, int], None] | None) -> EpochRow:
        """Train, evaluate and save the next epoch, or the rest of the one under way."""
        number, recipe = len(self.rows), self.recipe
        batches = train_batches(
            self.dataset.splits["train"],
            size_px=self.size_px,
            batch=recipe.batch,
            recipe_augment=recipe.augment_of(number),
            seed=self.seed,
            epoch=number,
            cache=recipe.cache,
            first=self.under_way.batches * recipe.batch,
            share=(self.world.rank, self.world.size),
        )
        start = time.perf_counter()
        learnt = self._learn(batches, number, on_batch)
        trained = time.perf_counter()
        row = self.world.told(self._evaluated(number, learnt, trained - start) if self.world.chief else None)
        self.rows.append(row)
        self.under_way = Epoch()
        if self.world.chief:
            self._save(row)
        return row

    def _evaluated(self, number: int, learnt: Mapping[str, Any], seconds: float) -> EpochRow:
        start = time.perf_counter()
        split = self.dataset.splits["val"]
        metrics, self.found = measure(
            optimised(deploy(self.step.ema.model), self.device),
            val_batches(split, size_px=self.size_px, batch=self.recipe.batch),
            split,
            self.dataset,
            conf=self.recipe.conf,
            iou=self.recipe.iou,
            max_det=self.recipe.max_det,
            device=self.device,
            by_size=False,
        )
        return EpochRow(
            epoch=number + 1,
            **learnt,
            ap=metrics.ap,
            ap50=metrics.ap50,
            ap75=metrics.ap75,
            train_seconds=round(self.under_way.seconds + seconds, 3),
            val_seconds=round(time.perf_counter() - start, 3),
            data_seconds=round(self.under_way.data_seconds, 3),
        )

    def _learn(
        self, batches: Iterable[Batch], epoch: int, on_batch: Callable[[int, int], None] | None
    ) -> dict[str, Any]:
        """One pass over the training images; what is left of an accumulation at its end makes a step too."""
        now, step = self.under_way, self.step
        step.model.train()
        step.loss.begin(epoch)
        sums = torch.tensor(now.sums, dtype=torch.float64).to(self.device)
        pending, began = 0, time.perf_counter()
        settings = self.schedule.at(epoch, max(now.batches - 1, 0))
        for batch in self._waited_for(batches):
            settings = self.schedule.at(epoch, now.batches)
            step.put(settings)
            whole = min(self.recipe.batch, self.images - now.batches * self.recipe.batch)
            images = step.images(batch, self._batch_size_px(epoch, now.batches))
            parts = step.measure(step.forward(images), batch, whole)
            now.instances += len(batch.targets)
            now.batches += 1
            finite, stop = self._agreed(bool(parts.total.isfinite()), self.request.due(self._ahead_s()))
            if finite:
                step.backward(parts.total)
                pending += 1
                sums += torch.stack((parts.box, parts.obj, parts.cls)) * (len(batch.ids) / whole)
            else:
                now.skipped += 1
                self._bad(epoch, f"the loss of batch {now.batches} is {parts.total.item():g}")
            if pending >= settings.accumulate or (pending and now.batches == self.batches):
                if step.update():
                    self.watch.good()
                else:
                    now.skipped += pending
                    self._bad(epoch, "the gradient is not finite")
                pending = 0
            if on_batch:
                on_batch(now.batches, self.batches)
            if stop and not pending:
                now.sums, now.seconds = sums.tolist(), now.seconds + time.perf_counter() - began
                self._stop(epoch)
        self.world.sum_([sums])
        instances = torch.tensor([now.instances], dtype=torch.float64, device=self.device)
        self.world.sum_([instances])
        means = (sums / max(self.batches - now.skipped, 1)).tolist()
        losses = dict(zip(("box", "obj", "cls"), means, strict=True))
        return losses | {"lr": settings.lr, "instances": int(instances.item()), "skipped": now.skipped}

    def _ahead_s(self) -> float:
        """How long it lasts until the next step, beyond that step: after an epoch's last batch, as its evaluation."""
        return self.rows[-1].val_seconds if self.rows and self.under_way.batches == self.batches else 0.0

    def _batch_size_px(self, epoch: int, index: int) -> int:
        if not self.recipe.multi_scale:
            return self.size_px
        return random_size_px(self.size_px, max(self.arch.strides), seed=self.seed, epoch=epoch, index=index)

    def _waited_for(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches, with the time counted that each is waited for."""
        source = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(source, None)
            self.under_way.data_seconds += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def _agreed(self, finite: bool, stop: bool) -> tuple[bool, bool]:
        """Whether the loss is finite in every process, and whether any was asked to stop."""
        if self.world.size == 1:
            return finite, stop
        votes = torch.tensor([float(not finite), float(stop)], device=self.device)
        self.world.sum_([votes])
        bad, stops = votes.tolist()
        return not bad, bool(stops)

    def _bad(self, epoch: int, what: str) -> None:
        """Leave a batch out; after many in a row take the weights back once, then end."""
        self.step.ema.mend_statistics(self.step.model)
        match self.watch.count():
            case "restore":
                saved = load_state(self.run.state) if self.run.state.is_file() else {}
                self.step.take_back(saved.get("ema", self.step.ema.model.state_dict()))
                self._lower_rate()
                whose = f"epoch {len(saved['rows'])}" if saved else "the start"
                self.tell(
                    f"epoch {epoch + 1}: {what}, as were {self.watch.bad} in a row; goes on from the averaged weights "
                    f"of {whose} at {LOWER_RATE:g} of the rate"
                )
                self.watch = Watch(restored=True)
            case "end":
                raise Diverged(
                    f"{self.arch.name} diverged in epoch {epoch + 1}: {what}, as were {self.watch.bad} in a row, also "
                    f"from good weights at a lower rate; lower lr0 ({self.recipe.lr0:g}) or lengthen the warm-up"
                )
            case "skip":
                pass

    def _lower_rate(self) -> None:
        self.schedule = Schedule(self.recipe, self.batches, gain=LOWER_RATE)

    def _stop(self, epoch: int) -> None:
        """Save the epoch under way and end, as a signal or the clock asked."""
        if self.world.chief:
            save_state(self.run.state, self.state())
        where = (
            f"in epoch {epoch + 1} after batch {self.under_way.batches} of {self.batches}; "
            f"the state is saved: go on with --resume {self.run.path}"
        )
        if self.request.caught is None and self.request.deadline is not None:
            raise TimeUp(f"the time is up {where}")
        caught = self.request.caught or signal.SIGTERM  # where another process was asked
        raise Interrupted(f"{caught.name} {where}", caught)

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
            save_weights(self.run.weights("best"), self.step.ema.model, header)
            keep_matches(self.found, self.dataset.splits["val"], self.dataset).write(self.run.matches)
        save_weights(self.run.weights("last"), self.step.ema.model, header)
        # The state comes last: it alone is what a resume goes on from, and brings the rest to its own epoch.
        self.run.write_metrics(self.rows)
        save_state(self.run.state, self.state())

    def let_go(self) -> None:
        """Free the memory of model and optimiser; the training is of no use after that."""
        del self.step
        gc.collect()
        torch.cuda.empty_cache()

    def state(self) -> dict[str, Any]:
        """All that the next step depends on; batches follow from seed, epoch and place."""
        return self.step.state() | {
            "fingerprint": self.arch.fingerprint,
            "rows": [asdict(row) for row in self.rows],
            "under_way": asdict(self.under_way),
            "batch": self.recipe.batch,
            "watch": asdict(self.watch),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state.

        Raises:
            InputError: it is not this training's.
        """
        try:
            put_weights(state["model"], self.step.model, self.run.state)
            put_weights(state["ema"], self.step.ema.model, self.run.state)
            self.step.restore(state)
            self.watch = Watch(**state["watch"])
            if self.watch.restored:
                self._lower_rate()
            self.rows = [EpochRow(**row) for row in state["rows"]]
            self.under_way = Epoch(**state["under_way"])
            self.under_way.batches = self.under_way.batches * state["batch"] // self.recipe.batch
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.run.state}: not a training state of this version: {error}") from error
        if self.world.chief:
            self.run.write_metrics(self.rows)
