"""Official checkpoint files, read without running anything in them: tensors, and the facts that stand beside.

A file that `torch.save` wrote is a zip archive of a pickle and of raw storages, none of them compressed. The pickle is
read as plain data (`pickles`), and every size is held against the file's before anything is read.

Source: facts of the released YOLOv7 models.
"""

import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...blocks.errors import InputError
from ...blocks.ops import Activation
from .pickles import Name, Persistent, Record, read_pickle

MOST_MODULES = 100_000  # objects on the way through a model; yolov7-e6e has some thousands
NEITHER = "holds neither a model nor a state dict: names, each with a tensor"
DEEPEST = 32  # modules inside modules
DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
DAMAGES = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, struct.error, KeyError)
ACTIVATIONS: dict[str, Activation] = {"SiLU": "silu", "LeakyReLU": "leaky_relu"}  # by torch's class


@dataclass(frozen=True)
class Checkpoint:
    """What an official checkpoint holds. All but the tensors is None, or empty, where it is a plain state dict."""

    tensors: dict[str, Tensor]  # by official key, in the file's order
    config: dict[str, Any] | None = None  # the model file's content
    names: tuple[str, ...] | None = None  # of classes
    strides: tuple[float, ...] | None = None  # of levels, in pixels
    activations: frozenset[Activation] = frozenset()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read an official checkpoint: a pickled model, or a plain state dict.

    Raises:
        InputError: it is neither, is damaged, or asks for what no detector's file needs.
    """
    where = str(path)
    if not path.is_file():
        raise InputError(f"{where}: there is no such file")
    try:
        if not zipfile.is_zipfile(path):
            return _read_old(path)
        with zipfile.ZipFile(path) as archive:
            return _File(archive, path.stat().st_size, where).checkpoint()
    except DAMAGES as error:
        raise InputError(f"{where}: a damaged file: {error}") from error


def _read_old(path: Path) -> Checkpoint:
    """A file from before torch 1.6, if it is a plain state dict: torch reads it as plain data."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch says of a file that is none
        raise InputError(
            f"{path}: no checkpoint that can be read safely; save its state_dict with a torch from 1.6 on"
        ) from error
    tensors = content if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path}: holds no state dict: names, each with a tensor")
    return Checkpoint({str(key): value for key, value in tensors.items()})


class _File:
    """An archive whose entries are no larger, all together, than the file itself."""

    def __init__(self, archive: zipfile.ZipFile, size: int, where: str) -> None:
        self.archive, self.where, self.size = archive, where, size
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise self.fault("refused: it is compressed or encrypted, which torch's files are not")
        if sum(entry.file_size for entry in entries) > size:
            raise self.fault(f"refused: its parts claim to be larger than the file, {size:,} bytes")
        self.entries = {entry.filename.partition("/")[2]: entry for entry in entries}
        if "data.pkl" not in self.entries:
            raise self.fault("not a checkpoint: it has no data.pkl; save it with torch.save")
        if "byteorder" in self.entries and self.read("byteorder") != b"little":
            raise self.fault("written by a big-endian machine, which is not supported")
        self.storages: dict[str, Tensor] = {}
        self.elements = 0  # of all tensors so far

    def fault(self, what: str) -> InputError:
        return InputError(f"{self.where}: {what}")

    def read(self, name: str) -> bytes:
        return self.archive.read(self.entries[name])

    def checkpoint(self) -> Checkpoint:
        content = read_pickle(self.read("data.pkl"), self.where)
        if isinstance(content, Mapping):
            found = next((content[key] for key in ("ema", "model") if isinstance(content.get(key), Record)), None)
            content = content if found is None else found  # the averaged weights are the better ones
        if isinstance(content, Record):
            return self._model(content)
        for key in ("model", "state_dict"):  # plain weights one step further in
            if isinstance(content, dict) and isinstance(content.get(key), dict):
                content = content[key]
        if not isinstance(content, dict) or not content or not all(map(_is_tensor, content.values())):
            raise self.fault(NEITHER)
        return Checkpoint({str(name): self.tensor(value) for name, value in content.items()})

    def _model(self, model: Record) -> Checkpoint:
        facts = _state(model)
        tensors: dict[str, Tensor] = {}
        acts: set[Activation] = set()
        for count, (name, module) in enumerate(self._walk(model)):
            if count > MOST_MODULES:
                raise self.fault(f"refused: a model of more than {MOST_MODULES:,} modules")
            if module.kind.name in ACTIVATIONS:
                acts.add(ACTIVATIONS[module.kind.name])
            for part in ("_parameters", "_buffers"):
                for key, value in _mapping(_state(module).get(part)).items():
                    if value is not None:
                        tensors[f"{name}{key}"] = self.tensor(value)
        if not tensors:
            raise self.fault(NEITHER)
        config, names = facts.get("yaml"), facts.get("names")
        if isinstance(names, dict):
            names = list(names.values())
        return Checkpoint(
            tensors,
            config if isinstance(config, dict) else None,
            tuple(map(str, names)) if isinstance(names, list) else None,
            self._strides(facts.get("stride")),
            frozenset(acts),
        )

    def _walk(self, module: Record, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Record]]:
        """A module and all in it, with the beginning of their tensors' names, in the order of torch's state dict."""
        if depth > DEEPEST:
            raise self.fault(f"refused: modules stand more than {DEEPEST} deep in each other")
        yield prefix, module
        for name, child in _mapping(_state(module).get("_modules")).items():
            if isinstance(child, Record):
                yield from self._walk(child, f"{prefix}{name}.", depth + 1)

    def _strides(self, value: Any) -> tuple[float, ...] | None:
        return tuple(self.tensor(value).float().flatten().tolist()) if _is_tensor(value) else None

    def tensor(self, value: Any) -> Tensor:
        """A tensor of a record; it lies within its storage, and no two of them use more than the file has."""
        if isinstance(value, Record) and value.kind.name.startswith("_rebuild_parameter") and value.args:
            return self.tensor(value.args[0])
        if not _is_tensor(value) or len(value.args) < 4:
            raise self.fault(f"holds {_described(value)} where a tensor should be")
        storage, offset, shape, strides = value.args[:4]
        whole = all(isinstance(part, tuple) and all(map(_is_count, part)) for part in (shape, strides))
        if not whole or not _is_count(offset) or len(shape) != len(strides):
            raise self.fault("a tensor without a proper shape")
        memory = self._storage(storage)
        last = offset + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
        count = prod(shape)
        self.elements += max(count, 1)
        if (count and last >= memory.numel()) or self.elements > self.size:
            raise self.fault(f"refused: a tensor of shape {shape} is larger than what the file holds of it")
        return torch.as_strided(memory, shape, strides, offset)

    def _storage(self, reference: Any) -> Tensor:
        key = reference.key if isinstance(reference, Persistent) else None
        match key:
            case ("storage", Name("torch", kind), str(number), _, int(count)) if kind in DTYPES:
                dtype, entry = DTYPES[kind], self.entries.get(f"data/{number}")
            case _:
                raise self.fault(f"refused: {_described(key)} is no storage of a tensor")
        if entry is None or entry.file_size != count * dtype.itemsize:
            raise self.fault(f"refused: storage {number} is not the {count:,} elements that it claims")
        if number not in self.storages:
            data = bytearray(self.read(f"data/{number}"))
            self.storages[number] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self.storages[number]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Record) and value.kind.module == "torch._utils" and value.kind.name.startswith("_rebuild_")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _state(module: Record) -> dict[str, Any]:
    return module.state if isinstance(module.state, dict) else {}


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _described(value: Any) -> str:
    return f"an object of {value.kind}" if isinstance(value, Record) else f"a {type(value).__name__}"
