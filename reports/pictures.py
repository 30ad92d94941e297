"""A figure as part of the page: inline SVG in the page's colours, and where its points are."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..scaler.documents import read_text
from ..scaler.figure_style import FORMATS, PAGE_COLOURS, save, svg_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG_DPI = 72


Place = tuple[float, float]  # x and y
Course = Sequence[Place]  # of a trial through a figure: one place of a point, several of a line


@dataclass(frozen=True)
class Link:
    """A point or a line that leads to a part of the page, by keyboard too."""

    course: Course  # in units of the figure's viewBox
    target: str  # id of the part
    label: str  # for those who do not see it


@dataclass(frozen=True)
class Picture:
    """A figure as files and as part of the page."""

    svg: str
    width: float  # of the viewBox, in points: 10 of them are a letter
    caption: str
    files: Sequence[str]
    marks: Sequence[tuple[float, ...]] = field(default=())  # a trial, then x and y of each place of its course


def picture(
    figure: "Figure",
    stem: Path,
    alt: str,
    caption: str,
    courses: Mapping[int, Course] | None = None,
    links: Mapping[int, tuple[str, str]] | None = None,
    *,
    files: bool = True,
) -> Picture:
    """Write a figure's files, and make it part of the page.

    Args:
        figure: with the axes of the courses as its first.
        stem: of the files.
        alt: what it shows, for those who do not see it.
        caption: below it.
        courses: where each trial is, in the axes' units; the page's script tells of the nearest to the pointer, and of
            several as near of the first.
        links: of trials among `courses`, the id of a part of the page and its label.
        files: whether the figure is worth files of its own.

    Raises:
        InputError: the files cannot be written.
    """
    if files:
        paths = save(figure, stem, FORMATS)
        text = read_text(paths[-1])
    else:
        paths, text = [], svg_text(figure)
    placed = _placed(figure, courses or {})
    targets = [Link(placed[number], *link) for number, link in (links or {}).items() if number in placed]
    svg = inline_svg(text, stem.name, alt, targets)
    marks = [(number, *chain.from_iterable(course)) for number, course in placed.items()]
    return Picture(svg, figure.get_figwidth() * SVG_DPI, caption, [path.name for path in paths], marks)


def _placed(figure: "Figure", courses: Mapping[int, Course]) -> dict[int, Course]:
    """Courses through the first axes in units of the SVG's viewBox, which counts down from the top."""
    if not courses:
        return {}
    places = np.array(list(chain.from_iterable(courses.values())), dtype=float)
    scaled = figure.axes[0].transData.transform(places) * SVG_DPI / figure.dpi
    height = figure.get_figheight() * SVG_DPI
    found = iter([(round(float(x), 1), round(float(height - y), 1)) for x, y in scaled])
    return {number: list(islice(found, len(course))) for number, course in courses.items()}


def inline_svg(text: str, prefix: str, alt: str, links: Sequence[Link] = ()) -> str:
    """An SVG file's text as part of a page: own ids, the page's colours, words for those who do not see it."""
    body = text[text.index("<svg") :]
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", body)
    for colour, variable in PAGE_COLOURS.items():
        body = body.replace(colour, variable)
    body = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", body, count=1)
    body = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", body, count=1)
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    if links:  # what holds links is no single image
        body = f"{body.rstrip().removesuffix('</svg>')}{''.join(map(_linked, links))}</svg>"
    role = "group" if links else "img"
    return body.replace("<svg", f'<svg role="{role}" aria-label="{html.escape(alt, quote=True)}"', 1)


def _linked(link: Link) -> str:
    label = html.escape(link.label, quote=True)
    if len(link.course) == 1:
        ((x, y),) = link.course
        mark = f'<circle class="mark" cx="{x}" cy="{y}" r="8"/>'
    else:
        mark = f'<polyline class="mark" points="{" ".join(f"{x},{y}" for x, y in link.course)}"/>'
    return f'<a href="#{html.escape(link.target, quote=True)}" aria-label="{label}">{mark}</a>'
