"""A study as one YAML file: what is searched, for what, and how each candidate is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..blocks.errors import InputError
from ..scaler.documents import parse, read_yaml
from ..trainer.run_folder import RunFolder
from .fidelity import Fidelity
from .quantities import QUANTITIES, Direction
from .settings import (
    BRUTE,
    LISTING,
    THEIR_BASE,
    Budget,
    LatencySettings,
    Proxies,
    Sampler,
    Start,
    bounds,
    check_bounds,
    check_by_head,
    check_known,
)
from .space import BASE, Space

Keep = Literal["front", "best", "all", "none"]

SHAPES = "shapes"  # the embedded data set
UNLIMITED = 10**9  # trials, where hours are the budget
FREE_TO_CHANGE = ("question", "trials", "budget", "keep")  # in a study that has begun; anything else mixes results


class Contents(BaseModel):
    """What a study's names stood for when it began, so that it is known again wherever its files are by then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    order: tuple[str, ...]  # of the study's parameters, as their scalings apply
    bases: dict[str, str]  # and references: what the built graph's fingerprint is, at which size
    recipe: dict[str, Any]  # every setting
    data: str  # what tells data sets apart: `study_data.data_identity`
    table: str = ""  # of predicted latencies: the hash of its file
    start: str = ""  # how, and the weights' fingerprint; empty: random weights


class Study(BaseModel):
    """The study file, checked. `README.md` and `studies/quickstart.yaml` explain each key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    question: str = ""  # what the study is to answer; the report begins with it
    base: tuple[str, ...] = Field(min_length=1)
    space: Space
    objectives: dict[str, Direction] = Field(min_length=1)
    constraints: dict[str, float] = {}  # upper bounds
    trials: int = Field(default=UNLIMITED, ge=1)  # candidates trained in total; `budget: {trials: …}` is the same
    budget: Budget = Budget()  # its hours; its trials are moved to `trials`
    sampler: Sampler = Sampler()
    proxies: Proxies | None = None  # scores of untrained networks that may rank the sampler's proposals
    fidelity: Fidelity = Fidelity()
    recipe: str = "quick"
    epochs: int | None = Field(default=None, ge=1)
    overrides: dict[str, Any] = {}
    overrides_by_head: dict[str, dict[str, Any]] = {}  # further ones, of detectors with such a head
    start: Start | None = None  # what candidates begin with; random weights where None
    data: str = "shapes"
    size_px: int | None = Field(default=None, ge=1)  # the base's own where it is left out
    latency: LatencySettings = LatencySettings()
    seed: int = Field(default=0, ge=0)  # of draws and anchors, and of weights, order and augmentation
    seeds: tuple[int, ...] | None = None  # that each candidate is trained with, its AP being the mean; `seed` if None
    keep: Keep = "all"  # of which trained trials the weights stay on the disk
    references: bool | tuple[str, ...] = True  # trained first, to compare with: the bases, and models that are named
    contents: Contents | None = None  # written with a study that has begun

    @model_validator(mode="before")
    @classmethod
    def _said_once(cls, document: Any) -> Any:
        """What may be said in two places is moved to one."""
        if not isinstance(document, Mapping):
            return document
        moved = dict(document)
        for part, names in (("budget", ("trials",)), ("fidelity", ("epochs", "size_px"))):
            inner = moved.get(part)
            if not isinstance(inner, Mapping):
                continue
            for name in names:
                given = inner.get(name)
                if given is None:
                    continue
                if moved.get(name, given) not in (given, None):
                    raise ValueError(
                        f"{part}.{name} is {given}, and {name} is {moved[name]}: they contradict each other; keep one"
                    )
                moved[name] = given
            kept = {key: value for key, value in inner.items() if part != "budget" or key not in names}
            moved[part] = kept
        return moved

    @field_validator("base", mode="before")
    @classmethod
    def _one_or_more(cls, base: Any) -> Any:
        return (base,) if isinstance(base, str) else base

    @field_validator("base")
    @classmethod
    def _once(cls, base: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(base)) < len(base):
            raise ValueError("a base stands twice")
        return base

    @field_validator("objectives", mode="before")
    @classmethod
    def _directed(cls, objectives: Any) -> Any:
        if isinstance(objectives, str):
            objectives = [objectives]
        if isinstance(objectives, list | tuple):
            if any(objectives.count(name) > 1 for name in objectives):
                raise ValueError("an objective stands twice")
            objectives = dict.fromkeys(map(str, objectives))
        if not isinstance(objectives, dict):
            return objectives
        check_known("objective", objectives)
        return {name: way or QUANTITIES[name].direction for name, way in objectives.items()}

    @field_validator("constraints", mode="before")
    @classmethod
    def _mapped(cls, constraints: Any) -> Any:
        return bounds(constraints)

    @field_validator("constraints")
    @classmethod
    def _bounds(cls, constraints: dict[str, float]) -> dict[str, float]:
        check_bounds(constraints)
        return constraints

    @field_validator("overrides_by_head")
    @classmethod
    def _by_head(cls, overrides: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        check_by_head(overrides)
        return overrides

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, seeds: Any, info: Any) -> Any:
        if not isinstance(seeds, int) or isinstance(seeds, bool):
            return seeds
        if seeds < 1:
            raise ValueError("give a number of seeds from 1, or a list of them")
        return tuple(range(info.data.get("seed", 0), info.data.get("seed", 0) + seeds))

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if seeds is not None and (not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0):
            raise ValueError(f"{list(seeds)}: give seeds from 0, each once, or how many there are to be")
        return seeds

    @model_validator(mode="after")
    def _worthwhile(self) -> Self:
        if not any(QUANTITIES[name].trained for name in self.objectives):
            raise ValueError("objectives: name ap or ap50 too: without it there is nothing to train for")
        if not self.space.parameters and len(self.base) == 1:
            raise ValueError("space: is empty; name at least one parameter, such as width: {choices: [0.5, 1.0]}")
        if self.trials == UNLIMITED and self.budget == Budget():
            raise ValueError("'trials' is missing; say how many there are to be, or budget: {hours: …}")
        if self.trials < len(self.compared):
            raise ValueError(
                f"trials: {self.trials} are fewer than the {len(self.compared)} references that are trained first; "
                "raise it, or say references: false"
            )
        if self.start is not None and self.start.source == THEIR_BASE and self.references is False:
            raise ValueError("start: base: begins with the trained bases, which references: false leaves out")
        if self.sampler.kind in LISTING and self.space.size is None:
            kind = "a grid" if self.sampler.kind == "grid" else "brute force"
            raise ValueError(f"sampler: {kind} needs a finite space; give choices, or a step to each low and high")
        if self.sampler.kind == "brute" and (self.combinations or 0) > BRUTE:
            raise ValueError(f"sampler: brute force is for up to {BRUTE:,} candidates, not {self.combinations:,}")
        if self.sampler.kind == "ehvi" and not self._of_a_score_and_a_known_cost:
            raise ValueError(
                "sampler: ehvi is for two objectives, ap or ap50 to be maximised and a cost to be minimised that is "
                "known before a measurement (params, gflops, …; latency_ms with latency: {predict: TABLE}); take tpe"
            )
        if self.proxies is not None and self.sampler.kind in LISTING:
            raise ValueError(
                f"proxies: {self.sampler.kind} goes through the whole space, so that nothing is to be chosen; leave "
                "them out, or take a sampler that proposes, such as tpe"
            )
        if self.proxies is not None and self.sampler.kind == "ehvi":
            raise ValueError("proxies: ehvi already weighs every candidate that is left; leave them out, or take tpe")
        if self.size_px is not None and "resolution" in self.space.parameters:
            raise ValueError("size_px: the space already chooses the resolution; keep one of the two")
        twice = next((label for label in self._labels if self._labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"base: two are called {twice!r}; give one of the files another name")
        return self

    @property
    def _of_a_score_and_a_known_cost(self) -> bool:
        scores = {name: way for name, way in self.objectives.items() if QUANTITIES[name].trained}
        costs = {name: way for name, way in self.objectives.items() if name not in scores}
        known = "latency_ms" not in costs or self.latency.predict is not None
        return [*scores.values()] == ["maximize"] and [*costs.values()] == ["minimize"] and known

    @property
    def _labels(self) -> list[str]:
        return [label(reference) for reference in dict.fromkeys((*self.base, *self._named))]

    @property
    def _named(self) -> tuple[str, ...]:
        return self.references if isinstance(self.references, tuple) else ()

    @property
    def bases(self) -> dict[str, str]:
        """Each base by its short name: what the parameter `base` chooses among."""
        return {label(reference): reference for reference in self.base}

    @property
    def compared(self) -> dict[str, str]:
        """What is trained before anything is searched, by its short name: the bases, and the models that are named."""
        if self.references is False:
            return {}
        return {label(reference): reference for reference in (*self.base, *self._named)}

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """That each candidate is trained with."""
        return self.seeds or (self.seed,)

    def runs_of(self, trial: Path) -> dict[int, RunFolder]:
        """The run folders within a trial's, by seed: of the first seed the folder itself, of each other one inside."""
        first, *others = self.training_seeds
        return {first: RunFolder(trial), **{seed: RunFolder(trial / f"seed-{seed}") for seed in others}}

    @property
    def combinations(self) -> int | None:
        """Candidates in the space, over all bases; None where there is a continuum."""
        size = self.space.size
        return None if size is None else size * len(self.base)

    def distributions(self) -> dict[str, Any]:
        """Optuna's distributions, with the choice of a base where there are several."""
        from optuna.distributions import CategoricalDistribution

        bases = {BASE: CategoricalDistribution(tuple(self.bases))} if len(self.base) > 1 else {}
        return {**bases, **self.space.distributions()}


def label(reference: str) -> str:
    """The short name of a model: of the zoo, or its file's."""
    return Path(reference).stem if reference.endswith((".yaml", ".yml")) else reference


def load_study(path: str | Path, changes: Mapping[str, Any] | None = None) -> Study:
    """Read a study file; `changes` replace keys of it.

    Files that it names (base, recipe, data) are looked for beside it, then in the working folder.

    Raises:
        InputError: the file is not a study, with the place of every mistake.
    """
    path = Path(path)
    changes = dict(changes or {})
    document = {**read_yaml(path), **changes}
    if "trials" in changes and isinstance(document.get("budget"), Mapping):
        document["budget"] = {name: value for name, value in document["budget"].items() if name != "trials"}
    study: Study = parse(Study, document, str(path))
    beside = Path() if "data" in changes else path.parent
    references = study.references
    return study.model_copy(
        update={
            "base": tuple(_located(base, path.parent) for base in study.base),
            "references": references
            if isinstance(references, bool)
            else tuple(_located(reference, path.parent) for reference in references),
            "recipe": _located(study.recipe, path.parent),
            "start": started(study.start, path.parent),
            "data": study.data if study.data == SHAPES else _absolute(study.data, beside),
            "latency": study.latency.model_copy(update={"predict": _table(study.latency.predict, path.parent)}),
        }
    )


def study_folder(reference: str | Path) -> Path:
    """The folder of a study, given by itself, by its `study.yaml`, or by the study file it was started from.

    Raises:
        InputError: there is none.
    """
    path = Path(reference)
    if path.is_dir():
        if (path / "study.yaml").is_file():
            return path
        raise InputError(f"{path}: holds no study.yaml; name a study's folder, such as runs/search/quickstart")
    if not path.is_file():
        raise InputError(f"{path}: there is no such study file or folder")
    if path.name == "study.yaml" and (path.parent / "trials.csv").is_file():
        return path.parent
    folder = default_folder(load_study(path))
    if not (folder / "study.yaml").is_file():
        raise InputError(f"{path}: no folder {folder} yet; start it by: catscale search run {path}")
    return folder


def default_folder(study: Study) -> Path:
    """Where a study's folder is, unless another is named."""
    return Path("runs", "search", study.name)


def _located(reference: str, beside: Path) -> str:
    """A built-in thing's name as it is; a file by its absolute path."""
    return _absolute(reference, beside) if reference.endswith((".yaml", ".yml")) else reference


def started(start: Start | None, beside: Path) -> Start | None:
    """A start whose run is named by its absolute path."""
    if start is None or start.source == THEIR_BASE:
        return start
    return Start.model_validate({start.how: _absolute(start.source, beside)})


def _table(reference: str | None, beside: Path) -> str | None:
    return None if reference is None else _absolute(reference, beside)


def _absolute(reference: str, beside: Path) -> str:
    """The absolute path of what lies beside the study file or in the working folder; else the reference as it is."""
    found = next((path for path in (beside / reference, Path(reference)) if path.exists()), None)
    return str(found.resolve()) if found else reference
