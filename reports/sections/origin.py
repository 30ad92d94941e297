"""Where a study's figures come from: the study's file, the machine, versions and the commands."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...blocks.errors import InputError
from ...scaler.documents import read_text
from ...search.lock_file import lock_lines
from .material import Material, Section


class Definition(NamedTuple):
    """A study file."""

    name: str
    facts: Sequence[tuple[str, str]]  # what it asks for, in words, where the page does not say so elsewhere
    text: str  # as resolved


def origin(material: Material) -> Section:
    """All that it takes to repeat the study."""
    folder = material.record.folder
    sessions = machine(folder)
    unknown = not sessions and bool(material.record.rows)
    remarks = ["no hardware.json: machine, versions and command were not noted"] if unknown else []
    definitions = [Definition("The study's file", (), read_text(folder / "study.yaml"))]
    return origin_section(definitions, sessions, lock_lines(folder), remarks)


def origin_section(
    definitions: Sequence[Definition],
    sessions: Sequence[Mapping[str, Any]],
    lock: Sequence[str],
    remarks: Sequence[str] = (),
) -> Section:
    """The section of study files, of the sessions that they were run in, and of versions."""
    content = {"definitions": definitions, "sessions": sessions, "lock": lock}
    return Section("origin", "Where and how", "origin.html.j2", content, remarks)


def machine(folder: Path) -> list[dict[str, Any]]:
    """The sessions that a study was run in, as its `hardware.json` has them; none where it is not there.

    Raises:
        InputError: the file is not what a study writes.
    """
    path = folder / "hardware.json"
    try:
        sessions = json.loads(read_text(path))["sessions"] if path.is_file() else []
        if any(not isinstance(session["device"], str) for session in sessions):
            raise ValueError("a session has no device")
        return sessions
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is not what catscale search run writes: {error}") from error
