"""The official model file: a flat list of rows `[from, number, module, args]`, read without evaluating anything.

Strings in an official file are expressions that the official loader evaluates. Here the few that its files use stand in
a closed table; any other is refused.

Source: facts of the released YOLOv7 and YOLOR configurations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from ...blocks.errors import InputError, nearest
from ...blocks.levels import Anchors

IMAGE_ROW = -1  # where a row reads the image
KEYS = ("nc", "depth_multiple", "width_multiple", "anchors", "backbone", "head", "ch", "names")

# Every expression that may stand in a row, as a value. Activations are words of our own, `none` where there is none.
EXPRESSIONS: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "nearest": "nearest",
    "nc": "nc",
    "anchors": "anchors",
    "nn.SiLU()": "silu",
    "nn.LeakyReLU(0.1)": "leaky_relu",
    "nn.LeakyReLU(0.1,inplace=True)": "leaky_relu",
    "nn.Identity()": "none",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `sources` are the numbers of the rows that it reads, `IMAGE_ROW` for the image."""

    index: int
    sources: tuple[int, ...]
    number: int
    module: str
    args: tuple[Any, ...]

    def __str__(self) -> str:
        return f"row {self.index} ({self.module})"


@dataclass(frozen=True, slots=True)
class Config:
    """An official model file: rows as written, and the multiples that the official loader applies to them."""

    where: str
    classes: int
    anchors: tuple[Anchors, ...]
    rows: tuple[Row, ...]
    depth: float = 1.0
    width: float = 1.0

    def repeats(self, row: Row) -> int:
        """How often a row stands, once scaled in depth: halves go to the even number."""
        return max(round(row.number * self.depth), 1) if row.number > 1 else row.number

    def channels(self, out: int) -> int:
        """Output channels of a row once scaled in width: a multiple of 8, but for those of the head's own maps."""
        return out if out == predictions(self.anchors, self.classes) else loaded_width(out * self.width)

    def fault(self, row: Row, what: str) -> InputError:
        """An error in a row."""
        return InputError(f"{self.where}: {row}: {what}")


def loaded_width(out: float) -> int:
    """What the official loader makes of a width: the next multiple of 8."""
    return ceil(out / 8) * 8


def predictions(anchors: tuple[Anchors, ...], classes: int) -> int:
    """Channels of a level's raw map; a width equal to it is never rounded."""
    return len(anchors[0]) * (5 + classes)


def is_official(document: Mapping[str, Any]) -> bool:
    """Whether a YAML document is an official model file."""
    return "backbone" in document and "head" in document


def read_config(document: Mapping[str, Any], where: str) -> Config:
    """The rows of an official model file.

    Raises:
        InputError: the file, or a row of it, is not as the format has it; the row is named.
    """
    for key in document:
        if key not in KEYS:
            raise InputError(f"{where}: unknown key {key!r}; {nearest(str(key), KEYS)}")
    lists = [document.get(part) for part in ("backbone", "head")]
    if not all(isinstance(part, list) for part in lists):
        raise InputError(f"{where}: backbone and head: expected two lists of rows [from, number, module, args]")
    classes: Any = document.get("nc")
    if not _whole(classes, least=1):
        raise InputError(f"{where}: nc: expected the number of classes, not {classes!r}")
    if document.get("ch", 3) != 3:
        raise InputError(f"{where}: ch: images of {document['ch']!r} channels; only RGB, 3 channels, is supported")
    rows = [entry for part in lists for entry in part or ()]
    return Config(
        where,
        classes,
        _anchors(document, where),
        tuple(_row(index, entry, where) for index, entry in enumerate(rows)),
        _multiple(document, "depth_multiple", where),
        _multiple(document, "width_multiple", where),
    )


def _anchors(document: Mapping[str, Any], where: str) -> tuple[Anchors, ...]:
    if "anchors" not in document:
        raise InputError(f"{where}: anchors: missing; give each level of the head a list w, h, w, h, ... in pixels")
    levels = document["anchors"]
    if isinstance(levels, int):
        raise InputError(f"{where}: anchors: {levels} placeholders; give each level its widths and heights in pixels")
    if not isinstance(levels, list) or not levels:
        raise InputError(f"{where}: anchors: expected a list of levels, not {levels!r}")
    for level in levels:
        numbers = isinstance(level, list) and all(_number(side) and side > 0 for side in level)
        if not numbers or not level or len(level) % 2 or len(level) != len(levels[0]):
            raise InputError(f"{where}: anchors: every level needs equally many pairs w, h above zero, not {level!r}")
    pixels = [list(map(float, level)) for level in levels]
    return tuple(tuple(zip(level[::2], level[1::2], strict=True)) for level in pixels)


def _multiple(document: Mapping[str, Any], key: str, where: str) -> float:
    value = document.get(key, 1.0)
    if not _number(value) or not 0 < value <= 100:
        raise InputError(f"{where}: {key}: expected a factor such as 1.0, not {value!r}")
    return float(value)


def _row(index: int, entry: Any, where: str) -> Row:
    place = f"{where}: row {index}"
    if not isinstance(entry, list) or len(entry) != 4:
        raise InputError(f"{place}: expected [from, number, module, args], not {entry!r}")
    sources, number, module, args = entry
    if not isinstance(module, str):
        raise InputError(f"{place}: expected a module's name, not {module!r}")
    place = f"{place} ({module})"
    if not _whole(number, least=1):
        raise InputError(f"{place}: number: expected a whole number from 1, not {number!r}")
    if not isinstance(args, list):
        raise InputError(f"{place}: args: expected a list, not {args!r}")
    sources = sources if isinstance(sources, list) else [sources]
    if not sources:
        raise InputError(f"{place}: from: expected the rows that it reads")
    found = tuple(_source(index, source, place) for source in sources)
    return Row(index, found, number, module, tuple(_value(value, place) for value in args))


def _source(index: int, source: Any, place: str) -> int:
    if not isinstance(source, int) or isinstance(source, bool):
        raise InputError(f"{place}: from: expected a row's number, or -1 for the row before, not {source!r}")
    found = index + source if source < 0 else source
    if found < 0 and (index, source) != (0, -1):  # of the first row, the row before is the image
        raise InputError(f"{place}: from: {source} is out of range: there are {index} rows before it")
    if found >= index:
        raise InputError(f"{place}: from: {source} points forward; a row reads rows before it")
    return found


def _value(value: Any, place: str) -> Any:
    if isinstance(value, str):
        key = value.replace(" ", "")
        if key not in EXPRESSIONS:
            known = ", ".join(EXPRESSIONS)
            raise InputError(f"{place}: args: {value!r} is none of the expressions that a row may hold: {known}")
        return EXPRESSIONS[key]
    if value is None or isinstance(value, bool) or _number(value):
        return value
    raise InputError(f"{place}: args: {value!r} is no number and no expression")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9  # nor is it nan
