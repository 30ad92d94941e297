"""The folder of a plan: written here, where torch is, and carried to the device.

The archive in it is this package's own code, the files of it that need no torch; `python catscale.pyz` runs it.
"""

import hashlib
import json
import zipapp
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from ...blocks.errors import InputError
from ..architecture import Architecture, check_size
from ..documents import written
from ..onnx_graph import require_onnx, write_timed_graph
from .graph_files import check_forward
from .plan import NAME, RESULTS, Plan, PlannedGraph, file_runtime
from .protocol import Protocol

ARCHIVE = "catscale.pyz"
PACKAGE = Path(__file__).resolve().parents[2]
PORTABLE = ("blocks/__init__.py", "blocks/errors.py", "scaler/__init__.py")  # and the whole of this folder
START = """\
import sys

from catscale.scaler.latency.on_device import main

sys.exit(main())
"""
READ_ME = f"""\
On the device, in this folder, with Python 3.11 or later, numpy and onnxruntime: python {ARCHIVE} latency --run {NAME}
Then take {RESULTS} back: catscale latency --results {RESULTS} shows it, --import {RESULTS} adds it to the cache.
"""


def plan_folder(path: Path) -> Path:
    """The folder that `--plan` means: `plan/` of `plan.json`, else the path itself."""
    return path.with_suffix("") if path.suffix == ".json" else path


def write_plan(
    architectures: Sequence[Architecture], protocol: Protocol, folder: Path, *, batches: Sequence[int]
) -> Plan:
    """Write a folder with a plan, an ONNX file for each architecture and batch, the archive, and how to run it.

    Args:
        architectures: what to measure, each at the protocol's size or its own.
        protocol: how; its device is left to where it runs if `auto`.
        folder: to make.
        batches: images at a time.

    Raises:
        InputError: something stands at `folder`; a size is no multiple of a stride; the runtime reads no files; or
            a package is missing.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--plan {folder}: stands already; name another, or remove it")
    names = [architecture.name for architecture in architectures]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"--plan: several architectures are called {min(twice)}; give each a name of its own")
    sizes = [architecture.size if protocol.size is None else protocol.size for architecture in architectures]
    for architecture, size in zip(architectures, sizes, strict=True):
        check_size(size, architecture.strides[-1], architecture.name)
    check_forward(protocol)
    protocol = protocol.replace(memory_format="contiguous")  # of images in ONNX
    half = file_runtime(protocol.runtime).float16_files(protocol)
    require_onnx("--plan")
    graphs: list[PlannedGraph] = []
    with written(folder) as beside:
        beside.mkdir()
        for architecture, size in zip(architectures, sizes, strict=True):
            for batch in batches:
                file = f"{_word(architecture.name)}-{size}-batch{batch}.onnx"
                write_timed_graph(architecture, beside / file, batch=batch, size=size, half=half)
                digest = hashlib.sha256((beside / file).read_bytes()).hexdigest()
                graphs.append(PlannedGraph(architecture.name, architecture.fingerprint, size, batch, file, digest))
        plan = Plan(protocol, tuple(graphs), version("catscale"))
        (beside / NAME).write_text(json.dumps(plan.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (beside / "README.txt").write_text(READ_ME, encoding="utf-8")
        write_archive(beside / ARCHIVE)
    return plan


def write_archive(path: Path) -> None:
    """Pack what measures without torch as it stands here, so that both measure by the same lines."""
    files = [PACKAGE / name for name in PORTABLE] + sorted(Path(__file__).parent.glob("*.py"))
    with TemporaryDirectory(prefix="catscale-") as name:
        root = Path(name)
        (root / "__main__.py").write_text(START, encoding="utf-8")
        for file in files:
            at = root / "catscale" / file.relative_to(PACKAGE)
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(file.read_bytes())
        (root / "catscale" / "__init__.py").write_text('"""What measures, of catscale."""\n', encoding="utf-8")
        zipapp.create_archive(root, path, interpreter="/usr/bin/env python3", compressed=True)


def _word(name: str) -> str:
    """A name as a part of a file's name."""
    return "".join(letter if (letter.isalnum() and letter.isascii()) or letter in "-_." else "_" for letter in name)
