"""Which parameters of a study's space the trained figures depend on, and how sure that is."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from ..blocks.errors import InputError, nearest
from ..scaler.latency.samples import interval
from ..search.past import Coding
from ..search.quantities import QUANTITIES
from ..search.rows import Row, comparable
from ..search.status import StudyRecord

if TYPE_CHECKING:
    import optuna

Method = Literal["fanova", "mdi", "ped-anova"]
OF_FORESTS = ("fanova", "mdi")  # they need scikit-learn
FEWEST = 4  # trials below which nothing is said
FEW_PER_PARAMETER = 10  # trials below which it is said that they are few
BEST_AT_LEAST = 5  # trials that PED-ANOVA compares with the others. Source: Optuna's advice
TREES = 32
RESAMPLES = 30
COLUMNS = ["objective", "method", "parameter", "importance", "low", "high", "trials", "remark"]


def importance_frame(
    record: StudyRecord,
    *,
    methods: Sequence[Method] = get_args(Method),
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """A line for each trained objective, method and parameter; the most important parameter first.

    What is only counted, as FLOPs, follows from the parameters exactly and is not asked about. Left out are the models
    that the study compares with, which have no parameters, trials that ended early, and repeated detectors.

    Args:
        record: the study.
        methods: fanova, the share of the variance that a random forest lays to a parameter alone (Hutter et al., 2014);
            mdi, by how much a forest's splits by it lessen the variance; ped-anova, by how much the best tenth of the
            trials (five at least) are set apart by it (Watanabe et al., 2023).
        resamples: times that the trials are drawn with replacement, for the interval.
        confidence: of the percentile interval from `low` to `high`. It may miss the estimate a little: a resample has
            fewer different trials.
        seed: of the forests and the resamples.

    Columns:
        importance, low, high: shares that sum to 1 over the parameters; NaN where nothing can be said.
        trials: that it is from.
        remark: why nothing can be said, or that the trials are few.

    Raises:
        InputError: an unknown method.
    """
    for method in methods:
        if method not in get_args(Method):
            raise InputError(f"importance: there is no method {method!r}; {nearest(method, get_args(Method))}")
    trained = [name for name in record.study.objectives if QUANTITIES[name].trained]
    lines = [
        line
        for objective in trained
        for method in methods
        for line in _lines(record, objective, method, resamples, confidence, seed)
    ]
    return pd.DataFrame(lines, columns=COLUMNS)


def _lines(
    record: StudyRecord, objective: str, method: Method, resamples: int, confidence: float, seed: int
) -> list[dict[str, Any]]:
    distributions = record.study.distributions()
    rows = [row for row in comparable(record.rows) if row.values.keys() == distributions.keys()]
    rows = [row for row in rows if objective in row.figures]
    remark = _remark(method, rows, objective, len(distributions))
    unknown = np.full(len(distributions), np.nan)
    shares, low, high = unknown, unknown, unknown
    if remark is None or remark.startswith("few"):
        trials = _trials(record, rows, objective)
        shares = _shares(trials, list(distributions), method, seed)
        rng = np.random.default_rng(seed)
        drawn = [
            _shares([trials[i] for i in rng.integers(len(trials), size=len(trials))], list(distributions), method, seed)
            for _ in range(resamples)
        ]
        known = np.array([one for one in drawn if not np.isnan(one).any()]).reshape(-1, len(distributions))
        if len(known):
            low, high = np.array([interval(column, confidence) for column in known.T]).T
    order = np.argsort(-shares, kind="stable")
    names = list(distributions)
    return [
        {
            "objective": objective,
            "method": method,
            "parameter": names[i],
            "importance": shares[i],
            "low": low[i],
            "high": high[i],
            "trials": len(rows),
            "remark": remark or "",
        }
        for i in order
    ]


def _remark(method: Method, rows: Sequence[Row], objective: str, parameters: int) -> str | None:
    if method in OF_FORESTS and find_spec("sklearn") is None:
        return "needs scikit-learn: pip install 'catscale[importance]'"
    if len(rows) < FEWEST:
        return f"nothing can be said from {len(rows)} trials; {FEWEST} is the least"
    if len({row.figures[objective] for row in rows}) == 1:
        return "all trials are equally good"
    if len(rows) < FEW_PER_PARAMETER * parameters:
        return f"few trials ({len(rows)} for {parameters} parameters): an interval this side of chance may be one"
    return None


def _trials(record: StudyRecord, rows: Sequence[Row], objective: str) -> list["optuna.trial.FrozenTrial"]:
    """The trials as evaluators take them: numbers to choose from are ranks, and less is better."""
    from optuna.trial import create_trial

    distributions = record.study.distributions()
    coding = Coding(record.study, distributions)
    sign = -1 if record.study.objectives[objective] == "maximize" else 1
    return [
        create_trial(
            value=sign * row.figures[objective],
            params=coding.encoded({name: _typed(kind, row.values[name]) for name, kind in distributions.items()}),
            distributions=coding.distributions,
        )
        for row in rows
    ]


def _typed(kind: Any, value: object) -> Any:
    """A value as the space has it, from the word for it in a table."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(kind, CategoricalDistribution):
        return next(choice for choice in kind.choices if str(choice) == str(value))
    return int(str(value)) if isinstance(kind, IntDistribution) else float(str(value))


@contextmanager
def _no_news() -> Iterator[None]:
    """Let Optuna not tell of each study in memory."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _shares(
    trials: Sequence["optuna.trial.FrozenTrial"], names: Sequence[str], method: Method, seed: int
) -> np.ndarray:
    """How much each parameter matters (n,), summing to 1; NaN where no difference is seen."""
    import optuna
    from optuna import importance
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings(), _no_news():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # that a resample has few different trials
        match method:
            case "fanova":
                evaluator = importance.FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
            case "mdi":
                evaluator = importance.MeanDecreaseImpurityImportanceEvaluator(n_trees=TREES, seed=seed)
            case "ped-anova":
                best = max(0.1, min(0.5, BEST_AT_LEAST / len(trials)))
                evaluator = importance.PedAnovaImportanceEvaluator(target_quantile=best)
        study = optuna.create_study()
        study.add_trials(trials)
        found = importance.get_param_importances(study, evaluator=evaluator, params=list(names), normalize=False)
    shares = np.array([found[name] for name in names])
    total = shares.sum()
    return shares / total if np.isfinite(total) and total > 0 else np.full(len(names), np.nan)
