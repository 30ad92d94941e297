"""Tables 1 to 3 of the YOLOv7 paper as data. arXiv:2207.02696."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import cast

from ..scaler.cost import CostReport, Form

TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Published:
    """A row of a table. AP in percent on COCO; FPS on a V100 at batch 1; None where the paper has none.

    `params_m` (millions) and `flops_g` (10^9 operations) are as printed, to the last digit. Of models that catscale
    has, `zoo` is the name here, and `convention` and `counted_at_px` say how the printed FLOPs arise: counted at that
    size by that convention, rounded to 0.1 G, and scaled with the number of pixels to `size_px`; `params_of` says of
    which form of the graph (`CostReport.params_of`) the printed parameters are.
    """

    table: int
    model: str
    zoo: str
    size_px: int
    params_m: Decimal
    flops_g: Decimal
    fps_v100: float | None
    ap_val: float | None
    ap50_val: float | None
    ap75_val: float | None
    ap_s_val: float | None
    ap_m_val: float | None
    ap_l_val: float | None
    ap_test: float | None
    ap50_test: float | None
    ap75_test: float | None
    ap_s_test: float | None
    ap_m_test: float | None
    ap_l_test: float | None
    params_of: str
    convention: str
    counted_at_px: int
    note: str

    def recounted(self, cost: Callable[[int], CostReport]) -> tuple[Decimal, Decimal]:
        """Params in millions and FLOPs in 10^9 of `cost(size)`, counted and rounded as this row was."""
        report = cost(self.counted_at_px)
        counted = tenths(report.flops(self.convention), 10**9)
        scaled = counted * self.size_px**2 / self.counted_at_px**2
        return tenths(report.params_of(cast(Form, self.params_of)), 10**6), scaled.quantize(TENTH, ROUND_HALF_UP)


def tenths(count: int, unit: int) -> Decimal:
    """A count in a unit, rounded to one decimal as people do: halves go up."""
    return (Decimal(count) / unit).quantize(TENTH, ROUND_HALF_UP)


@cache
def published() -> tuple[Published, ...]:
    """Every row, in the order of the paper."""
    text = files(__name__.rpartition(".")[0]).joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_row(line) for line in csv.DictReader(text.splitlines()))


def _row(line: dict[str, str]) -> Published:
    texts = {name: line[name] for name in ("model", "zoo", "params_of", "convention", "note")}
    exact = {name: Decimal(line[name]) for name in ("params_m", "flops_g")}
    whole = {name: int(line[name] or 0) for name in ("table", "size_px", "counted_at_px")}
    rest = line.keys() - texts.keys() - exact.keys() - whole.keys()
    return Published(**texts, **exact, **whole, **{name: float(line[name]) if line[name] else None for name in rest})  # type: ignore[arg-type]
