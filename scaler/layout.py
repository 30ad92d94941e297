"""Drawings laid out and rendered by Graphviz. The only file that knows pygraphviz, and imports it when it draws."""

import os
import re
import subprocess
import sys
from html import escape
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..blocks.errors import CatscaleError, InputError
from .differences import Status
from .draw import BETWEEN, Arrow, Box, Drawing, Line
from .facts import Kind

FORMATS = ("svg", "png", "pdf")
FONT = "DejaVu Sans,Verdana,Helvetica,Arial,sans-serif"  # widest first: text measured in it fits in the others
INK, FADED, PAPER, BAND, EDGE = "#1f2933", "#5b6773", "#ffffff", "#f1f3f5", "#5b6773"
CHANGED, ADDED = "#a8320a", "#0b6b4b"

SMALL = ' POINT-SIZE="8"'

# Fill and border of each kind: tints of Okabe and Ito's palette, told apart with any colour vision; INK on each is
# readable (contrast above 9). On a ground of its own, PAPER, so that a dark page changes nothing.
COLOURS: dict[Kind, tuple[str, str]] = {
    Kind.STEM: ("#e4e7eb", "#7b8794"),
    Kind.BLOCK: ("#cfe5f5", "#0072b2"),
    Kind.TRANSITION: ("#fde6b8", "#b87700"),
    Kind.TOP_DOWN: ("#f0dcea", "#a04f7e"),
    Kind.PYRAMID: ("#f8f3a8", "#8f8600"),
    Kind.JOIN: ("#ffffff", "#7b8794"),
    Kind.CONV: ("#dff1fb", "#3f8fb8"),
    Kind.LEAD: ("#bfe6d8", "#007a57"),
    Kind.AUX: ("#fbd9c6", "#b84f00"),
    Kind.INPUT: ("#e4e7eb", "#7b8794"),
    Kind.WEIGHTS: ("#cfe5f5", "#0072b2"),
    Kind.SELECTS: ("#fde6b8", "#b87700"),
}

# Fill (None: the kind's), border, ink and width of the border of what a comparison marks.
MARKS: dict[Status, tuple[str | None, str, str, str]] = {
    "same": (PAPER, "#c3cad1", FADED, "1"),
    "changed": (None, CHANGED, INK, "1.6"),
    "added": (None, ADDED, INK, "2.4"),
    "removed": (PAPER, CHANGED, FADED, "1.6"),
}

# Graphviz reads its fonts' configuration from the environment and speaks to stderr: hence a process of its own.
_RENDER = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


def render(drawing: Drawing, form: str) -> bytes:
    """A drawing as an SVG, PNG or PDF file. The same drawing gives the same SVG on every machine.

    Raises:
        InputError: pygraphviz is not installed.
        CatscaleError: Graphviz failed.
    """
    if find_spec("pygraphviz") is None:
        raise InputError("drawing needs pygraphviz, which is not installed: pip install 'catscale[draw]'")
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", _RENDER, form],
            input=_graph(drawing, form).encode(),
            env={**os.environ, "FONTCONFIG_FILE": _fonts(Path(folder))},
            capture_output=True,
            check=False,
        )
    if done.returncode:
        raise CatscaleError(f"Graphviz could not draw {drawing.title}: {done.stderr.decode(errors='replace').strip()}")
    return _tidied(done.stdout.decode(), drawing).encode() if form == "svg" else done.stdout


def _fonts(folder: Path) -> str:
    """A configuration that offers one font family, which comes with matplotlib, so that text is measured alike."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    fonts = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    path = folder / "fonts.conf"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">'
        f"<fontconfig><dir>{escape(str(fonts))}</dir><cachedir>{escape(str(folder))}</cachedir></fontconfig>",
        encoding="utf-8",
    )
    return str(path)


def _graph(drawing: Drawing, form: str) -> str:
    """The drawing in Graphviz's language."""
    import pygraphviz

    graph = pygraphviz.AGraph(directed=True, strict=False, newrank="true", compound="true")
    graph.graph_attr.update(
        rankdir="LR" if drawing.columns else "TB",
        nodesep="0.16" if drawing.columns else "0.25",
        ranksep="0.5" if drawing.columns else "0.3",
        fontname=FONT,
        fontsize="11",
        fontcolor=INK,
        bgcolor=PAPER,
        pad="0.15",
        label=_heading(drawing),
        labelloc="t",
        labeljust="l",
        dpi="144" if form == "png" else "72",
    )
    graph.node_attr.update(shape="box", style="filled,rounded", fontname=FONT, fontsize="9", margin="0.06,0.03")
    graph.edge_attr.update(color=EDGE, arrowsize="0.55", penwidth="0.9")
    place = {name: (index, row) for index, group in enumerate(drawing.groups) for row, name in enumerate(group.boxes)}
    for group in drawing.groups:
        cluster = graph.add_subgraph(
            name=f"cluster_{group.name}",
            label=group.title,
            style="filled,rounded",
            color=BAND,
            margin="7",
            labeljust="l",
            labelloc="t" if drawing.columns else "b",
        )
        inner = cluster.add_subgraph(rank="same") if drawing.columns else cluster
        for box in drawing.boxes:
            if box.name in group.boxes:
                inner.add_node(box.name, **_box(box))
    for box in drawing.boxes:
        if box.name not in place:
            graph.add_node(box.name, **_box(box))
    if drawing.columns:
        tops = [group.boxes[0] for group in drawing.groups]
        for left, right in pairwise(tops):  # columns begin at one height
            graph.add_edge(left, right, style="invis", weight="50")
    for arrow in drawing.arrows:
        _add_arrow(graph, arrow, place if drawing.columns else {})
    return graph.to_string()


def _add_arrow(graph: Any, arrow: Arrow, place: dict[str, tuple[int, int]]) -> None:
    """In columns, Graphviz is told of every arrow as leading to the right or, within a column, upwards."""
    style = {"style": "dashed"} if arrow.training_only else {}
    source, target = place.get(arrow.source, (0, 0)), place.get(arrow.target, (0, 0))
    if place and source[0] >= target[0]:
        graph.add_edge(arrow.target, arrow.source, dir="back", **style)
    else:
        graph.add_edge(arrow.source, arrow.target, **style)


def _box(box: Box) -> dict[str, str]:
    fill, border = COLOURS[box.kind]
    ink, width = INK, "1"
    if box.status:
        other_fill, border, ink, width = MARKS[box.status]
        fill = other_fill or fill
    styles = ["filled", "rounded", *(["dashed"] if box.training_only or box.status == "removed" else [])]
    rows = [f'<TR><TD><FONT COLOR="{ink}"><B>{escape(box.title)}</B></FONT></TD></TR>']
    rows += [f'<TR><TD HEIGHT="{10 if line.small else 12}">{_line(line, ink)}</TD></TR>' for line in box.lines]
    classes = [box.kind.name.lower(), *([box.status] if box.status else []), *(["training-only"] * box.training_only)]
    return {
        "label": f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{"".join(rows)}</TABLE>>',
        "style": ",".join(styles),
        "fillcolor": fill,
        "color": border,
        "penwidth": width,
        "class": " ".join(classes),
    }


def _line(line: Line, ink: str) -> str:
    if any(phrase.changed for phrase in line.phrases):
        runs = [
            f'<FONT COLOR="{CHANGED}"><B>{escape(phrase.text)}</B></FONT>' if phrase.changed else escape(phrase.text)
            for phrase in line.phrases
        ]
    else:
        runs = [escape(phrase.text) for phrase in line.phrases]
    return f'<FONT COLOR="{ink}"{SMALL * line.small}>{BETWEEN.join(runs)}</FONT>'


def _heading(drawing: Drawing) -> str:
    """Title, facts of the whole, and a legend of the kinds and the differences that occur."""
    kinds = [(kind.value, *COLOURS[kind]) for kind in Kind if any(box.kind is kind for box in drawing.boxes)]
    statuses = [
        (status, fill or PAPER, border)
        for status, (fill, border, _, _) in MARKS.items()
        if any(box.status == status for box in drawing.boxes)
    ]
    cells = (
        f'<TD BORDER="1" COLOR="{border}" BGCOLOR="{fill}" FIXEDSIZE="TRUE" WIDTH="22" HEIGHT="11"></TD>'
        f'<TD ALIGN="LEFT">{escape(text)} </TD>'
        for text, fill, border in (*kinds, *statuses)
    )
    legend = f'<TABLE ALIGN="LEFT" BORDER="0" CELLSPACING="4"><TR>{"".join(cells)}</TR></TABLE>'
    return (
        '<<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="2">'
        f'<TR><TD ALIGN="LEFT"><FONT POINT-SIZE="16"><B>{escape(drawing.title)}</B></FONT></TD></TR>'
        f'<TR><TD ALIGN="LEFT">{_line(drawing.summary, INK)}</TD></TR>'
        f'<TR><TD ALIGN="LEFT">{legend}</TD></TR></TABLE>>'
    )


def _tidied(svg: str, drawing: Drawing) -> str:
    """Without what names a machine or a place elsewhere; as wide as its page at most; with a name to read aloud."""
    svg = re.sub(r"<!DOCTYPE[^>]*>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace(f' font-family="{FONT}"', "").replace(' xml:space="preserve"', "")
    name = escape(drawing.title, quote=True)
    extra = f'<svg role="img" aria-label="{name}" style="max-width:100%;height:auto" font-family="{FONT}"'
    return svg.replace("<svg", extra, 1)
