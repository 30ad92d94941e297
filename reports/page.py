"""The page of a report: one file that opens by itself, without a network."""

import html
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from ..blocks.errors import InputError
from ..scaler.documents import read_text, write_text
from ..scaler.figure_style import PAGE_COLOURS, save
from ..search.lock_file import lock_lines
from ..search.quantities import QUANTITIES
from ..search.rows import Row, comparable, front
from ..search.starting import start_words
from ..search.status import StudyRecord
from ..search.study import SHAPES
from .figures import Points, draw_curves, draw_front
from .frames import curves_frame, markdown, pairs, trained, trials_frame
from .latency_figure import Timing, draw_latencies
from .trial_table import trial_table


@dataclass(frozen=True)
class Picture:
    """A figure as files and as part of the page."""

    svg: str
    alt: str
    caption: str
    files: Sequence[str]


def write_report(records: Sequence[StudyRecord], output: Path) -> list[str]:
    """Write the report of one or more studies: figures, tables and `index.html`, which comes last.

    Returns:
        Remarks for the terminal: what is missing, and is said in the page too.

    Raises:
        InputError: the output cannot be written.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; name a folder for the report")
    output.mkdir(parents=True, exist_ok=True)
    stems = _stems(records)
    sections = [_section(record, stem, output) for record, stem in zip(records, stems, strict=True)]
    remarks = [f"{section['name']}: {remark}" for section in sections for remark in section["remarks"]]
    devices = {device for section in sections for device in section["devices"]}
    page = _template().render(sections=sections, mixed_devices=len(devices) > 1 and sorted(devices))
    write_text(output / "index.html", page)
    return remarks


def _section(record: StudyRecord, stem: str, output: Path) -> dict[str, Any]:
    """A study as the page shows it; its figures and tables are written on the way."""
    frame = trials_frame(record)
    results = comparable(record.rows)
    pictures = [_front_picture(record, x, y, stem, output) for x, y in pairs(record.study)] if results else []
    curves = curves_frame(record)
    if len(curves):
        pictures.append(_curves_picture(record, curves, stem, output))
    if timings := _timings(results):
        pictures.append(_latency_picture(record, timings, stem, output))
    write_text(output / f"{stem}-trials.csv", frame.to_csv(lineterminator="\n"))
    write_text(output / f"{stem}-trials.md", markdown(frame.drop(columns="fingerprint")))
    machine = _machine(record)
    return {
        "id": stem,
        "name": record.study.name,
        "question": record.study.question,
        "summary": _summary(record),
        "remarks": _remarks(record, curves),
        "pictures": pictures,
        "front": trial_table(record, record.front) if record.front else None,
        "trials": trial_table(record, record.rows) if record.rows else None,
        "reasons": Counter((row.state, row.reason) for row in record.rows if row.reason).most_common(),
        "definition": read_text(record.folder / "study.yaml"),
        "from_scratch": record.study.start is None,
        "embedded_data": record.study.data == SHAPES,
        "data": record.study.data,
        "machine": machine,
        "lock": lock_lines(record.folder),
        "devices": sorted({session["device"] for session in machine}),
        "files": [f"{stem}-trials.csv", f"{stem}-trials.md"],
    }


def _front_picture(record: StudyRecord, x: str, y: str, stem: str, output: Path) -> Picture:
    study = record.study
    single = len(study.objectives) == 1
    rows = [row for row in comparable(record.rows) if x in row.figures and y in row.figures]
    members = front(study, rows, [y] if single else [x, y])
    directions = (study.objectives.get(x, QUANTITIES[x].direction), study.objectives[y])
    refused = [row.figures[x] for row in record.rows if row.state == "refused" and x in row.figures]
    points = Points(
        x,
        y,
        directions,
        {row.number: (row.figures[x], row.figures[y]) for row in rows},
        [row.number for row in members],
        {row.number: row.reference for row in rows if row.reference},
        refused,
    )
    x_title, y_title = QUANTITIES[x].title, QUANTITIES[y].title
    what = f"{y_title} against {x_title}"
    figure = draw_front(points, f"{record.study.name}: {what}")
    numbers = ", ".join(str(row.number) for row in members)
    alt = f"Scatter plot of {what} of {len(rows)} trained detectors. On the Pareto front: trials {numbers}."
    if single:
        caption = f"One objective, {y_title}: the best is trial {numbers}. FLOPs are shown beside it, not searched for."
        alt = f"Scatter plot of {what} of {len(rows)} trained detectors. The best is trial {numbers}."
    else:
        caption = f"{what}. Numbers are trials; the line joins those that no other trial beats in both."
    return _picture(figure, output / f"{stem}-front-{y}-{x.removesuffix('_ms')}", alt, caption)


def _curves_picture(record: StudyRecord, curves: pd.DataFrame, stem: str, output: Path) -> Picture:
    members = [row.number for row in record.front]
    figure = draw_curves(curves, members, f"{record.study.name}: learning curves")
    count = curves["number"].nunique()
    caption = "AP after each epoch, on the validation images; the front's members in colour. All trained by one recipe."
    return _picture(figure, output / f"{stem}-curves", f"Line plot of AP over epochs of {count} trainings.", caption)


def _timings(rows: Sequence[Row]) -> list[Timing]:
    """The latencies that were measured with their spread."""
    figures = ((row, row.figures) for row in rows if {"latency_ms", "latency_iqr_ms"} <= row.figures.keys())
    return [Timing(f"{row.number} {row.name}", known["latency_ms"], known["latency_iqr_ms"]) for row, known in figures]


def _latency_picture(record: StudyRecord, timings: Sequence[Timing], stem: str, output: Path) -> Picture:
    figure = draw_latencies(timings, f"{record.study.name}: measured latency")
    caption = "Medians of the forward at batch 1. Where the middle halves of runs overlap, the machine hardly tells."
    return _picture(figure, output / f"{stem}-latency", f"Latencies of {len(timings)} detectors with spread.", caption)


def _picture(figure: Any, stem: Path, alt: str, caption: str) -> Picture:
    files = save(figure, stem)
    svg = inline_svg(read_text(files[1]), stem.name, alt)
    return Picture(svg, alt, caption, [path.name for path in files])


def inline_svg(text: str, prefix: str, alt: str) -> str:
    """An SVG file's text as part of a page: own ids, the page's colours, words for those who do not see it."""
    body = text[text.index("<svg") :]
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", body)
    for colour, variable in PAGE_COLOURS.items():
        body = body.replace(colour, variable)
    body = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", body, count=1)
    body = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", body, count=1)
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    label = html.escape(alt, quote=True)
    return body.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _summary(record: StudyRecord) -> str:
    counts = Counter(row.state for row in record.rows)
    results = comparable(record.rows)
    words = [f"{len(results)} of {record.study.trials} trials trained"]
    words += [f"{counts[state]} {state}" for state in ("refused", "failed", "running") if counts[state]]
    reused = sum(row.same_as is not None for row in record.rows)
    words += [f"{reused} repeated"] if reused else []
    words += [f"{len(record.front)} on the Pareto front"] if results and len(record.study.objectives) > 1 else []
    seconds = sum(row.figures.get("seconds", 0.0) for row in results)
    words += [f"{seconds:.0f} s of training"]
    return "; ".join(words) + "." + _against_bases(record)


def _against_bases(record: StudyRecord) -> str:
    """Whether the search found anything better than what it began from."""
    results, sentences = comparable(record.rows), []
    for base in (row for row in results if row.reference):
        better = [str(row.number) for row in results if base not in front(record.study, [base, row])]
        if better:
            found = f"trial{'s' * (len(better) > 1)} {', '.join(better)}"
            sentences.append(f" The base {base.reference} is dominated by {found}.")
        else:
            sentences.append(f" No trial dominates the base {base.reference}: it is on the front.")
    return "".join(sentences)


def _remarks(record: StudyRecord, curves: pd.DataFrame) -> list[str]:
    remarks = [start_words(record.study)] if record.study.start else []
    if not record.rows:
        remarks.append("no trial has begun; there is nothing to draw")
    elif not comparable(record.rows):
        remarks.append("no trial is complete, so there is no front to draw; the reasons are below")
    broken = [str(row.number) for row in record.rows if not row.finite]
    if broken:
        remarks.append(f"left out, with figures that are not numbers: trial {', '.join(broken)}")
    without = [
        str(row.number)
        for row in trained(record)
        if row.state == "complete" and row.number not in set(curves["number"])
    ]
    if without:
        remarks.append(f"no learning curve of trial {', '.join(without)}: the run folder is gone")
    if len(record.study.objectives) == 1 and comparable(record.rows):
        remarks.append("one objective, so there is one best trial and no front")
    return remarks


def _machine(record: StudyRecord) -> list[dict[str, Any]]:
    path = record.folder / "hardware.json"
    try:
        return json.loads(read_text(path))["sessions"] if path.is_file() else []
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not what catscale search run writes: {error}") from error


def _stems(records: Sequence[StudyRecord]) -> list[str]:
    """What the files of each study are called: by its name, and a number where names repeat."""
    seen: Counter[str] = Counter()
    stems = []
    for record in records:
        seen[record.study.name] += 1
        count = seen[record.study.name]
        stems.append(record.study.name if count == 1 else f"{record.study.name}-{count}")
    return stems


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader(__name__.rpartition(".")[0], "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2")
