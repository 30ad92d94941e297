"""The head of a study: its question, what was asked, and what came out in a few figures and sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...search.pareto import as_losses
from ...search.quantities import QUANTITIES, shown
from ...search.starting import start_words
from ...search.stored_study import recipe_of
from ...search.study import SHAPES, UNLIMITED, Study
from ..points import on_coco
from ..spent import duration, spent
from .material import Material, Section


def overview(material: Material) -> Section:
    """Never empty: a study that has not begun has a question, too."""
    study = material.record.study
    content = {
        "summary": _summary(material),
        "sentences": [],
        "tiles": _tiles(material),
        "facts": study_facts(study),
        "scale": _scale(study),
    }
    return Section("overview", "Overview", "overview.html.j2", content, _remarks(material))


def _summary(material: Material) -> str:
    record, results = material.record, material.results
    counts = Counter(row.state for row in record.rows)
    of = "" if record.study.trials == UNLIMITED else f" of {record.study.trials:,}"
    words = [f"{len(results):,}{of} trials trained"]
    named = {"stopped": "stopped early", "refused": "refused", "failed": "failed", "running": "running"}
    words += [f"{counts[state]} {name}" for state, name in named.items() if counts[state]]
    reused = sum(row.same_as is not None for row in record.rows)
    words += [f"{reused} repeated"] if reused else []
    words += [f"{len(material.front)} on the Pareto front"] if results and len(record.study.objectives) > 1 else []
    return "; ".join([*words, f"{duration(spent(record.rows))} of training"]) + "." + _against_bases(material)


def _against_bases(material: Material) -> str:
    """Whether the search found anything better than what it began from."""
    objectives = material.record.study.objectives
    results = [row for row in material.results if all(name in row.figures for name in objectives)]
    if not results:
        return ""
    losses = as_losses([[row.figures[name] for name in objectives] for row in results], list(objectives.values()))
    sentences = []
    for place, base in enumerate(results):
        if not base.reference:
            continue
        better = (losses <= losses[place]).all(axis=1) & (losses < losses[place]).any(axis=1)
        numbers = [str(results[index].number) for index in np.flatnonzero(better)]
        if len(numbers) > 6:
            sentences.append(f" The reference {base.reference} is dominated by {len(numbers)} trials.")
        elif numbers:
            found = f"trial{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
            sentences.append(f" The reference {base.reference} is dominated by {found}.")
        else:
            sentences.append(f" No trial dominates the reference {base.reference}: it is on the front.")
    return "".join(sentences)


def _tiles(material: Material) -> list[tuple[str, str, str]]:
    """A few figures: what, how much, and a word more."""
    study, results = material.record.study, material.results
    tiles = []
    for name, direction in study.objectives.items():
        known = [row for row in results if name in row.figures]
        if known:
            best = (max if direction == "maximize" else min)(known, key=lambda row: row.figures[name])
            extreme = {"maximize": "Highest", "minimize": "Lowest"}[direction]
            tiles.append(
                (f"{extreme} {QUANTITIES[name].title}", shown(name, best.figures[name]), f"trial {best.number}")
            )
    if len(study.objectives) > 1 and results:
        tiles.append(("On the front", str(len(material.front)), f"of {len(results):,} trained"))
    if results:
        each = f"{_epochs(study)} each{_seeds(study).split(':')[0]}"
        tiles.append(("Training", duration(spent(material.record.rows)), each))
    return tiles


def study_facts(study: Study) -> list[tuple[str, str]]:
    """The study as it is resolved, in words."""
    ways = {"maximize": "high", "minimize": "low"}
    objectives = ", ".join(f"{QUANTITIES[name].title} {ways[way]}" for name, way in study.objectives.items())
    bounds = ", ".join(f"{QUANTITIES[name].title} ≤ {shown(name, bound)}" for name, bound in study.constraints.items())
    references = ", ".join(study.compared)
    facts = [
        ("Wanted", objectives),
        ("Bounds", bounds),
        ("Scaled", ", ".join(study.bases)),
        ("Varied", "; ".join(f"{name} {_values(study, name)}" for name in study.space.parameters)),
        ("References", references),
        ("Sampler", f"{study.sampler.kind}, seed {study.sampler.seed}" if study.space.parameters else ""),
        ("Trained", f"{_data(study)}, {_epochs(study)} each by recipe {Path(study.recipe).stem}{_seeds(study)}"),
        ("Stopped early", "" if study.fidelity.stop == "none" else f"by {study.fidelity.stop}"),
    ]
    return [(term, words) for term, words in facts if words]


def _values(study: Study, name: str) -> str:
    parameter = study.space.parameters[name].model_dump()
    if parameter.get("choices") is not None:
        return " | ".join(map(str, parameter["choices"]))
    step = f" by {parameter['step']}" if parameter.get("step") else ""
    return f"{parameter.get('low')} … {parameter.get('high')}{step}"


def _epochs(study: Study) -> str:
    recipe: Mapping[str, Any] = study.contents.recipe if study.contents else recipe_of(study).model_dump()
    return f"{recipe['epochs']} epoch{'s' * (recipe['epochs'] != 1)}"


def _seeds(study: Study) -> str:
    count = len(study.training_seeds)
    return f", with {count} seeds: AP is their mean" if count > 1 else ", once"


def _data(study: Study) -> str:
    """Where it lies is in the study's file; a page has its name."""
    path = Path(study.data)
    name = f"{path.parent.name}/{path.name}".lstrip("/") if path.suffix else path.name
    return "the embedded, drawn data set shapes" if study.data == SHAPES else name


def _scale(study: Study) -> str:
    """That figures of a small study are not those of papers; of COCO itself they may be."""
    if on_coco(study):
        return ""
    how = " from scratch" if study.start is None else ""
    return (
        f"Every detector was trained{how} for {_epochs(study)} on {_data(study)}{_seeds(study)}. "
        "AP compares them with each other, not with published ones; small differences may be chance."
    )


def _remarks(material: Material) -> list[str]:
    rows = material.record.rows
    remarks = [start_words(material.record.study)] if material.record.study.start else []
    if not rows:
        remarks.append("no trial has begun; there is nothing to draw")
    elif not material.results:
        remarks.append("no trial is complete, so there is no front to draw; the reasons are below")
    wanted = material.record.study.objectives
    lacking = [str(row.number) for row in material.results if not wanted.keys() <= row.figures.keys()]
    if lacking:
        titles = " and ".join(QUANTITIES[name].title for name in wanted)
        remarks.append(f"not on the front, which is of {titles}, for want of a figure: trial {_some(lacking)}")
    broken = [str(row.number) for row in rows if not row.finite]
    if broken:
        remarks.append(f"left out, with figures that are not numbers: trial {_some(broken)}")
    return remarks


def _some(numbers: Sequence[str]) -> str:
    return ", ".join(numbers[:20]) + (f" and {len(numbers) - 20} more" if len(numbers) > 20 else "")
