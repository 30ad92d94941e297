"""Files of measurements, as `catscale latency -o` writes them. No torch."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...blocks.errors import InputError
from .measure import Measurement

KIND = "catscale latency"
LEAVES = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")


def results_text(measurements: Sequence[Measurement]) -> str:
    """JSON for people, too: what is a list of numbers stands on one line."""
    document = {"kind": KIND, "measurements": [measured.to_json() for measured in measurements]}
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return LEAVES.sub(lambda found: "[" + re.sub(r"\s*\n\s*", " ", found[1]) + "]", text) + "\n"


def parse_results(text: str, where: str) -> list[Measurement]:
    """Measurements from the text of such a file.

    Raises:
        InputError: it is no such file, or something in it cannot be; with its place.
    """
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise InputError(f"{where}: holds no latencies; `catscale latency -o FILE.json` writes such a file")
    found = document.get("measurements")
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InputError(f"{where}: measurements: expected a list")
    return [Measurement.from_json(entry, f"{where}: measurements.{index}") for index, entry in enumerate(found)]


def read_results(path: Path) -> list[Measurement]:
    """Measurements of a file.

    Raises:
        InputError: it cannot be read, is no such file, or something in it cannot be; with its place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_results(text, str(path))
