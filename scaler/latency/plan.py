"""A plan: graphs as ONNX files and how to measure them, in a folder that is carried to a device and run there.

Standard library and numpy: this is what runs on the device, beside a runtime.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Self, cast

from ...blocks.errors import InputError
from .graph_files import FileRuntime
from .lock import Say
from .measure import Measurement, Subject, measure, settled
from .memory_limit import bounded_memory
from .plain import fields_of
from .protocol import Protocol
from .results import read_results, results_text
from .runtimes import FILE_RUNTIMES, Prepared, find_runtime
from .stamp import take_stamp

KIND = "catscale latency plan"
VERSION = 1
NAME = "plan.json"
RESULTS = "results.json"


@dataclass(frozen=True, slots=True)
class PlannedGraph:
    """One graph, for one batch and size."""

    name: str
    fingerprint: str
    size: int  # pixels
    batch: int
    file: str  # within the plan's folder
    sha256: str  # of the file


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how."""

    protocol: Protocol  # its batch and size are each graph's own
    graphs: tuple[PlannedGraph, ...]
    catscale: str  # version that wrote it

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        document = {"kind": KIND, "version": VERSION, "catscale": self.catscale, "protocol": self.protocol.to_json()}
        return {**document, "graphs": [asdict(graph) for graph in self.graphs]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "plan") -> Self:
        """A plan from plain data.

        Raises:
            InputError: it is no plan or one of another version, or something is unknown, missing or cannot be.
        """
        keys = dict(document)
        if keys.pop("kind", None) != KIND:
            raise InputError(f"{where}: is no plan; `catscale latency ARCH... --plan {NAME}` writes one")
        if (version := keys.pop("version", None)) != VERSION:
            raise InputError(f"{where}: a plan of version {version!r}; this catscale reads version {VERSION}")
        found = fields_of(cls, keys, where)
        if not found["graphs"]:
            raise InputError(f"{where}: graphs: there is nothing to measure")
        graphs = [
            PlannedGraph(**fields_of(PlannedGraph, graph, f"{where}: graphs.{at}"))
            for at, graph in enumerate(found["graphs"])
        ]
        for at, graph in enumerate(graphs):
            if PurePosixPath(graph.file).name != graph.file or "\\" in graph.file:
                raise InputError(f"{where}: graphs.{at}: file {graph.file!r}; expected a name within the plan's folder")
        return cls(Protocol.from_json(found["protocol"], f"{where}: protocol"), tuple(graphs), str(found["catscale"]))


def plan_file(path: Path) -> Path:
    """The plan that a path means: itself, or the one in that folder, or in `plan/` of `plan.json`.

    Raises:
        InputError: there is none.
    """
    for found in (path, path / NAME, path.with_suffix("") / NAME):
        if found.is_file():
            return found
    raise InputError(f"--run {path}: no such plan; `catscale latency ARCH... --plan {NAME}` writes one")


def read_plan(path: Path) -> Plan:
    """A plan, each file of it held against its digest.

    Raises:
        InputError: the plan cannot be used, or a file is missing or not as it was written.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: is no plan; `catscale latency ARCH... --plan {NAME}` writes one")
    plan = Plan.from_json(document, str(path))
    for graph in plan.graphs:
        file = path.parent / graph.file
        try:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}; copy the plan's whole folder") from error
        if digest != graph.sha256:
            raise InputError(f"{file}: is not as it was written (its SHA-256 differs); copy the plan's folder again")
    return plan


def run_plan(
    path: Path, results: Path, *, changes: Mapping[str, Any], fresh: bool = False, say: Say = lambda line: None
) -> list[Measurement]:
    """Measure what a plan names, and write the results; those of one batch are measured in turns.

    The file is written anew after each batch, so that an interrupted run keeps those done; begun again, it goes on
    with what is missing, failed or refused.

    Args:
        path: of the plan, see `plan_file`.
        results: file to write; results in it that were taken under an equal stamp are kept.
        changes: of the plan's protocol, such as the device or a wider interval.
        fresh: measure again what the results have.
        say: is told what is done, and that the device is busy.

    Returns:
        One for each graph, in the plan's order.

    Raises:
        InputError: the plan or a change cannot be used; the device or the runtime is missing; the results cannot be
            written.
        CatscaleError: the device stays busy.
    """
    path = plan_file(path)
    plan = read_plan(path)
    runtime = file_runtime(str(changes.get("runtime", plan.protocol.runtime)))
    protocol = settled(plan.protocol.replace(**changes), runtime)
    facts = runtime.facts(protocol)
    found: dict[PlannedGraph, Measurement] = {}
    if results.exists() and not fresh:
        kept = {(one.fingerprint, one.stamp): one for one in read_results(results) if one.accepted}
        for graph in plan.graphs:
            stamp = take_stamp(protocol.replace(batch=graph.batch), facts, graph.size)
            if one := kept.get((graph.fingerprint, stamp)):
                found[graph] = one
        if found:
            say(f"{len(found)} of {len(plan.graphs)} from {results}; --fresh measures again")
    _write(results, [found[graph] for graph in plan.graphs if graph in found])  # before hours of work, if it cannot be
    for batch in dict.fromkeys(graph.batch for graph in plan.graphs if graph not in found):
        graphs = [graph for graph in plan.graphs if graph.batch == batch and graph not in found]
        say(f"measuring {', '.join(graph.name for graph in graphs)}, batch {batch}")
        subjects = [
            Subject(graph.name, graph.fingerprint, graph.size, partial(_open, runtime, path.parent / graph.file))
            for graph in graphs
        ]
        with bounded_memory(protocol.device):
            found |= zip(graphs, measure(subjects, protocol.replace(batch=batch), runtime, say=say), strict=True)
        _write(results, [found[graph] for graph in plan.graphs if graph in found])
    return [found[graph] for graph in plan.graphs]


def file_runtime(name: str) -> FileRuntime:
    """A runtime that reads files, by its name.

    Raises:
        InputError: it reads none, or is not installed.
    """
    if name not in FILE_RUNTIMES:
        raise InputError(f"--runtime {name}: reads no ONNX files, as a plan holds; use {', '.join(FILE_RUNTIMES)}")
    return cast(FileRuntime, find_runtime(name))


def _open(runtime: FileRuntime, file: Path, protocol: Protocol) -> Prepared:
    return runtime.open(file, protocol)


def _write(path: Path, measurements: Sequence[Measurement]) -> None:
    """Beside the old file, and then in its place."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(results_text(measurements), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {error.strerror}; name another with -o") from error
