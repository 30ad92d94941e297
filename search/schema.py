"""The JSON schema of study files, by which editors complete keys and underline mistakes."""

import json
from typing import Any

from .parameters import ALIASES, ORDER, PARTED, SETTING_OF, recipe_names
from .quantities import QUANTITIES
from .study import Study

TITLE = "catscale study"


def study_schema() -> dict[str, Any]:
    """The schema of a study file as a person may write it."""
    schema = Study.model_json_schema()
    known: dict[str, Any] = schema["properties"]
    del known["contents"], schema["$defs"]["Contents"]  # of a study that has begun
    del known["trials"]["default"]
    quantity = {"enum": list(QUANTITIES)}
    several = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    known["base"] = {"anyOf": [{"type": "string"}, several], "title": "Base"}
    known["objectives"] = {
        "anyOf": [
            quantity,
            {"type": "array", "items": quantity, "minItems": 1, "uniqueItems": True},
            _by_quantity({"enum": ["maximize", "minimize", None]}),
        ],
        "title": "Objectives",
    }
    bound = {"type": "string", "pattern": r"^\s*\w+\s*<=\s*\S+\s*$"}
    known["constraints"] = {
        "anyOf": [
            bound,
            {"type": "array", "items": bound},
            _by_quantity({"type": "number", "exclusiveMinimum": 0}, trained=False),
        ],
        "title": "Constraints",
    }
    seeds = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True}
    known["seeds"] = {"anyOf": [{"type": "integer", "minimum": 1}, seeds], "title": "Seeds"}
    known["space"] = _space(schema["$defs"])
    del schema["$defs"]["Space"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": TITLE}


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(study_schema(), indent=2) + "\n"


def _by_quantity(value: dict[str, Any], trained: bool = True) -> dict[str, Any]:
    names = [name for name, quantity in QUANTITIES.items() if trained or not quantity.trained]
    return {"type": "object", "properties": dict.fromkeys(names, value), "additionalProperties": False}


def _space(definitions: dict[str, Any]) -> dict[str, Any]:
    parameter = {"$ref": "#/$defs/Parameter"}
    parted = [*PARTED, *(alias for alias, name in ALIASES.items() if name in PARTED)]
    return {
        "type": "object",
        "description": definitions["Space"]["description"],
        "properties": dict.fromkeys((*ORDER, *SETTING_OF, *ALIASES, *recipe_names()), parameter),
        "patternProperties": {rf"^({'|'.join(parted)})\.[^.].*$": parameter},
        "additionalProperties": False,
    }
