"""A detector as a `torch.export` program: one file that torch runs without catscale."""

import io
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import GraphModule

from ..scaler.documents import written
from .export import Check, ExportSettings, Made, Runner, dynamic_shapes, example

if TYPE_CHECKING:
    from collections.abc import Callable

EXTRA = "catscale.json"  # the file within that holds the facts


def write_program(
    model: GraphModule,
    path: Path,
    settings: ExportSettings,
    facts: dict[str, Any],
    check: "Callable[[Runner], tuple[Check, ...]]",
) -> tuple[str, tuple[Check, ...]]:
    """Write the program, load it, and compare; see `export`.

    `torch.export.load(path, extra_files={"catscale.json": ""})` gives the facts back.
    """
    with warnings.catch_warnings(action="ignore"):  # torch's remarks to its own developers
        program = torch.export.export(model, (example(settings),), dynamic_shapes=dynamic_shapes(model, settings))
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={EXTRA: json.dumps(facts)})
    with written(path) as beside:
        beside.write_bytes(file.getvalue())
        with warnings.catch_warnings(action="ignore"), torch.inference_mode():
            loaded = torch.export.load(io.BytesIO(beside.read_bytes())).module()
            checks = check(lambda inputs: [Made(loaded(batch).numpy()) for batch in inputs])
    return f"torch {torch.__version__}", checks
