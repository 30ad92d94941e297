"""What is said of the chosen and of the repeated: a table's rows for a person, plain data for a machine."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .finals import Final
from .quantities import QUANTITIES, shown
from .repeats import Scores, agreement, means, neighbours
from .rows import Row
from .status import StudyRecord


def final_rows(record: StudyRecord, final: Final) -> list[tuple[str, str, str, str]]:
    """A line for each quantity: its name, the study's bound, what the study had of it, and what came of it in full."""
    study, figures = record.study, final.row.figures
    counted = (*study.constraints, *(name for name in study.objectives if not QUANTITIES[name].trained))
    lines = [
        (
            QUANTITIES[name].title,
            shown(name, study.constraints[name]) if name in study.constraints else "",
            shown(name, figures[name]) if name in figures else "",
            "the same, by count",
        )
        for name in dict.fromkeys(counted)
        if name != "latency_ms"
    ]
    test = final.test
    return [
        ("Latency", *_latency(record, final)),
        *lines,
        ("AP (val)", "", f"{figures['ap']:.4f}", f"{final.facts.ap:.4f}"),
        ("AP50 (val)", "", f"{figures['ap50']:.4f}", f"{final.facts.ap50:.4f}"),
        ("AP (test)", "", "never seen", "no test split" if test is None else f"{test['ap']:.4f}"),
        ("AP50 (test)", "", "never seen", "no test split" if test is None else f"{test['ap50']:.4f}"),
    ]


def final_json(record: StudyRecord, final: Final) -> dict[str, Any]:
    """The same as plain data: each of budget, predicted or measured in the study, and in full."""
    study, figures = record.study, final.row.figures
    bound, taken = study.constraints.get("latency_ms"), final.latency.summary
    return {
        "folder": str(final.run.path),
        "budget": dict(study.constraints),
        "in_study": {
            **figures,
            "latency_ms": figures.get("latency_ms"),
            "latency_is": "measured" if study.latency.predict is None else "predicted",
        },
        "in_full": {
            "epochs": final.facts.epochs,
            "seconds": final.facts.seconds,
            "ap": final.facts.ap,
            "ap50": final.facts.ap50,
            "test": None if final.test is None else {name: final.test[name] for name in ("ap", "ap50", "epoch")},
            "latency_ms": taken.median_ms,
            "latency_low_ms": taken.low_ms,
            "latency_high_ms": taken.high_ms,
            "latency_refusal": final.latency.refusal,
            "within_budget": None if bound is None else taken.median_ms <= bound,
        },
    }


def _latency(record: StudyRecord, final: Final) -> tuple[str, str, str]:
    """Budget, as predicted or measured in the study, and as measured now."""
    study, known = record.study, final.row.figures.get("latency_ms")
    bound, taken = study.constraints.get("latency_ms"), final.latency.summary
    how = "measured" if study.latency.predict is None else "predicted"
    verdict = "" if bound is None or taken.median_ms <= bound else ", above the budget"
    return (
        "" if bound is None else shown("latency_ms", bound),
        "" if known is None else f"{shown('latency_ms', known)} {how}",
        f"{shown('latency_ms', taken.median_ms)} measured ({taken.low_ms:.2f} to {taken.high_ms:.2f}){verdict}",
    )


def repeats_rows(rows: Sequence[Row], scores: Scores) -> list[tuple[str, str, str, str, str]]:
    """A line for each finalist, the best in full first."""
    by_number = {row.number: row for row in rows}
    return [
        (
            str(it.number),
            by_number[it.number].name,
            f"{by_number[it.number].figures['ap']:.4f}",
            f"{it.mean:.4f}",
            "one seed" if it.spread is None else f"{it.spread:.4f}",
        )
        for it in means(scores)
    ]


def repeats_lines(rows: Sequence[Row], scores: Scores) -> list[str]:
    """What neighbours differ by, and how far the study's order held."""
    lines = [difference.words for difference in neighbours(scores)]
    found = agreement({row.number: row.figures["ap"] for row in rows}, scores)
    if found is not None:
        lines.append(found.words)
    elif len(rows) > 1:
        lines.append("no rank correlation: all are alike in the study or in full")
    return lines


def repeats_json(rows: Sequence[Row], scores: Scores) -> dict[str, Any]:
    """The same as plain data."""
    found = agreement({row.number: row.figures["ap"] for row in rows}, scores)
    in_study = {row.number: row.figures["ap"] for row in rows}
    return {
        "scores": {str(number): {str(seed): ap for seed, ap in its.items()} for number, its in scores.items()},
        "means": [{**asdict(it), "in_study": in_study[it.number]} for it in means(scores)],
        "differences": [{**asdict(it), "inside_the_noise": it.inside_the_noise} for it in neighbours(scores)],
        "agreement": None if found is None else asdict(found),
    }
