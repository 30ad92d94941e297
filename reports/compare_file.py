"""`compare.yaml` of a study's folder: how its results are compared, with each other and with rows of the paper."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..blocks.errors import nearest
from ..scaler.documents import parse, read_yaml
from .published import Published, published

FILE = "compare.yaml"


class Compared(BaseModel):
    """A variant: its words in the table, and the row of the paper that it stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    published: str | None = None  # the row's name in the paper's table, where there is one
    x: float | None = None  # its place on a curve; None of one that is only beside it


class Comparison(BaseModel):
    """What a study's results are held against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    table: int | None = None  # of the paper
    base: str  # the variant that the others are held against
    best: str | None = None  # the variant that the paper found best
    rows: dict[str, Compared] = Field(min_length=2)  # by variant, in the table's order
    draw: Literal["rows", "curve"] = "rows"
    axis: str = ""  # of a curve: what `x` is

    @field_validator("rows", mode="before")
    @classmethod
    def _words(cls, rows: Any) -> Any:
        """A label alone is that of the paper's row too."""
        if not isinstance(rows, dict):
            return rows
        return {name: {"label": row, "published": row} if isinstance(row, str) else row for name, row in rows.items()}

    @model_validator(mode="after")
    def _named(self) -> "Comparison":
        for role, name in (("base", self.base), ("best", self.best)):
            if name is not None and name not in self.rows:
                raise ValueError(f"{role}: {name!r} is none of the rows: {', '.join(self.rows)}")
        for name, row in self.rows.items():
            if self.table and row.published and self.published(name) is None:
                known = [word for line in published() if line.table == self.table for word in _names(line)]
                raise ValueError(
                    f"rows: {name}: Table {self.table} has no row {row.published!r}; {nearest(row.published, known)}"
                )
        if self.draw == "curve" and sum(row.x is not None for row in self.rows.values()) < 2:
            raise ValueError("rows: give two at least their x, or draw: rows")
        return self

    def published(self, variant: str) -> Published | None:
        """The paper's row that a variant stands for; None where there is none."""
        name = self.rows[variant].published
        return next((row for row in published() if row.table == self.table and name in _names(row)), None)


class Devices(BaseModel):
    """Fronts of one device used on another, from a table as `search table` writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    draw: Literal["devices"]
    source: str  # the table, seen from the folder
    score: str


class Populations(BaseModel):
    """Populations that values of parameters make, from a table as `search table` writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    draw: Literal["populations"]
    source: str  # the table, seen from the folder
    by: tuple[str, ...] = Field(min_length=1)  # parameters
    alike: tuple[str, ...] = ()  # parameters in which only detectors with the same values are compared


class Timed(BaseModel):
    """Published models with their latencies here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    source: str  # latencies, seen from the folder
    measured: str  # how they were: form of numbers, batch, device


class Family(Timed):
    """Published models, counted and timed."""

    draw: Literal["family"]


class LatencyFronts(Timed):
    """Published AP against latency here, and against the paper's."""

    draw: Literal["fronts"]


class Duels(BaseModel):
    """Searches against a rule, from a table as `search table` writes it, of two seeds at least."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    draw: Literal["duels"]
    source: str  # the table, seen from the folder
    parameter: str  # that the rule changes
    before: float
    after: float
    alike: tuple[str, ...] = ()  # parameters that a search must leave as they are
    trials: int = Field(ge=1)  # of a search
    sampler: Literal["tpe", "nsga2", "nsga3", "random", "qmc"] = "tpe"


Kind = Comparison | Devices | Populations | Family | LatencyFronts | Duels
KINDS: dict[str, type[BaseModel]] = {
    "devices": Devices,
    "populations": Populations,
    "family": Family,
    "fronts": LatencyFronts,
    "duels": Duels,
}


def _names(row: Published) -> tuple[str, ...]:
    """What a row may be called; of Table 10, whose rows are all of one model, with the setting: YOLOv7-X FP32 0.70."""
    return (row.model,) if row.iou_threshold is None else (f"{row.model} {row.precision} {row.iou_threshold:.2f}",)


def has_comparison(folder: Path) -> bool:
    """Whether a folder's results are compared, variant with variant."""
    return (folder / FILE).is_file()


def read_comparison(folder: Path) -> Kind:
    """Read a folder's `compare.yaml`.

    Raises:
        InputError: it is not there, or is not one; the message says the place.
    """
    path = folder / FILE
    document = read_yaml(path)
    found: Any = parse(KINDS.get(str(document.get("draw")), Comparison), document, str(path))
    return found
