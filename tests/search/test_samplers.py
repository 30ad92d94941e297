"""Who proposes what: each candidate once, none that does not fit, the same for a seed."""

from typing import Any, get_args

import optuna
import pytest
from catscale.blocks.errors import InputError
from catscale.search.candidates import Bases, over_budget
from catscale.search.feasible import Feasible
from catscale.search.past import Coding, past
from catscale.search.samplers import Untried
from catscale.search.settings import SamplerKind
from catscale.search.study import Study
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.WARNING)
KINDS = get_args(SamplerKind)
SPACE: dict[str, Any] = {
    "width": {"choices": [0.5, 0.125, 0.25]},
    "compound": {"choices": [0.5, 0.75, 1.0]},
    "activation": {"choices": ["silu", "leaky_relu"]},
}


def study_of(**changes: Any) -> Study:
    document = {"name": "s", "base": "yolov7-tiny", "space": SPACE, "objectives": ["ap", "gflops"], "trials": 50}
    return Study.model_validate({**document, "size_px": 64, "constraints": "params <= 4.5e5", **changes})


def proposals(study: Study, count: int, restarts: bool = False) -> list[dict[str, Any]]:
    """What is proposed, each answered by figures that follow from it."""
    feasible = Feasible(study, Bases(study))
    opened = optuna.create_study(directions=list(study.objectives.values()))
    found: list[dict[str, Any]] = []
    sampler = Untried(study)
    while len(found) < count:
        if restarts or not found:
            sampler = opened.sampler = Untried(study)
            sampler.among = feasible
        if sampler.exhausted(opened):
            break
        trial = opened.ask(sampler.distributions)
        found.append(trial.params)
        figures = feasible.bases.candidate(trial.params).figures
        opened.tell(trial, [0.1 + figures["params"] / 1e7, figures["gflops"]])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_proposes_each_candidate_that_fits_once_and_says_when_none_is_left(kind: str) -> None:
    study = study_of(sampler={"kind": kind, "startup": 3})
    found = proposals(study, 50)
    bases = Bases(study)
    fits = []
    for values in study.space.combinations():
        try:
            fits += [values] * (not over_budget(study, bases.candidate(values).figures))
        except InputError:
            continue
    assert len(found) == len(fits) == 8 < 18
    assert all(values in found for values in fits)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_proposes_the_same_also_after_a_restart(kind: str) -> None:
    first, again, other = (
        proposals(study_of(sampler={"kind": kind, "startup": 3, "seed": seed}), 7, restarts)
        for seed, restarts in ((1, False), (1, True), (2, True))
    )
    assert first == again
    assert kind == "grid" or first != other


def test_a_sampler_learns_though_a_reference_was_first(monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(sampler={"kind": "nsga2", "startup": 2}, constraints={}, space={"width": {"low": 0.1, "high": 1}})
    sampler = Untried(study)
    opened = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    opened.enqueue_trial({}, user_attrs={"reference": "yolov7-tiny"})
    opened.tell(opened.ask(), [0.3, 9.0])
    for _ in range(6):
        trial = opened.ask(sampler.distributions)
        opened.tell(trial, [0.5 - trial.params["width"], trial.params["width"]])
    generations = [trial.system_attrs.get("NSGAIISampler:generation") for trial in opened.trials[1:]]
    assert generations == [0, 0, 1, 1, 2, 2]


def test_choices_that_are_numbers_are_ranks_to_samplers_and_words_are_not() -> None:
    study = study_of()
    coding = Coding(study, study.distributions())
    assert coding.distributions["width"] == optuna.distributions.IntDistribution(0, 2)
    assert isinstance(coding.distributions["activation"], optuna.distributions.CategoricalDistribution)
    assert coding.encoded({"width": 0.5, "compound": 0.5, "activation": "silu"}) == {
        "width": 2, "compound": 0, "activation": "silu",
    }  # fmt: skip


@given(st.lists(st.integers(1, 64) | st.floats(0.1, 9), min_size=1, max_size=8, unique=True), st.data())
def test_ranks_lead_back_to_the_values_and_keep_their_order(choices: list[float], data: st.DataObject) -> None:
    study = study_of(space={"width": {"choices": choices}})
    coding = Coding(study, study.distributions())
    one, other = (data.draw(st.sampled_from(choices)) for _ in range(2))
    first, second = (coding.encoded({"width": value}) for value in (one, other))
    assert coding.decoded(first) == {"width": one}
    assert (first["width"] < second["width"]) == (one < other)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(1e5, 7e6), st.floats(1e5, 4e6), st.integers(0, 9), st.sampled_from(["random", "qmc", "tpe"])
)  # fmt: skip
def test_what_is_let_through_meets_the_bounds_exactly(params: float, activations: float, seed: int, kind: str) -> None:
    space = {"width": {"low": 0.05, "high": 1.0}, "compound.backbone": {"choices": [0.5, 1, 1.5]},
             "exponent": {"low": 0.0, "high": 1.5}, "recipe.lr0": {"low": 1e-3, "high": 0.1, "log": True}}  # fmt: skip
    study = study_of(space=space, constraints={"params": params, "activations": activations},
                     sampler={"kind": kind, "seed": seed, "startup": 2})  # fmt: skip
    bases = Bases(study)
    for values in proposals(study, 4):
        figures = bases.candidate(values).figures
        assert figures["params"] <= params
        assert figures["activations"] <= activations
        assert 1e-3 <= values["recipe.lr0"] <= 0.1


def test_what_a_measurement_refused_is_a_violated_constraint_to_the_sampler() -> None:
    study = study_of(constraints={"latency_ms": 8})
    sampler = Untried(study)
    opened = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for latency_ms, state in ((12.0, TrialState.PRUNED), (4.0, TrialState.COMPLETE)):
        trial = opened.ask(sampler.distributions)
        trial.set_user_attr("figures", {"gflops": 1.0, "latency_ms": latency_ms})
        opened.tell(trial, [0.2, 1.0] if state is TrialState.COMPLETE else None, state=state)
    copy = past(study, opened, Coding(study, sampler.distributions), optuna.samplers.TPESampler())
    assert [trial.constraints["latency_ms"] for trial in copy.trials] == [0.5, -0.5]
    assert [trial.values for trial in copy.trials] == [[0.2, 1.0], [0.2, 1.0]]


def test_a_prediction_is_a_bound_before_a_trial() -> None:
    study = study_of(constraints={"latency_ms": 5})
    bases = Bases(study, predict=lambda architecture: 100 * architecture.cost().params / 6.2e6)
    feasible = Feasible(study, bases)
    fits = list(feasible.left(()))
    assert 0 < len(fits) < 12
    assert all(bases.candidate(values).figures["latency_ms"] <= 5 for values in fits)
    strict = study_of(constraints={"latency_ms": 1e-3})
    with pytest.raises(InputError, match=r"the space's 18 candidates fits; the nearest, .* latency_ms .* above"):
        Feasible(strict, Bases(strict, predict=lambda architecture: 9.0)).check()


def test_memory_is_a_bound_and_an_objective() -> None:
    study = study_of(constraints={"memory": 4e6}, objectives=["ap", "memory"])
    bases = Bases(study)
    fits = list(Feasible(study, bases).left(()))
    assert 0 < len(fits) < 12
    assert max(bases.candidate(values).figures["memory"] for values in fits) <= 4e6


def test_a_continuum_in_which_nothing_fits_is_refused() -> None:
    study = study_of(space={"width": {"low": 0.5, "high": 1.0}}, constraints={"params": 1000, "activations": 1e12})
    with pytest.raises(InputError, match=r"none of 2,000 candidates drawn at random fits, as none keeps params <= "):
        Feasible(study, Bases(study)).check()


@pytest.mark.parametrize(
    "space",
    [
        {"stages": {"choices": [3, 4]}, "resolution": {"choices": [64, 128]}},
        {"extend": {"choices": [1, 2]}, "form": {"choices": ["parallel", "grouped"]}},
        {"aux": {"choices": ["none", "partial"]}, "rep": {"choices": ["none", "planned@backbone"]}},
        {"depth.backbone.p2": {"choices": [0.5, 1]}, "width.neck": {"choices": [0.5, 1]}},
        {"implicit": {"choices": [True, False]}, "transition": {"choices": ["downc", "pool_conv"]}},
    ],
)
def test_the_table_counts_every_scaling_as_its_candidates_are(space: dict[str, Any]) -> None:
    study = study_of(space=space, constraints={}, size_px=None if "resolution" in space else 64)
    bases = Bases(study)
    table = Feasible(study, bases).table
    assert table.looked_at == study.combinations
    assert len(table) > 0
    for row in range(len(table)):
        figures = bases.candidate(table.values(row)).figures
        assert {name: column[row] for name, column in table.figures.items()} == figures


@pytest.mark.parametrize("objectives", [["ap"], ["ap", "latency_ms"], ["ap", "gflops", "params"]])
def test_expected_improvement_wants_a_score_and_a_cost_known_beforehand(objectives: list[str]) -> None:
    with pytest.raises(ValueError, match="ehvi is for two objectives, ap or ap50 to be maximised and a cost"):
        study_of(sampler={"kind": "ehvi"}, objectives=objectives)
