"""The official model file as text: rows on a line each, with the name of the layer that a row gives."""

from itertools import takewhile
from typing import Any

from ..architecture import Architecture
from .exporting import Form, Written, written
from .modules import HEADS
from .rows import IMAGE_ROW, Row

BACKBONE = ("stem", "backbone")  # the parts of an architecture that are the official file's backbone


def official_yaml(architecture: Architecture, form: Form = "train") -> str:
    """An architecture as an official model file: `train`, or `deploy` without auxiliary heads and implicit vectors.

    Raises:
        InputError: as for `exporting.written`.
    """
    found = written(architecture, form)
    backbone = list(takewhile(lambda each: each.layer.split(".")[0] in BACKBONE, found)) or list(found[:-1])
    head = found[len(backbone) :]
    anchors = (", ".join(f"{side:g}" for anchor in level for side in anchor) for level in architecture.anchors)
    lines = (
        f"# {architecture.name}, {form} form, for images of {architecture.size} pixels; written by catscale",
        f"nc: {architecture.classes}",
        "depth_multiple: 1.0",
        "width_multiple: 1.0",
        "",
        "anchors:  # width, height in pixels of the input",
        *(f"  - [{level}]" for level in anchors),
        "",
        "backbone:  # [from, number, module, args]",
        *map(_line, backbone),
        "",
        "head:",
        *map(_line, head),
    )
    return "\n".join(lines) + "\n"


def _line(each: Written) -> str:
    row = each.row
    sources = [_source(row, source) for source in row.sources]
    single = len(sources) == 1 and row.module not in HEADS
    read = str(sources[0]) if single else f"[{', '.join(map(str, sources))}]"
    args = ", ".join(map(_word, row.args))
    return f"  - [{read}, {row.number}, {row.module}, [{args}]]  # {row.index} {each.layer}"


def _source(row: Row, source: int) -> int:
    """The row before as -1, any other, and those of the head, by number."""
    before = source in (row.index - 1, IMAGE_ROW) and row.module not in HEADS
    return -1 if before else source


def _word(value: Any) -> str:
    return "'nearest'" if value == "nearest" else str(value)
