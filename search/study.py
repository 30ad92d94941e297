"""A study as one YAML file: what is searched, for what, and how each candidate is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..blocks.errors import InputError, nearest
from ..scaler.documents import dump_yaml, parse, read_yaml, write_text
from .quantities import QUANTITIES, Direction
from .space import BASE, Parameter, Space

SamplerKind = Literal["tpe", "random", "nsga2", "grid"]

Keep = Literal["front", "best", "all", "none"]

SHAPES = "shapes"  # the embedded data set
FREE_TO_CHANGE = ("question", "trials", "keep")  # in a study that has begun; everything else would mix what is compared


class Sampler(BaseModel):
    """Who proposes candidates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SamplerKind = "tpe"
    seed: int = Field(default=0, ge=0)
    startup: int = Field(default=10, ge=1)  # candidates drawn at random before TPE begins to learn


class Study(BaseModel):
    """The study file, checked. `README.md` and `studies/quickstart.yaml` explain each key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    question: str = ""  # what the study is to answer; the report begins with it
    base: tuple[str, ...] = Field(min_length=1)
    space: Space
    objectives: dict[str, Direction] = Field(min_length=1)
    constraints: dict[str, float] = {}  # upper bounds
    trials: int = Field(ge=1)  # candidates trained in total, over all runs of the study
    sampler: Sampler = Sampler()
    recipe: str = "quick"
    epochs: int | None = Field(default=None, ge=1)
    overrides: dict[str, Any] = {}
    data: str = "shapes"
    size_px: int | None = Field(default=None, ge=1)  # the base's own where it is left out
    seed: int = Field(default=0, ge=0)
    keep: Keep = "all"  # of which trained trials the weights stay on the disk
    references: bool = True  # the bases themselves are trained first, to compare with

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
        _known("objective", objectives)
        return {name: way or QUANTITIES[name].direction for name, way in objectives.items()}

    @field_validator("constraints")
    @classmethod
    def _bounds(cls, constraints: dict[str, float]) -> dict[str, float]:
        _known("constraint", constraints)
        for name, bound in constraints.items():
            if QUANTITIES[name].trained:
                untrained = ", ".join(name for name, quantity in QUANTITIES.items() if not quantity.trained)
                raise ValueError(f"{name} is known only after training; bounds are for {untrained}")
            if not bound > 0:
                raise ValueError(f"{name}: an upper bound must be above zero, not {bound:g}")
        return constraints

    @model_validator(mode="after")
    def _worthwhile(self) -> Self:
        if not any(QUANTITIES[name].trained for name in self.objectives):
            raise ValueError("objectives: name ap or ap50 too: without it there is nothing to train for")
        if not self.space.parameters and len(self.base) == 1:
            raise ValueError("space: is empty; name at least one parameter, such as width: {choices: [0.5, 1.0]}")
        if self.sampler.kind == "grid" and self.space.size is None:
            raise ValueError("sampler: a grid needs a finite space; give choices, or a step to each low and high")
        if self.size_px is not None and "resolution" in self.space.parameters:
            raise ValueError("size_px: the space already chooses the resolution; keep one of the two")
        return self

    @property
    def combinations(self) -> int | None:
        """Candidates in the space, over all bases; None where there is a continuum."""
        size = self.space.size
        return None if size is None else size * len(self.base)

    def distributions(self) -> dict[str, Any]:
        """Optuna's distributions, with the choice of a base where there are several."""
        from optuna.distributions import CategoricalDistribution

        bases = {BASE: CategoricalDistribution(self.base)} if len(self.base) > 1 else {}
        return {**bases, **self.space.distributions()}

    def write(self, path: Path) -> None:
        """Write the study as a file that reads back as an equal study."""
        document = self.model_dump(mode="json", exclude_none=True)
        document["base"] = self.base[0] if len(self.base) == 1 else list(self.base)
        write_text(path, dump_yaml(document))


def load_study(path: str | Path, changes: Mapping[str, Any] | None = None) -> Study:
    """Read a study file; `changes` replace keys of it.

    Files that it names (base, recipe, data) are looked for beside it, then in the working folder.

    Raises:
        InputError: the file is not a study, with the place of every mistake.
    """
    path = Path(path)
    document = {**read_yaml(path), **(changes or {})}
    names = {
        **{f"space.{name}": tuple(Parameter.model_fields) for name in _keys(document.get("space"))},
        "sampler": tuple(Sampler.model_fields),
    }
    study: Study = parse(Study, document, str(path), names=names)
    beside = Path() if "data" in (changes or {}) else path.parent
    return study.model_copy(
        update={
            "base": tuple(_located(base, path.parent) for base in study.base),
            "recipe": _located(study.recipe, path.parent),
            "data": study.data if study.data == SHAPES else _absolute(study.data, beside),
        }
    )


def differences(before: Study, now: Study) -> list[str]:
    """What keeps the trials of two versions of a study from being compared, a line for each."""
    old, new = (_flat(study.model_dump(mode="json", exclude=set(FREE_TO_CHANGE))) for study in (before, now))
    return [
        f"{key} was {_word(old, key)}, is {_word(new, key)}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]


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


def _absolute(reference: str, beside: Path) -> str:
    """The absolute path of what lies beside the study file or in the working folder; else the reference as it is."""
    found = next((path for path in (beside / reference, Path(reference)) if path.exists()), None)
    return str(found.resolve()) if found else reference


def _known(kind: str, names: Mapping[str, Any]) -> None:
    for name in names:
        if name not in QUANTITIES:
            raise ValueError(f"no {kind} is called {name!r}; {nearest(str(name), QUANTITIES)}")


def _keys(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, Mapping) else ()


def _flat(document: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{place}{key}."))
        else:
            flat[f"{place}{key}"] = value
    return flat


def _word(document: Mapping[str, Any], key: str) -> str:
    return "not there" if document.get(key) is None else repr(document[key])
