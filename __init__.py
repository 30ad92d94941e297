"""Concatenation-aware scaling and search for YOLOv7-style detectors.

    import catscale as cs
    cs.load("yolov7-w6").scale(compound=1.5, transition="downc").cost(size=1280).params

What needs torch is imported when it is first asked for; loading, scaling and counting do without.
"""

from typing import TYPE_CHECKING, Any

from .blocks.errors import CatscaleError, InputError
from .scaler.architecture import Architecture
from .scaler.scaling import ScaleError
from .scaler.zoo import load, names

if TYPE_CHECKING:
    from .scaler.build import build, deploy
    from .scaler.growth import grow
    from .scaler.latency.architectures import measure_latency
    from .scaler.latency.protocol import Protocol as LatencyProtocol
    from .scaler.latency_table.table import LatencyTable
    from .scaler.transfer import transfer

__version__ = "0.1.0"
__all__ = [
    "Architecture",
    "CatscaleError",
    "InputError",
    "LatencyProtocol",
    "LatencyTable",
    "ScaleError",
    "build",
    "deploy",
    "grow",
    "load",
    "measure_latency",
    "names",
    "transfer",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use (PEP 562)."""
    if name in ("build", "deploy"):
        from .scaler import build

        return getattr(build, name)
    if name == "measure_latency":
        from .scaler.latency.architectures import measure_latency

        return measure_latency
    if name == "LatencyProtocol":
        from .scaler.latency.protocol import Protocol

        return Protocol
    if name == "LatencyTable":
        from .scaler.latency_table.table import LatencyTable

        return LatencyTable
    if name == "grow":
        from .scaler.growth import grow

        return grow
    if name == "transfer":
        from .scaler.transfer import transfer

        return transfer
    raise AttributeError(f"module 'catscale' has no attribute {name!r}")
