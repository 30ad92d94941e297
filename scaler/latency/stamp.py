"""What makes two figures comparable, and under what conditions they were taken. No torch."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from .conditions import governor, nvidia_driver
from .pinning import cores_of
from .plain import fields_of
from .protocol import VERSION, Protocol


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """What a runtime knows of the device and of itself."""

    device: str  # what the device calls itself
    versions: Mapping[str, str]  # of the runtime and of what decides on its speed: torch, cuda, cudnn, onnxruntime …
    gpu: str | None = None  # UUID of the GPU, where it is one ("" where that cannot be read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Figures whose stamps are equal may be ranked together; others may not."""

    protocol: int
    host: str
    device: str
    driver: str | None  # of a GPU
    governor: str | None  # of the CPU's frequency
    runtime: str
    versions: str  # "cuda 13.0, torch 2.14.1"
    dtype: str
    part: str
    batch: int
    size: int
    memory_format: str
    threads: int | None  # of a CPU
    cores: str | None  # that the threads are pinned to; None where they cannot be
    cold_cache: bool

    @property
    def words(self) -> str:
        """All of it that a reader of a figure wants beside it, but for the input size."""
        cores = f" on cores {self.cores}" if self.cores else ", not pinned"
        parts = (
            f"{self.device} of {self.host}",
            f"driver {self.driver}" if self.driver else "",
            f"governor {self.governor}" if self.governor else "",
            f"{self.threads} thread{'s' * (self.threads > 1)}{cores}" if self.threads else "",
            f"{self.runtime} ({self.versions})",
            self.dtype,
            self.memory_format.replace("_", "-"),
            f"batch {self.batch}",
            "cold cache" if self.cold_cache else "",
        )
        return ", ".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "stamp") -> Self:
        """A stamp from plain data.

        Raises:
            InputError: a key is unknown or missing.
        """
        return cls(**fields_of(cls, document, where))


def differences(one: Stamp, other: Stamp) -> dict[str, tuple[Any, Any]]:
    """The fields that differ, with both values; empty where figures may be ranked together."""
    pairs = ((field.name, getattr(one, field.name), getattr(other, field.name)) for field in fields(Stamp))
    return {name: (its, others) for name, its, others in pairs if its != others}


def take_stamp(protocol: Protocol, facts: RuntimeFacts, size: int) -> Stamp:
    """The stamp of what is measured by a settled protocol at a size in pixels."""
    on_cpu = facts.gpu is None
    cores = cores_of(protocol.threads) if on_cpu and protocol.threads else None
    return Stamp(
        protocol=VERSION,
        host=platform.node(),
        device=facts.device,
        driver=None if on_cpu else nvidia_driver(),
        governor=governor() if on_cpu else None,
        runtime=protocol.runtime,
        versions=", ".join(f"{name} {version}" for name, version in sorted(facts.versions.items())),
        dtype=protocol.dtype,
        part=protocol.part,
        batch=protocol.batch,
        size=size,
        memory_format=protocol.memory_format,
        threads=protocol.threads if on_cpu else None,
        cores=",".join(map(str, cores)) if cores else None,
        cold_cache=protocol.cold_cache,
    )
