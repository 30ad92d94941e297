"""What a study can aim at or bound: each quantity with its natural direction, unit and words."""

import math
from dataclasses import dataclass
from typing import Literal

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure of a candidate."""

    direction: Direction  # which way is better
    title: str  # for axes and tables
    unit: str
    scale: float = 1.0  # a figure is divided by it before it is shown in `unit`
    trained: bool = False  # known only after training
    detail: str = ""  # how it is counted or taken

    @property
    def label(self) -> str:
        """As an axis has it: `FLOPs (G, paper's convention)`."""
        words = ", ".join(word for word in (self.unit, self.detail) if word)
        return f"{self.title} ({words})" if words else self.title


QUANTITIES: dict[str, Quantity] = {
    "ap": Quantity("maximize", "AP", "", trained=True),
    "ap50": Quantity("maximize", "AP50", "", trained=True),
    "params": Quantity("minimize", "Parameters", "M", 1e6),
    "gflops": Quantity("minimize", "FLOPs", "G", detail="paper's convention"),
    "latency_ms": Quantity("minimize", "Latency", "ms", detail="batch 1"),
    "activations": Quantity("minimize", "Activations", "M", 1e6),
    "macs": Quantity("minimize", "MACs", "G", 1e9),
    "memory": Quantity("minimize", "Memory traffic", "MB", 1e6, detail="fp16, batch 1"),
}


def shown(name: str, value: float) -> str:
    """A figure with its unit, as a person reads it: `shown("params", 6_219_709)` is `6.22 M`."""
    quantity = QUANTITIES[name]
    scaled = value / quantity.scale
    digits = decimals(name, scaled, 3 if quantity.trained or scaled < 1 else 2)
    return f"{scaled:.{digits}f}{' ' if quantity.unit else ''}{quantity.unit}"


def decimals(name: str, scaled: float, usual: int) -> int:
    """How many a figure is shown with: the usual, and of a small cost as many as its first three digits need."""
    if name not in QUANTITIES or QUANTITIES[name].trained or not 0 < scaled < 0.1:
        return usual
    most = max(usual, 2 - math.floor(math.log10(scaled)))
    return next(digits for digits in range(usual, most + 1) if round(scaled, digits) == round(scaled, most))
