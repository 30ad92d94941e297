"""What a study had found after each training, beside random draws from the very same trials.

The share of the hypervolume of all its finished trials, in AP and the logarithms of costs, up to the worst of each.
The draws say whether the search found its best sooner than a shuffled deck would have dealt it. They are no random
search: that would have trained other detectors.
"""

from dataclasses import dataclass
from math import lgamma, prod

import numpy as np
import pandas as pd

from ..scaler.latency.samples import interval
from ..search.pareto import as_losses
from ..search.quantities import QUANTITIES
from ..search.rows import Row, comparable
from ..search.status import StudyRecord

PERMUTATIONS = 200
MOST_CELLS = 3_000_000  # of the exact grid; beyond, so many points are drawn instead:
POINTS = 20_000
GOES_ON = "goes on as trial"  # in the reason of a stopped trial that another one has taken up, with its costs
COLUMNS = [
    "number", "trials", "epochs", "hours", "share", "random_epochs", "random_hours", "random", "random_low",
    "random_high", "exact",
]  # fmt: skip


def progress_frame(
    record: StudyRecord, *, permutations: int = PERMUTATIONS, confidence: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """A line for each finished trial with a result of its own, in the order in which they were begun.

    Models that the study only compares with are left out. Trainings that were stopped or failed find nothing, and cost.

    Columns:
        number: of the trial.
        trials, epochs, hours: trained so far, all seeds together.
        share: of the hypervolume of all finished trials that was found by then; NaN where they are all alike.
        random: the expected share of as many draws without replacement from the same finished trials.
        random_low, random_high: the middle `confidence` of the shares of shuffled orders.
        random_epochs, random_hours: the expected cost of as many draws.
        exact: whether volumes are, else they are of points drawn at random, which errs by less than a hundredth.
    """
    rows = [row for row in comparable(record.rows) if not row.reference]
    names = list(record.study.objectives)
    rows = sorted((row for row in rows if all(name in row.figures for name in names)), key=lambda row: row.number)
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    cells = _cells(np.array([_point(record, row) for row in rows]), seed)
    rng = np.random.default_rng(seed)
    shuffled = np.array([cells.shares(rng.permutation(len(rows))) for _ in range(permutations)])
    bands = [interval(column, confidence) for column in shuffled.T] if permutations else [(np.nan, np.nan)] * len(rows)
    spent = _spent(record)
    costs = np.array([spent[row.number] for row in rows])
    frame = pd.DataFrame(
        {
            "number": [row.number for row in rows],
            **dict(zip(("trials", "epochs", "hours"), costs.T, strict=True)),
            "share": cells.shares(np.arange(len(rows))),
            **{
                f"random_{name}": np.arange(1, len(rows) + 1) * costs[-1, place] / len(rows)
                for place, name in ((1, "epochs"), (2, "hours"))
            },
            "random": cells.expected(),
            **dict(zip(("random_low", "random_high"), np.array(bands).T, strict=True)),
            "exact": cells.exact,
        }
    )
    return frame.astype({"trials": int, "epochs": int}).reindex(columns=COLUMNS)


@dataclass(frozen=True, eq=False)
class Cells:
    """A box cut into cells, and which of N points dominate each: those with no coordinate above its own."""

    volumes: np.ndarray  # (C,)
    dominated: np.ndarray  # (C, N) bool
    exact: bool

    @property
    def whole(self) -> float:
        """The volume that all points dominate."""
        return float(self.volumes[self.dominated.any(axis=1)].sum())

    def shares(self, order: np.ndarray) -> np.ndarray:
        """Of the whole, what the first 1 … N points of an order dominate; NaN where the whole is nothing."""
        count = self.dominated.shape[1]
        rank = np.empty(count, dtype=np.int32)
        rank[order] = np.arange(count)
        first = np.where(self.dominated, rank, count).min(axis=1)
        return self._of_whole(np.bincount(first, self.volumes, minlength=count + 1)[:count].cumsum())

    def expected(self) -> np.ndarray:
        """The same, expected of 1 … N points drawn without replacement.

        A cell that d of N points dominate is missed by n draws with probability C(N - d, n) / C(N, n).
        """
        count = self.dominated.shape[1]
        by_dominators = np.bincount(self.dominated.sum(axis=1), self.volumes, minlength=count + 1)
        found = [
            sum(volume * (1 - _missed(count, d, n)) for d, volume in enumerate(by_dominators) if d and volume)
            for n in range(1, count + 1)
        ]
        return self._of_whole(np.array(found))

    def _of_whole(self, volumes: np.ndarray) -> np.ndarray:
        return volumes / self.whole if self.whole > 0 else np.full(len(volumes), np.nan)


def _missed(count: int, dominators: int, draws: int) -> float:
    left = count - dominators
    if draws > left:
        return 0.0
    logs = lgamma(left + 1) - lgamma(left - draws + 1) - lgamma(count + 1) + lgamma(count - draws + 1)
    return float(np.exp(logs))


def _cells(losses: np.ndarray, seed: int) -> Cells:
    """The box between the best and the worst of each loss (N, k): cut at every value, or sampled where that is much."""
    edges = [np.unique(column) for column in losses.T]
    if prod(len(some) - 1 for some in edges) * len(losses) <= MOST_CELLS:
        lows = np.stack(np.meshgrid(*(some[:-1] for some in edges), indexing="ij"), axis=-1).reshape(-1, len(edges))
        sizes = np.stack(np.meshgrid(*map(np.diff, edges), indexing="ij"), axis=-1).reshape(-1, len(edges))
        return Cells(sizes.prod(axis=1), _dominated(lows, losses), True)
    low, high = losses.min(axis=0), losses.max(axis=0)
    points = np.random.default_rng(seed).uniform(low, high, size=(POINTS, len(low)))
    return Cells(np.full(POINTS, np.prod(high - low) / POINTS), _dominated(points, losses), False)


def _dominated(places: np.ndarray, losses: np.ndarray) -> np.ndarray:
    found = np.ones((len(places), len(losses)), dtype=bool)
    for column in range(losses.shape[1]):
        found &= losses[:, column] <= places[:, column, None]
    return found


def _point(record: StudyRecord, row: Row) -> np.ndarray:
    """All to be minimised; costs as logarithms, so that a tenth off counts alike everywhere."""
    values = [
        row.figures[name] if QUANTITIES[name].trained else np.log(max(row.figures[name], 1e-12))
        for name in record.study.objectives
    ]
    return as_losses([values], list(record.study.objectives.values()))[0]


def _spent(record: StudyRecord) -> dict[int, tuple[int, int, float]]:
    """Trainings, epochs and hours until each trial's end, by number."""
    trials, epochs, hours = 0, 0, 0.0
    spent = {}
    for row in sorted(record.rows, key=lambda row: row.number):
        mine = row.state in ("complete", "stopped", "failed") and row.same_as is None and not row.reference
        if mine and GOES_ON not in row.reason:
            trials += 1
            epochs += sum(len(run.read_metrics()) for run in record.study.runs_of(record.run_folder(row)).values())
            hours += row.figures.get("seconds", 0.0) / 3600
        spent[row.number] = trials, epochs, hours
    return spent
