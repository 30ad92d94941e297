"""What every section of a report draws from: the study, read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...search.pareto import knee
from ...search.quantities import QUANTITIES, shown
from ...search.rows import Row, comparable, front
from ...search.status import StudyRecord
from ..comparison import comparison_frame
from ..frames import by_trial, curves_frame, trials_frame
from ..uncertainty import uncertainty_frame

RESAMPLED = 80  # trials whose intervals are known at least, if there are so many
SHOWN = 12  # members of a front that have a section of their own


@dataclass(frozen=True)
class Section:
    """A part of the page: its content is what its template shows."""

    name: str  # of its id
    title: str
    template: str
    content: Mapping[str, Any]
    remarks: Sequence[str] = field(default=())  # what is missing: said in the page, and on the terminal


@dataclass(frozen=True)
class Article:
    """A study's part of the page."""

    name: str
    stem: str  # what its files and ids begin with
    question: str
    sections: Sequence[Section]
    linked: Mapping[int, str] = field(default_factory=dict)  # trials with a part of their own, and its id


@dataclass(frozen=True)
class Material:
    """A study as it was read, for all sections of its report."""

    record: StudyRecord
    stem: str  # what its files and ids begin with
    output: Path  # folder of the report
    images: int  # that predictions are shown on

    @cached_property
    def results(self) -> list[Row]:
        """Trials with a result of their own."""
        return comparable(self.record.rows)

    @cached_property
    def front(self) -> list[Row]:
        return self.record.front

    @cached_property
    def trials(self) -> pd.DataFrame:
        return trials_frame(self.record)

    @cached_property
    def curves(self) -> pd.DataFrame:
        return curves_frame(self.record)

    @cached_property
    def uncertainty(self) -> pd.DataFrame | None:
        """Intervals of the results; of very many, those of the best layers, as the others are never on the front."""
        if not self.results:
            return None
        return uncertainty_frame(replace(self.record, rows=self._best))

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """The front, and below it the references that are not on it."""
        numbers = {row.number for row in self.front}
        others = [row for row in self.results if row.reference and row.number not in numbers]
        return comparison_frame(self.record, [*self.front, *others], self.uncertainty)

    def read(self) -> "Material":
        """Read all files that can be damaged, before anything is written.

        Raises:
            InputError: one is.
        """
        _ = self.curves, self.comparison
        return self

    @cached_property
    def _best(self) -> list[Row]:
        """The front, what would be the front without it, and so on, until there are enough."""
        left, kept = self.results, []
        while left and len(kept) < RESAMPLED:
            layer = {row.number for row in front(self.record.study, left)}
            if not layer:
                break
            kept += [row for row in left if row.number in layer]
            left = [row for row in left if row.number not in layer]
        return sorted(kept or left, key=lambda row: row.number)

    @cached_property
    def shown(self) -> list[Row]:
        """Trials with a section: the front's (of a long one its ends, its knee and some between), and references."""
        members = self.front
        if len(members) > SHOWN:
            kept = {int(place) for place in np.linspace(0, len(members) - 1, SHOWN - 1).round()}
            members = [members[place] for place in sorted(kept | {self._knee})]
        numbers = {row.number for row in members}
        return [*members, *(row for row in self.results if row.reference and row.number not in numbers)]

    def curve(self, row: Row) -> pd.DataFrame | None:
        """The learning curve that a trial has, or took over."""
        return self._curves.get(row.number if row.same_as is None else row.same_as)

    def anchor(self, row: Row) -> str:
        """The id of a trial's section."""
        return f"{self.stem}-trial-{row.number}"

    @cached_property
    def _curves(self) -> dict[int, pd.DataFrame]:
        return by_trial(self.curves)

    @cached_property
    def _knee(self) -> int:
        names = self.record.study.objectives
        points = [[row.figures[name] for name in names] for row in self.front]
        return knee(points, list(names.values()))


def label(row: Row, names: Sequence[str]) -> str:
    """A trial and some of its figures in words."""
    figures = ", ".join(
        f"{QUANTITIES[name].title} {shown(name, row.figures[name])}" for name in names if name in row.figures
    )
    return f"Trial {row.number}: {figures}"
