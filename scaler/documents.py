"""Files that a person reads and writes: YAML in, checked values out, and nothing ever half written."""

import os
import shutil
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from ..blocks.errors import InputError, nearest

UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # pydantic's words for a key that is not known


class _OnceEach(yaml.SafeLoader):
    """PyYAML's safe loader, which keeps the last of two equal keys in silence; this one refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
            line = key_node.start_mark.line + 1
            if key in seen:
                problem = f"{key!r} stands twice (also in line {seen[key]})"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen[key] = line
        return super().construct_mapping(node, deep)


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; nothing in it is evaluated.

    Raises:
        InputError: the file cannot be read, is not YAML, says a key twice, or is not a mapping.
    """
    try:
        # A subclass of SafeLoader: plain data only.
        document = yaml.load(read_text(path), _OnceEach)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InputError(f"{path}{place}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(document, dict):
        found = "nothing" if document is None else f"a {type(document).__name__}"
        raise InputError(f"{path}: expected `key: value` lines, found {found}")
    return document


def parse(kind: Any, document: Any, where: str, *, names: dict[str, tuple[str, ...]] | None = None) -> Any:
    """Check a document against a pydantic model or a type, and make the value.

    Args:
        kind: a pydantic model, a dataclass or any type that pydantic can check.
        document: plain data, as read from YAML or JSON.
        where: what the messages begin with: a file's path, or a place within it.
        names: further words that are known at a place, for the hint after an unknown key.

    Raises:
        InputError: every mistake on a line of its own, with its place and, after an unknown key, the nearest known.
    """
    try:
        return _adapter(kind).validate_python(document)
    except ValidationError as error:
        raise InputError("\n".join(_lines(error, kind, where, names or {}))) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once for each type: that takes a hundred times as long as a check."""
    return TypeAdapter(kind)


def _lines(error: ValidationError, kind: Any, where: str, names: dict[str, tuple[str, ...]]) -> Iterator[str]:
    unknown = {mistake["loc"] for mistake in error.errors() if mistake["type"] in UNKNOWN}
    for mistake in error.errors():
        place = ".".join(str(step) for step in mistake["loc"])
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] in UNKNOWN:
            *parent, key = (str(step) for step in mistake["loc"])
            known = names.get(".".join(parent)) or _fields(_at(kind, parent))
            hint = f"; {nearest(key, known)}" if known else ""
            message = f"unknown key {key!r}{hint}"
            place = ".".join(parent)
        elif mistake["type"] in {"missing", "missing_argument"}:
            *parent, key = mistake["loc"]
            if get_close_matches(str(key), [str(found[-1]) for found in unknown if list(found[:-1]) == parent]):
                continue  # it is there, misspelt, and that is said
            message = f"{mistake['loc'][-1]!r} is missing"
            place = ".".join(str(step) for step in mistake["loc"][:-1])
        elif not isinstance(mistake["input"], dict | list):
            message = f"{message[0].lower()}{message[1:]}, not {mistake['input']!r}"
        yield f"{where}: {place}: {message}" if place else f"{where}: {message}"


def _at(kind: Any, place: list[str]) -> Any:
    """The model that a model's fields and mappings lead to; None where none of it is a model."""
    for step in place:
        fields = getattr(kind, "model_fields", {})
        inner = fields["root"] if "root" in fields else fields.get(step)
        kind = _model(inner.annotation) if inner else None
    return kind


def _model(annotation: Any) -> Any:
    """The model in an annotation such as `Model | None` or `dict[str, Model]`."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model(part)) is not None), None)


def _fields(kind: Any) -> tuple[str, ...]:
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", {})
    return tuple(fields)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it on success: readers see the old file or the whole new one.

    A folder is written likewise: made at the path given, and renamed where none or an empty one stands.

    Raises:
        InputError: the folder cannot be made or written to, or the disk is full; what stood at `path` is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # renamed, or never made
            if beside.is_dir():
                shutil.rmtree(beside, ignore_errors=True)
            beside.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing (see `written`)."""
    with written(path) as beside:
        beside.write_text(text, encoding="utf-8")


def dump_yaml(document: dict[str, Any]) -> str:
    """YAML as a person would write it: keys in their order, short collections on one line."""
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Block style for what nests, flow style for leaves."""


def _leaf(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _represent_dict(dumper: yaml.SafeDumper, value: dict[Any, Any]) -> yaml.Node:
    def flat(item: Any, depth: int) -> bool:
        if isinstance(item, dict):
            return depth > 0 and all(flat(inner, depth - 1) for inner in item.values())
        return _leaf(item) or (isinstance(item, list) and all(map(_leaf, item)))

    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=flat(value, 2))


def _represent_list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=all(map(_leaf, value)))


_Plain.add_representer(dict, _represent_dict)
_Plain.add_representer(list, _represent_list)
_Plain.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]
