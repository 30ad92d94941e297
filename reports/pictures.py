"""A figure as part of the page: inline SVG in the page's colours, and where its points are."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..scaler.documents import read_text
from ..scaler.figure_style import FORMATS, PAGE_COLOURS, save, svg_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG_DPI = 72


@dataclass(frozen=True)
class Link:
    """A point that leads to a part of the page, by keyboard too."""

    x: float  # in units of the figure's viewBox, as `y`
    y: float
    target: str  # id of the part
    label: str  # for those who do not see it


@dataclass(frozen=True)
class Picture:
    """A figure as files and as part of the page."""

    svg: str
    width: float  # of the viewBox, in points: 10 of them are a letter
    caption: str
    files: Sequence[str]
    marks: Sequence[tuple[int, float, float]] = field(default=())  # trial, and where its point is in the viewBox


def picture(
    figure: "Figure",
    stem: Path,
    alt: str,
    caption: str,
    points: Mapping[int, tuple[float, float]] | None = None,
    links: Mapping[int, tuple[str, str]] | None = None,
    *,
    files: bool = True,
) -> Picture:
    """Write a figure's files, and make it part of the page.

    Args:
        figure: with the points' axes as its first.
        stem: of the files.
        alt: what it shows, for those who do not see it.
        caption: below it.
        points: where each trial is, in the axes' units; the page's script tells of the nearest to the pointer.
        links: of trials among `points`, the id of a part of the page and its label.
        files: whether the figure is worth files of its own.

    Raises:
        InputError: the files cannot be written.
    """
    if files:
        paths = save(figure, stem, FORMATS)
        text = read_text(paths[-1])
    else:
        paths, text = [], svg_text(figure)
    places = _places(figure, points or {})
    targets = [Link(*places[number], *link) for number, link in (links or {}).items() if number in places]
    svg = inline_svg(text, stem.name, alt, targets)
    marks = [(number, x, y) for number, (x, y) in places.items()]
    return Picture(svg, figure.get_figwidth() * SVG_DPI, caption, [path.name for path in paths], marks)


def _places(figure: "Figure", points: Mapping[int, tuple[float, float]]) -> dict[int, tuple[float, float]]:
    """Points of the first axes in units of the SVG's viewBox, which counts down from the top."""
    if not points:
        return {}
    pixels = figure.axes[0].transData.transform(np.array(list(points.values()), dtype=float))
    scaled = pixels * SVG_DPI / figure.dpi
    height = figure.get_figheight() * SVG_DPI
    return {n: (round(float(x), 1), round(float(height - y), 1)) for n, (x, y) in zip(points, scaled, strict=True)}


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
    circle = f'<circle class="mark" cx="{link.x}" cy="{link.y}" r="8"/>'
    return f'<a href="#{html.escape(link.target, quote=True)}" aria-label="{label}">{circle}</a>'
