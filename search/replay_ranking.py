"""Proxies in a replay: the columns of a table that are known before a training, audited on what was trained so far."""

from collections.abc import Sequence

import numpy as np

from .proxies.audit import audit
from .proxies.ranking import choose
from .replay_table import Combination, Table
from .settings import Proxies

DRAWS = 500  # of an audit; there are thousands in a comparison of strategies
SETTINGS = Proxies()


class Prior:
    """What a replayed study knows of its candidates before it trains them."""

    def __init__(self, table: Table, costs: Sequence[str]) -> None:
        self.table, self.costs = table, costs
        self.trained: dict[Combination, float] = {}
        self.used: str | None = None

    def learn(self, values: Combination, score: float) -> None:
        """Note a finished training."""
        self.trained[values] = score

    def pool(self) -> int:
        """How many proposals there are to be to choose from: one where no proxy is in use."""
        self.used = self._in_use() if len(self.trained) >= SETTINGS.after else None
        return SETTINGS.pool if self.used else 1

    def best(self, pool: Sequence[Combination]) -> int:
        """The place of the proposal that the proxy in use speaks for; the first where none is."""
        return choose(self._losses(pool), self._losses(list(self.trained))) if self.used else 0

    def _in_use(self) -> str | None:
        known = [self.table.results[values].costs for values in self.trained]
        scores = {name: [figures[name] for figures in known] for name in self._kinds}
        macs = [figures["macs"] for figures in known]
        audits = audit(list(self.trained.values()), macs, scores, SETTINGS.after, DRAWS)
        return next((one.kind for one in audits if one.in_use), None)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return (*self.table.proxies, *({"activations"} & set(self.table.costs)))

    def _losses(self, some: Sequence[Combination]) -> np.ndarray:
        known = [self.table.results[values].costs for values in some]
        return np.array([[-figures[str(self.used)], *(figures[name] for name in self.costs)] for figures in known])
