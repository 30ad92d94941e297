"""A whole study replayed against a table of finished results, in a moment: what a strategy finds for its budget."""

import heapq
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from ..blocks.errors import InputError
from .curves import Curve, expected_end
from .halving import Halving
from .hypervolume import hypervolume
from .quantities import Direction
from .replay_improvement import Improving
from .replay_ranking import Prior
from .replay_sampler import Among, Exhausted, combination, distribution
from .replay_table import Combination, Table, quantity_of
from .stopping import FrontStopper, Stopper, most_promising

SamplerName = Literal["tpe", "nsga2", "nsga3", "random", "qmc", "ehvi"]
StopName = Literal["none", "front", "halving"]
# As Optuna has it; none twice; nor over a constraint; and of several the best by a proxy, while one beats MACs.
Proposals = Literal["any", "new", "fitting", "ranked"]

SAMPLERS: dict[SamplerName, Callable[[int], BaseSampler]] = {  # each as Optuna has it by default, but for ehvi
    "tpe": lambda seed: TPESampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga3": lambda seed: NSGAIIISampler(seed=seed),
    "random": RandomSampler,
    "qmc": lambda seed: QMCSampler(seed=seed, scramble=True),
    "ehvi": RandomSampler,  # for its first trials; it proposes nothing twice
}
STOPPERS: dict[StopName, Callable[[float], Stopper | None]] = {
    "none": lambda eta: None,
    "front": lambda eta: FrontStopper(),
    "halving": Halving,
}
FREE_IN_A_ROW = 200  # proposals that cost nothing before a strategy counts as having no more to say


@dataclass(frozen=True)
class Strategy:
    """How a search spends its budget."""

    sampler: SamplerName
    stop: StopName = "none"
    proposals: Proposals = "any"  # which of the sampler's become trials; it is asked again instead of the others

    @property
    def label(self) -> str:
        return " + ".join(
            [self.sampler, *(word for word in (self.proposals, self.stop) if word not in ("any", "none"))]
        )


@dataclass(frozen=True, eq=False)
class Problem:
    """What is searched for in a table."""

    table: Table
    objectives: tuple[str, ...]  # one score, and costs
    constraints: Mapping[str, float] = field(default_factory=dict)  # upper bounds of costs
    rungs: tuple[int, ...] = ()  # epochs after which is decided on stopping
    eta: float = 2.0  # of halving
    workers: int = 1

    @property
    def score(self) -> str:
        return next(name for name in self.objectives if name in self.table.scores)

    @property
    def costs(self) -> tuple[str, ...]:
        return tuple(name for name in self.objectives if name != self.score)

    @cached_property
    def directions(self) -> tuple[Direction, ...]:
        quantities = [quantity_of(name) for name in self.objectives]
        return tuple(quantity.direction for quantity in quantities if quantity)

    def excess(self, values: Combination) -> dict[str, float]:
        """How far a candidate is over each bound; negative where it is within."""
        costs = self.table.results[values].costs
        return {name: costs[name] - bound for name, bound in self.constraints.items()}

    def fits(self, values: Combination) -> bool:
        return values in self.table.results and all(excess <= 0 for excess in self.excess(values).values())

    @cached_property
    def fitting(self) -> tuple[Combination, ...]:
        """The candidates within the constraints."""
        return tuple(values for values in self.table.results if self.fits(values))

    def point(self, values: Combination) -> tuple[float, ...]:
        """What a candidate is worth: its score as the mean over the seeds, and the logarithms of its costs."""
        result = self.table.results[values]
        return tuple(
            result.final(name) if name == self.score else math.log(max(result.costs[name], 1e-12))
            for name in self.objectives
        )

    @cached_property
    def reference(self) -> tuple[float, ...]:
        """The worst of each objective among the candidates that fit."""
        points = np.array([self.point(values) for values in self.fitting])
        return tuple(
            float(column.min() if way == "maximize" else column.max())
            for column, way in zip(points.T, self.directions, strict=True)
        )

    def hypervolume(self, found: Sequence[Combination]) -> float:
        return hypervolume([self.point(values) for values in found], self.directions, self.reference)

    @cached_property
    def whole(self) -> float:
        """The hypervolume of the table's own front, which no search can exceed."""
        return self.hypervolume(self.fitting)


@dataclass(frozen=True)
class Trace:
    """One replayed study: after each whole training, the epochs spent so far and the share of the hypervolume."""

    spent: tuple[int, ...]
    share: tuple[float, ...]
    trained: int  # trials that were trained to their end
    stopped: int  # and not taken up again
    unfit: int  # trained to their end or stopped, though over a bound

    def reached(self, share: float) -> int | None:
        """The epochs spent when a share was first reached."""
        return next((spent for spent, got in zip(self.spent, self.share, strict=True) if got >= share), None)

    def at(self, spent: int) -> float:
        """The share after so many epochs."""
        place = np.searchsorted(self.spent, spent, side="right")
        return self.share[place - 1] if place else 0.0


def replay(problem: Problem, strategy: Strategy, budget: int, seed: int, until: float = math.inf) -> Trace:
    """Replay one study.

    A proposal that is not in the table costs nothing, as what cannot be built is never trained; the sampler is told
    that it was bad. What is over a bound is trained where it is proposed, and the sampler is told by how much it was
    over; what is proposed again is trained again. Where nothing new is left, stopped trials go on. A training sees one
    seed's curve; what is found is judged by the mean over the seeds.

    Args:
        problem: the table and what is searched for in it.
        strategy: how.
        budget: epochs trained in all (trainings, where the table has only final results).
        seed: of the sampler, and of the choice of the curves.
        until: share of the hypervolume with which it ends before the budget does.

    Raises:
        InputError: the sampler is not for these objectives.
    """
    return _Replay(problem, strategy, seed).run(budget, until)


class _Replay:
    def __init__(self, problem: Problem, strategy: Strategy, seed: int) -> None:
        self.problem, self.strategy = problem, strategy
        self.rng = np.random.default_rng(seed)
        self.stopper = STOPPERS[strategy.stop](problem.eta)
        self.distributions = {name: distribution(values) for name, values in problem.table.domains.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # that an interface of Optuna's may change
            inner = SAMPLERS[strategy.sampler](int(self.rng.integers(2**31)))
        sampler = inner
        self.prior = Prior(problem.table, problem.costs)
        if strategy.proposals != "any":
            allowed = tuple(problem.table.results) if strategy.proposals == "new" else problem.fitting
            sampler = Among(allowed, problem.table, inner, self.distributions, self.rng)
            if strategy.proposals == "ranked":
                sampler.pool, sampler.best = self.prior.pool, self.prior.best
        if strategy.sampler == "ehvi":
            sampler = self._improving(inner)
        self.study = optuna.create_study(directions=list(problem.directions), sampler=sampler)
        self.curves: dict[int, Curve] = {}
        self.stopped: dict[int, tuple[Combination, tuple[float, ...]]] = {}
        self.found: list[Combination] = []
        self.unfit = 0

    def _improving(self, inner: BaseSampler) -> Improving:
        problem = self.problem
        if len(problem.costs) != 1:
            raise InputError("ehvi: is for two objectives, a score and a cost; take tpe")
        allowed = problem.fitting if self.strategy.proposals in ("fitting", "ranked") else tuple(problem.table.results)
        sampler = Improving(allowed, problem.table, inner, self.distributions, self.rng)
        sampler.cost = lambda values: problem.table.results[values].costs[problem.costs[0]]
        sampler.score = lambda number: expected_end(self.curves.get(number), list(self.curves.values()))
        return sampler

    def run(self, budget: int, until: float) -> Trace:
        spent, steps, shares = 0, [], []
        under_way: list[tuple[int, int, Iterator[int]]] = [
            (0, worker, iter(())) for worker in range(self.problem.workers)
        ]
        while under_way:
            clock, worker, training = heapq.heappop(under_way)
            epochs = next(training, 0)
            if not epochs:
                if len(self.found) > len(shares):
                    steps.append(spent)
                    shares.append(self.problem.hypervolume(self.found) / self.problem.whole)
                    if shares[-1] >= until:
                        break
                begun = self._next()
                if begun is None:
                    continue  # this worker has nothing more to do
                training = begun
                epochs = next(training)
            if spent + epochs > budget:
                break
            spent += epochs
            heapq.heappush(under_way, (clock + epochs, worker, training))
        whole = sum(curve.final is not None for curve in self.curves.values())
        return Trace(tuple(steps), tuple(shares), whole, len(self.stopped), self.unfit)

    def _next(self) -> Iterator[int] | None:
        """Training of something new; where nothing is, the rest of one that was stopped."""
        if asked := self._ask():
            return self._train(*asked)
        number = most_promising(list(self.curves.values()), self.stopped)
        return None if number is None else self._rest(number, *self.stopped.pop(number))

    def _ask(self) -> tuple[Trial, Combination] | None:
        """The next trial that costs something."""
        for _ in range(FREE_IN_A_ROW):
            try:
                trial = self.study.ask(self.distributions)
            except Exhausted:
                return None
            values = combination(self.problem.table, trial.params)
            if values in self.problem.table.results:
                return trial, values
            self.study.tell(trial, state=TrialState.PRUNED)
        return None

    def _train(self, trial: Trial, values: Combination) -> Iterator[int]:
        """Give the epochs until each rung and until the end, as they are trained."""
        problem, result = self.problem, self.problem.table.results[values]
        seeds = result.scores[problem.score]
        scores = seeds[self.rng.integers(len(seeds))]
        costs = tuple(result.costs[name] for name in problem.costs)
        before = 0
        for rung in problem.rungs if self.stopper else ():
            if rung >= len(scores):
                break
            yield rung - before
            before = rung
            own = self.curves[trial.number] = Curve(trial.number, scores[:rung], costs)
            if self.stopper and self.stopper.decide(list(self.curves.values()), own, rung).stop:
                self.stopped[trial.number] = values, scores
                self._end(trial, values, scores[rung - 1])
                return
        yield len(scores) - before
        self._whole(trial.number, values, scores)
        self._end(trial, values, scores[-1])

    def _rest(self, number: int, values: Combination, scores: tuple[float, ...]) -> Iterator[int]:
        """Give the epochs that are left of a stopped trial, which goes on from its checkpoint and to its end."""
        yield len(scores) - len(self.curves[number].scores)
        self._whole(number, values, scores)

    def _whole(self, number: int, values: Combination, scores: tuple[float, ...]) -> None:
        costs = self.problem.table.results[values].costs
        self.curves[number] = Curve(number, scores, tuple(costs[name] for name in self.problem.costs), scores[-1])
        self.prior.learn(values, scores[-1])
        self.found += [values] if self.problem.fits(values) else []

    def _end(self, trial: Trial, values: Combination, score: float) -> None:
        costs = self.problem.table.results[values].costs
        self.unfit += not self.problem.fits(values)
        for name, excess in self.problem.excess(values).items():
            trial.set_constraint(name, excess)
        self.study.tell(
            trial, [score if name == self.problem.score else costs[name] for name in self.problem.objectives]
        )
