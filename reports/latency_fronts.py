"""Published AP against latency measured here, and against the paper's: who is on which front. No torch.

Both fronts are of the same models of Table 2, each timed at its own size, and of the same AP; only the times differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from ..blocks.errors import InputError
from ..search.pareto import pareto_front
from .ablation import kendall
from .published import Published, published
from .published_figures import family_of
from .timed import Timed

MOVED = 3  # places of which a change is told


@dataclass(frozen=True)
class Model:
    """A model of Table 2 with its two times."""

    row: Published
    timed: Timed

    @property
    def name(self) -> str:
        return self.row.zoo

    @property
    def family(self) -> str:
        found = family_of(self.row)
        return found[0] if found else self.row.model

    @property
    def ap(self) -> float:
        """On COCO val2017, in percent, as printed."""
        assert self.row.ap_val is not None
        return self.row.ap_val

    @property
    def here_ms(self) -> float:
        return self.timed.median_ms

    @property
    def paper_ms(self) -> float:
        """1 / FPS on the paper's V100."""
        assert self.row.fps_v100 is not None
        return 1000 / self.row.fps_v100


Time = Callable[[Model], float]


def here(model: Model) -> float:
    """Its time on the machine that was measured."""
    return model.here_ms


def paper(model: Model) -> float:
    """Its time in the paper."""
    return model.paper_ms


@dataclass(frozen=True)
class Fronts:
    """The models in the paper's order, and what follows from the two times of each."""

    models: Sequence[Model]
    untimed: Sequence[str] = ()  # models of the table that were not timed here at the paper's size

    def front(self, time: Time) -> list[Model]:
        """Those that no other beats in AP and time; fastest first."""
        points = [(time(model), model.ap) for model in self.models]
        chosen = [self.models[row] for row in pareto_front(points, ("minimize", "maximize"))]
        return sorted(chosen, key=time)

    def place(self, model: Model, time: Time) -> int:
        """From 1, the fastest; equal times share a place."""
        return 1 + sum(time(other) < time(model) for other in self.models)

    def tau(self, size_px: int | None = None) -> float | None:
        """Kendall's tau-b of the two orders, of all models or of those of a size."""
        some = [model for model in self.models if size_px in (None, model.row.size_px)]
        return kendall([(here(model), paper(model)) for model in some]) if len(some) > 1 else None

    @property
    def close(self) -> int:
        """Neighbours in the order of latency here whose intervals overlap: either may be the faster one."""
        ordered = [model.timed for model in sorted(self.models, key=here)]
        return sum(one.high_ms > other.low_ms for one, other in pairwise(ordered))


def fronts(timed: Sequence[Timed]) -> Fronts:
    """Every model of Table 2 that has AP and FPS there, and was timed here at the size that it has there.

    Raises:
        InputError: fewer than two were.
    """
    times: dict[tuple[str, int | None], Timed] = {(line.model, line.size_px): line for line in timed}
    rows = [row for row in published(2) if row.zoo and row.ap_val is not None and row.fps_v100]
    models = [Model(row, times[row.zoo, row.size_px]) for row in rows if (row.zoo, row.size_px) in times]
    if len(models) < 2:
        raise InputError(f"latencies: {len(models)} models of Table 2 were timed at their size; a front needs two")
    return Fronts(models, [row.zoo for row in rows if (row.zoo, row.size_px) not in times])


def fronts_frame(found: Fronts) -> pd.DataFrame:
    """A line for each model, fastest here first."""
    on = {time: set(map(id, found.front(time))) for time in (here, paper)}
    return pd.DataFrame(
        [
            {
                "Model": model.name,
                "Family": model.family,
                "Size px": model.row.size_px,
                "AP val, COCO (paper)": model.ap,
                "Latency here ms": model.here_ms,
                "Interval ms": f"{model.timed.low_ms:.1f} to {model.timed.high_ms:.1f}",
                "FPS, V100 (paper)": model.row.fps_v100,
                "Place here": found.place(model, here),
                "Place (paper)": found.place(model, paper),
                "On the front": _whose(id(model) in on[here], id(model) in on[paper]),
            }
            for model in sorted(found.models, key=here)
        ]
    ).set_index("Model")


def fronts_words(found: Fronts) -> list[str]:
    """What changes between the paper's times and those here."""
    ours, theirs = found.front(here), found.front(paper)
    sizes = sorted({model.row.size_px for model in found.models if model.row.size_px})
    taus = {f"the {_count(found, size)} of {size} px": found.tau(size) for size in sizes} if len(sizes) > 1 else {}
    orders = "".join(f", {tau:+.2f} of {whose}" for whose, tau in taus.items() if tau is not None)
    overall = found.tau()
    said = [] if overall is None else [
        f"Kendall tau-b of latency here and 1 / FPS on the paper's V100: {overall:+.2f} of all {len(found.models)} "
        f"models{orders}."
    ]  # fmt: skip
    moved = sorted(found.models, key=lambda model: (-abs(_change(found, model)), found.place(model, here)))
    told = [model for model in moved if abs(_change(found, model)) >= MOVED]
    faster, slower = ([m for m in told if (_change(found, m) < 0) is sign] for sign in (True, False))
    for words, some in (("Faster here than there", faster), ("Slower here than there", slower)):
        if some:
            said.append(f"{words}, by {MOVED} places or more: {'; '.join(_moved(found, model) for model in some)}.")
    said.append(
        f"Of the {len(found.models) - 1} pairs of neighbours in the order here {found.close} have intervals that "
        "overlap: a change by one place may be chance."
    )
    both = [model.name for model in ours if model in theirs]
    said.append(f"On both fronts: {', '.join(both) or 'none'}.")
    said += [f"On the paper's front, and not here: {_beaten(found, m, here)}." for m in theirs if m not in ours]
    said += [f"On the front here, and not the paper's: {_beaten(found, m, paper)}." for m in ours if m not in theirs]
    if found.untimed:
        said.append(f"Not timed here at their size: {', '.join(found.untimed)}.")
    return said


def _count(found: Fronts, size_px: int) -> int:
    return int(np.sum([model.row.size_px == size_px for model in found.models]))


def _change(found: Fronts, model: Model) -> int:
    return found.place(model, here) - found.place(model, paper)


def _moved(found: Fronts, model: Model) -> str:
    there, now = _ordinal(found.place(model, paper)), _ordinal(found.place(model, here))
    return f"{model.name}, {there} by the paper's FPS, {now} here"


def _beaten(found: Fronts, model: Model, time: Time) -> str:
    """A model with the best that keeps it off a front: by the time that the front is of."""
    better = [o for o in found.models if o is not model and time(o) <= time(model) and o.ap >= model.ap]
    best = max(better, key=lambda other: (other.ap, -time(other)))
    where = "here" if time is here else "in the paper"
    times = f"{time(best):.3g} ms against {time(model):.3g} ms"
    return f"{model.name} ({model.ap:g} AP), which {where} {best.name} beats ({best.ap:g} AP, {times})"


def _whose(ours: bool, theirs: bool) -> str:
    return {(True, True): "both", (True, False): "here", (False, True): "paper", (False, False): ""}[ours, theirs]


def _ordinal(number: int) -> str:
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
