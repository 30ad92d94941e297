"""The folder of one training: architecture, recipe, facts, metrics, weights. Plain files, each whole at any time."""

import csv
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from ..scaler.documents import dump_yaml, parse, read_text, write_text
from ..scaler.zoo import load
from .energy import Energy
from .recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from torch.fx import GraphModule

RUNS = Path("runs")
Status = Literal["running", "stopped", "complete", "diverged"]
Which = Literal["best", "last"]
How = Literal["overlap", "grow"]  # weights come over: `warm_start.WarmStart` says it


@dataclass(frozen=True)
class EpochRow:
    """A line of `results.csv`: one epoch. Losses are means with their gains; AP is that of the averaged weights."""

    epoch: int  # counted from 1
    box: float
    obj: float
    cls: float
    lr: float  # of the epoch's last batch
    instances: int  # objects seen
    skipped: int  # batches whose loss or gradient was not finite
    ap: float
    ap50: float
    ap75: float
    train_seconds: float
    val_seconds: float
    data_seconds: float = 0.0  # of training, spent waiting for batches

    @property
    def fitness(self) -> float:
        """What the best epoch is chosen by. Source: YOLOv7 as released."""
        return 0.1 * self.ap50 + 0.9 * self.ap

    @property
    def seconds(self) -> float:
        return self.train_seconds + self.val_seconds


@dataclass(frozen=True)
class StartFacts:
    """What a run began with in place of random weights."""

    run: str  # whose weights they are
    how: How
    fingerprint: str = ""  # of its architecture
    weights: str = ""  # SHA-256 of the file; neither was noted by earlier versions
    parameters: int = 0  # of the model that begins
    carried: int = 0  # of these, elements that came over


@dataclass(frozen=True)
class RunFacts:
    """`run.json`: what a run was, beside its architecture and its recipe."""

    architecture: str
    fingerprint: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    data: str
    size_px: int
    seed: int
    device: str
    versions: dict[str, str]
    status: Status = "running"
    reason: str = ""  # why it stopped or diverged
    epochs: int = 0  # completed
    best_epoch: int = 0
    ap: float = 0.0  # of the best epoch
    ap50: float = 0.0
    seconds: float = 0.0
    energy: Energy | None = None  # None: an earlier version did not look
    start: StartFacts | None = None  # None: random weights
    batch: int = 0  # images in a forward pass; fewer than the recipe's where memory was short


@dataclass(frozen=True)
class RunFolder:
    """The files of a run."""

    path: Path

    @property
    def architecture(self) -> Path:
        return self.path / "architecture.yaml"

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def facts(self) -> Path:
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        return self.path / "results.csv"

    @property
    def state(self) -> Path:
        return self.path / "last.state.pt"

    @property
    def matches(self) -> Path:
        """What the best epoch's AP can be computed from again (`kept_matches`)."""
        return self.path / "best.matches.npz"

    def weights(self, which: Which) -> Path:
        return self.path / f"{which}.safetensors"

    def trained_weights(self, which: Which) -> Path:
        """The file of the best or last weights.

        Raises:
            InputError: not a run folder, or no weights in it yet.
        """
        facts, weights = self.read_facts(), self.weights(which)
        if not weights.is_file():
            raise InputError(f"{self.path}: no {weights.name} in it: no epoch has finished (status {facts.status})")
        return weights

    def refuse_if_taken(self) -> None:
        """Raise an InputError where the folder holds anything."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(f"{self.path}: is there and not empty; take another folder, or --resume it")

    def write_settings(self, arch: Architecture, recipe: Recipe) -> None:
        """Write the architecture and the resolved recipe."""
        write_text(self.architecture, arch.to_yaml())
        write_text(self.recipe, dump_yaml(recipe.model_dump()))

    def write_facts(self, facts: RunFacts) -> None:
        """Write `run.json`."""
        write_text(self.facts, json.dumps(asdict(facts), indent=2, ensure_ascii=False) + "\n")

    def write_metrics(self, rows: Sequence[EpochRow]) -> None:
        """Write `results.csv` anew; it has a line for each epoch, so it stays small."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(EpochRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
        write_text(self.metrics, text.getvalue())

    def read_facts(self) -> RunFacts:
        """Read `run.json`.

        Raises:
            InputError: the folder is missing or is not a run.
        """
        if not self.path.is_dir():
            raise InputError(f"{self.path}: no such run folder")
        if not self.facts.is_file():
            raise InputError(f"{self.path}: not a run folder: it has no {self.facts.name}")
        try:
            document = json.loads(read_text(self.facts))
        except ValueError as error:
            raise InputError(f"{self.facts}: not valid JSON: {error}") from error
        if isinstance(document, dict) and (run := document.pop("weights", "")):  # as earlier versions wrote it
            document["start"] = {"run": run, "how": "overlap"}
        return parse(RunFacts, document, str(self.facts))

    def read_metrics(self) -> list[EpochRow]:
        """Read `results.csv`; no rows where it is not there yet.

        Raises:
            InputError: a line is not an epoch's.
        """
        if not self.metrics.is_file():
            return []
        lines = csv.DictReader(io.StringIO(read_text(self.metrics)))
        return [parse(EpochRow, line, f"{self.metrics}:{number}") for number, line in enumerate(lines, start=2)]

    def read_architecture(self) -> Architecture:
        """The architecture as trained, with the data set's classes."""
        return load(str(self.architecture))

    def read_recipe(self) -> Recipe:
        """The recipe as resolved when the run began."""
        return load_recipe(self.recipe)


def next_folder(root: Path = RUNS / "train", name: str = "exp") -> Path:
    """The first of `exp`, `exp2`, `exp3` ... in `root` that is not there yet."""
    number = 1
    while (path := root / (name if number == 1 else f"{name}{number}")).exists():
        number += 1
    return path


def versions() -> dict[str, str]:
    """Versions of what a training's result depends on."""
    found = {"python": platform.python_version()}
    for package in ("catscale", "torch", "torchvision", "numpy", "pycocotools"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a checkout that was never installed
            found[package] = "unknown"
    return found


@dataclass(frozen=True)
class Run:
    """A trained detector: what `val`, `predict` and `search` start from."""

    folder: Path
    arch: Architecture
    recipe: Recipe
    facts: RunFacts
    model: "GraphModule"  # the train graph with averaged weights, in eval mode, on the CPU
    epoch: int  # that the weights are of, counted from 1

    @property
    def classes(self) -> tuple[str, ...]:
        return self.facts.classes


def load_run(folder: str | Path, which: Which = "best") -> Run:
    """Read a run with its best (or last) weights.

    Raises:
        InputError: not a run folder, or no weights in it yet.
    """
    from ..scaler.build import build  # torch: only here, so that a run's facts can be read without it
    from .checkpoint import load_weights, read_header

    run = RunFolder(Path(folder))
    facts, weights = run.read_facts(), run.trained_weights(which)
    arch, header = run.read_architecture(), read_header(weights)
    model = build(arch)
    load_weights(weights, model)
    return Run(run.path, arch, run.read_recipe(), facts, model.eval(), header.epoch)


def ended(facts: RunFacts, status: Status, rows: Sequence[EpochRow], reason: str = "") -> RunFacts:
    """The facts of a run after its last epoch so far."""
    done: dict[str, Any] = {"status": status, "reason": reason, "epochs": len(rows)}
    if rows:
        best = max(rows, key=lambda row: row.fitness)
        done |= {"best_epoch": best.epoch, "ap": best.ap, "ap50": best.ap50}
    return replace(facts, **done, seconds=sum(row.seconds for row in rows))
