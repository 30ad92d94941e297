"""Where a study's figures come from: the study's file, the machine, versions and the commands."""

import json
from typing import Any

from ...blocks.errors import InputError
from ...scaler.documents import read_text
from ...search.lock_file import lock_lines
from ...search.status import StudyRecord
from .material import Material, Section


def origin(material: Material) -> Section:
    """All that it takes to repeat the study."""
    sessions = machine(material.record)
    unknown = not sessions and bool(material.record.rows)
    remarks = ["no hardware.json: machine, versions and command were not noted"] if unknown else []
    folder = material.record.folder
    content = {"definition": read_text(folder / "study.yaml"), "sessions": sessions, "lock": lock_lines(folder)}
    return Section("origin", "Where and how", "origin.html.j2", content, remarks)


def machine(record: StudyRecord) -> list[dict[str, Any]]:
    """The sessions that a study was run in, as `hardware.json` has them; none where it is not there.

    Raises:
        InputError: the file is not what a study writes.
    """
    path = record.folder / "hardware.json"
    try:
        sessions = json.loads(read_text(path))["sessions"] if path.is_file() else []
        if any(not isinstance(session["device"], str) for session in sessions):
            raise ValueError("a session has no device")
        return sessions
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is not what catscale search run writes: {error}") from error
