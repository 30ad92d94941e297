"""A part of the page for each detector worth a look: figures, architecture, learning curve, predictions."""

import gzip
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...blocks.errors import InputError
from ...scaler.documents import written
from ...scaler.draw import draw
from ...scaler.layout import render
from ...scaler.zoo import load
from ...search.quantities import QUANTITIES, shown
from ...search.rows import Row, parameter_columns
from ..comparison import base_of
from ..curves_figure import draw_curve
from ..pictures import Picture, picture
from ..predictions import Example, Examples, kept, kept_picture
from ..spent import amount, duration
from ..trial_table import cell
from .material import Material, Section

IMAGES = 3  # that predictions are shown on


@dataclass(frozen=True)
class ArchitectureDrawing:
    """An architecture's drawing: its file, and the same packed for the page."""

    file: str
    packed: str  # SVG, gzip, base64: a seventh of its size
    caption: str


@dataclass(frozen=True)
class Candidate:
    """What is shown of a detector."""

    number: int
    anchor: str
    name: str
    reference: bool
    values: Sequence[tuple[str, str]]  # parameters: term and value
    figures: Sequence[tuple[str, str, str]]  # term, value, and how that is from the reference
    drawing: ArchitectureDrawing | None
    curve: Picture | None
    examples: Sequence[Example]
    missing: Sequence[str]  # what cannot be shown, and why


def candidates(material: Material) -> Section | None:
    """The front's members (of a long front, some) and the references; nothing where there are none."""
    rows = material.shown
    if not rows:
        return None
    remarks: list[str] = []
    examples = _examples(material, rows, remarks)
    members = [_candidate(material, row, examples, remarks) for row in rows]
    here = sum(row in material.front for row in rows)
    content = {
        "candidates": members,
        "truth": examples.truth() if examples and any(member.examples for member in members) else [],
        "left_out": f"{len(material.front)} are on the front; {here} of them, from end to end, are shown here."
        if here < len(material.front)
        else "",
    }
    return Section("candidates", "Detectors", "candidates.html.j2", content, list(dict.fromkeys(remarks)))


def _candidate(material: Material, row: Row, examples: Examples | None, remarks: list[str]) -> Candidate:
    run = material.record.run_folder(row)
    missing: list[str] = []
    drawing = found = None
    try:
        drawing = _drawing(material, row, run, missing)
        found = _found(run, examples, material.images, missing)
    except InputError as error:
        missing.append(str(error))
        remarks.append(str(error).splitlines()[0])
    return Candidate(
        row.number,
        material.anchor(row),
        row.name,
        bool(row.reference),
        [(name, str(row.values[name])) for name in parameter_columns(material.record.study) if name in row.values],
        _figures(material, row),
        drawing,
        _curve(material, row),
        found or (),
        missing,
    )


def _figures(material: Material, row: Row) -> list[tuple[str, str, str]]:
    base = base_of(material.record, row)
    known = [name for name in QUANTITIES if name in row.figures]
    figures = [(QUANTITIES[name].title, shown(name, row.figures[name]), _change(name, row, base)) for name in known]
    spent = [("Training", duration(row.figures["seconds"]), "")] if "seconds" in row.figures else []
    spent += [("Energy", amount(row.figures["energy_joules"]), "")] if "energy_joules" in row.figures else []
    return [*figures, *spent]


def _change(name: str, row: Row, base: Row | None) -> str:
    """How a figure is from the reference's, as tables have it."""
    if base is None or base.number == row.number or not base.figures.get(name):
        return ""
    if QUANTITIES[name].trained:
        return cell("ap_gain", row.figures[name] - base.figures[name])
    return cell(f"{name}_change", row.figures[name] / base.figures[name] - 1)


def _drawing(material: Material, row: Row, run: Path, missing: list[str]) -> ArchitectureDrawing | None:
    """The architecture; of what is scaled from a reference, with all that the scaling changed marked."""
    path = run / "architecture.yaml"
    if not path.is_file():
        missing.append("no drawing: there is no architecture.yaml in its run folder")
        return None
    base = base_of(material.record, row)
    compared = material.record.run_folder(base) / "architecture.yaml" if base and base.number != row.number else None
    own = load(str(path))
    other = load(str(compared)) if compared and compared.is_file() else None
    svg = render(draw(other, own) if other else draw(own), "svg")
    file = material.output / f"{material.anchor(row)}.svg"
    with written(file) as beside:
        beside.write_bytes(svg)
    caption = f"What is not as in trial {base.number} is marked." if other and base else "A box for each node."
    return ArchitectureDrawing(file.name, b64encode(gzip.compress(svg, mtime=0)).decode(), caption)


def _curve(material: Material, row: Row) -> Picture | None:
    own, base = material.curve(row), base_of(material.record, row)
    if own is None:
        return None
    figure = draw_curve(own, material.curve(base) if base and base.number != row.number else None)
    alt = f"Learning curve of trial {row.number}: AP {own['ap'].max():.3f} at best, after {len(own)} epochs."
    return picture(figure, material.output / f"{material.anchor(row)}-curve", alt, "", files=False)


def _examples(material: Material, rows: Sequence[Row], remarks: list[str]) -> Examples | None:
    """The images, where they are wanted and any weights are there."""
    if not material.images or not any(kept(material.record.run_folder(row)) for row in rows):
        return None
    try:
        return Examples(material.record.study, material.images)
    except InputError as error:
        remarks.append(f"no predictions: {str(error).splitlines()[0]}")
        return None


def _found(run: Path, examples: Examples | None, images: int, missing: list[str]) -> Sequence[Example]:
    if not images:
        return ()
    if examples and kept(run):
        return examples.found(run)
    if picture := kept_picture(run):
        return (picture,)
    if not kept(run):
        missing.append("no predictions: its weights are not kept")
    return ()
