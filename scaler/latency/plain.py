"""Frozen dataclasses from plain data, every unknown and missing key refused by name. No torch, no pydantic."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from ...blocks.errors import InputError, nearest


def fields_of(kind: type, document: Any, where: str) -> dict[str, Any]:
    """The fields of a dataclass as they stand in a document; lists, as JSON has them, become tuples.

    Raises:
        InputError: it is no mapping, or a key is unknown or missing; with its place.
    """
    if not isinstance(document, Mapping):
        raise InputError(f"{where}: expected keys and values, found {type(document).__name__}")
    known = {field.name: field for field in fields(kind)}
    for name in document:
        if name not in known:
            raise InputError(f"{where}: unknown key {str(name)!r}; {nearest(str(name), known)}")
    for name, field in known.items():
        if name not in document and field.default is MISSING:
            raise InputError(f"{where}: {name!r} is missing")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}
