"""The table of a device: layers and whole networks as measured there, and what follows for any other. No torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ...blocks.errors import InputError
from ..architecture import Architecture, check_size
from ..documents import parse, read_text, write_text
from ..latency.protocol import Protocol
from ..latency.stamp import Stamp, differences
from .layers import LayerKey, shape_from
from .predictor import Calibrated, LayerTimes, Predicted, Predictor

PositiveFinite = Annotated[float, Field(gt=0, allow_inf_nan=False)]

KIND = "catscale latency table"
VERSION = 1
FEWEST = 8  # networks to calibrate on


@dataclass(frozen=True)
class LatencyTable:
    """What was measured on a device; the regressions follow from it when they are first asked for."""

    stamp: Stamp  # of the whole networks; its size is that of the largest
    protocol: Protocol
    taken: str  # date and time, UTC
    seconds: float  # that it took
    layers_ms: Mapping[LayerKey, float]
    networks: tuple[Calibrated, ...]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a table.

        Raises:
            InputError: it cannot be read, is no such table, or something in it cannot be; with its place.
        """
        path = Path(path)
        try:
            document = json.loads(read_text(path))
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON: {error}; make the table anew") from error
        if not isinstance(document, dict) or document.get("kind") != KIND:
            raise InputError(f"{path}: is no latency table; `catscale search calibrate` makes one")
        return cls.from_json(document, str(path))

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "table") -> Self:
        """A table from plain data.

        Raises:
            InputError: something is missing, unknown or cannot be; with its place.
        """
        found: _Document = parse(_Document, document, where)
        layers = {row.key(f"{where}: layers.{place}"): row.ms for place, row in enumerate(found.layers)}
        if len(layers) < len(found.layers):
            raise InputError(f"{where}: layers: a layer stands twice")
        return cls(
            stamp=Stamp.from_json(found.stamp, f"{where}: stamp"),
            protocol=Protocol.from_json(found.protocol, f"{where}: protocol"),
            taken=found.taken,
            seconds=found.seconds,
            layers_ms=layers,
            networks=tuple(Calibrated(**row.model_dump()) for row in found.networks),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": KIND,
            "version": VERSION,
            "taken": self.taken,
            "seconds": self.seconds,
            "stamp": self.stamp.to_json(),
            "protocol": self.protocol.to_json(),
            "networks": [asdict(network) for network in self.networks],
            "layers": [
                {"kind": key.kind, "inputs": " ".join(map(str, key.inputs)), "output": str(key.output), "ms": ms}
                for key, ms in self.layers_ms.items()
            ],
        }

    def write(self, path: Path) -> None:
        """Write the table, a line for each network and each layer.

        Raises:
            InputError: it cannot be written; what stood there is untouched.
        """
        document = self.to_json()
        lists = {name: document.pop(name) for name in ("networks", "layers")}
        text = json.dumps(document, indent=2).removesuffix("\n}")
        for name, rows in lists.items():
            lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
            text += f',\n  "{name}": [\n{lines}\n  ]'
        write_text(path, text + "\n}\n")

    def check(self, stamp: Stamp, where: str) -> None:
        """Hold a stamp, whatever its size, against the table's: under another one the table says nothing.

        Raises:
            InputError: with every field that differs.
        """
        differs = differences(self.stamp, stamp)
        differs.pop("size", None)
        _refuse(differs, where)

    def check_choices(self, choices: Mapping[str, Any], where: str) -> None:
        """Hold choices of a protocol (`dtype`, `batch`, `threads` …) against the table's.

        Raises:
            InputError: with every one that differs.
        """
        own = {name: getattr(self.protocol, name) for name in choices}
        _refuse({name: (own[name], value) for name, value in choices.items() if own[name] != value}, where)

    @property
    def errors(self) -> NDArray[np.float64]:
        """How far each network, predicted without its own measurement, is off: shares of its latency."""
        return self.predictor.left_out / np.array([network.median_ms for network in self.networks]) - 1

    def words(self) -> list[str]:
        """What the table holds and how good it is, in lines."""
        latencies = [network.median_ms for network in self.networks]
        kinds, errors = len({key.kind for key in self.layers_ms}), np.abs(self.errors)
        return [
            f"{len(self.layers_ms):,} layers of {kinds} kinds, {len(self.networks)} networks of "
            f"{min(latencies):.2f} to {max(latencies):.2f} ms, measured in {self.seconds:.0f} s on {self.taken[:10]}",
            f"each network predicted without it: {errors.mean():.1%} off in the mean, {errors.max():.1%} at most",
            self.stamp.words,
        ]

    def predict(self, architecture: Architecture, size: int | None = None) -> Predicted:
        """The latency of an architecture at a size in pixels, its own where None.

        Raises:
            InputError: the size is no multiple of the largest stride.
        """
        size = architecture.size if size is None else size
        check_size(size, architecture.strides[-1], architecture.name)
        return self.predictor.predict(architecture.graph("deploy"), size)

    @cached_property
    def predictor(self) -> Predictor:
        """The regressions; made once."""
        return Predictor(LayerTimes(self.layers_ms, self.protocol.dtype, self.protocol.batch), self.networks)


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Layer(_Row):
    kind: str
    inputs: str
    output: str
    ms: PositiveFinite

    def key(self, where: str) -> LayerKey:
        inputs = tuple(shape_from(text, where) for text in self.inputs.split())
        if not inputs:
            raise InputError(f"{where}: inputs: a layer reads at least one map")
        return LayerKey(self.kind, inputs, shape_from(self.output, where))


class _Network(_Row):
    name: str
    fingerprint: str
    size: int = Field(gt=0)
    median_ms: PositiveFinite
    layers_ms: PositiveFinite
    layers: int = Field(gt=0)
    gbytes: PositiveFinite
    gflops: PositiveFinite


class _Document(_Row):
    kind: Literal["catscale latency table"]
    version: Literal[1]
    taken: str
    seconds: float
    stamp: dict[str, Any]
    protocol: dict[str, Any]
    networks: list[_Network] = Field(min_length=FEWEST)
    layers: list[_Layer] = Field(min_length=1)


def _refuse(differs: Mapping[str, tuple[Any, Any]], where: str) -> None:
    if differs:
        told = ", ".join(f"{name} is {its!r} there, {asked!r} is asked" for name, (its, asked) in differs.items())
        raise InputError(f"{where}: this latency table was made for something else: {told}; make one for that")
