"""Tables 1 to 10 of the YOLOv7 paper as data. arXiv:2207.02696."""

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..blocks.errors import InputError
from ..scaler.cost import CostReport

if TYPE_CHECKING:
    import pandas as pd

TENTH = Decimal("0.1")
TEXTS = ("model", "base", "zoo", "precision", "convention", "note")
COUNTS = ("params_m", "flops_g")
TABLES = {
    1: "Comparison of baseline object detectors",
    2: "Comparison of state-of-the-art real-time object detectors",
    3: "Ablation study on proposed model scaling",
    4: "Ablation study on planned RepConcatenation model",
    5: "Ablation study on planned RepResidual model",
    6: "Ablation study on proposed auxiliary head",
    7: "Ablation study on constrained auxiliary head",
    8: "Ablation study on partial auxiliary head",
    9: "More comparison (batch=1, no-TRT, without extra object detection training data)",
    10: "Comparison of different setting",
}


@dataclass(frozen=True, slots=True)
class Published:
    """A row of a table. AP in percent on COCO; FPS at batch 1; None where the paper has none.

    `params_m` (millions) and `flops_g` (10^9 operations) are as printed, to the last digit. Of models in Tables 1 to 3
    that catscale has, `zoo` is the name here, and `convention` and `counted_at_px` say how the printed FLOPs arise:
    counted at that size by that convention, rounded to 0.1 G, and scaled with the number of pixels to `size_px`. In
    ablations (Tables 3 to 8, 10) `base` is the model that is varied. Rows called "improvement" are differences of
    those above them, and are left out, as are references to the literature.
    """

    table: int
    model: str
    base: str
    zoo: str
    size_px: int | None
    params_m: Decimal | None
    flops_g: Decimal | None
    fps_v100: float | None
    fps_a100: float | None
    precision: str
    iou_threshold: float | None  # of the suppression
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
    convention: str
    counted_at_px: int | None
    note: str

    @property
    def printed(self) -> tuple[int, Decimal, Decimal]:
        """Size, params and FLOPs of a row that has them.

        Raises:
            ValueError: it lacks one.
        """
        if self.size_px is None or self.params_m is None or self.flops_g is None:
            raise ValueError(f"Table {self.table}, {self.model}: prints no size, parameters and FLOPs together")
        return self.size_px, self.params_m, self.flops_g

    def recounted(self, cost: Callable[[int], CostReport]) -> tuple[Decimal, Decimal]:
        """Params in millions and FLOPs in 10^9 of `cost(size)`, counted and rounded as this row was.

        Raises:
            ValueError: catscale has no such model.
        """
        if self.counted_at_px is None:
            raise ValueError(f"Table {self.table}, {self.model}: is no model of the zoo")
        report = cost(self.counted_at_px)
        counted = tenths(report.flops(self.convention), 10**9)
        scaled = counted * self.printed[0] ** 2 / self.counted_at_px**2
        params = report.params_train if self.convention == "paper-train" else report.params
        return tenths(params, 10**6), scaled.quantize(TENTH, ROUND_HALF_UP)


def tenths(count: int, unit: int) -> Decimal:
    """A count in a unit, rounded to one decimal as people do: halves go up."""
    return (Decimal(count) / unit).quantize(TENTH, ROUND_HALF_UP)


@cache
def published(table: int | None = None) -> tuple[Published, ...]:
    """Every row, or those of one table, in the order of the paper."""
    text = files(__name__.rpartition(".")[0]).joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_row(line) for line in csv.DictReader(text.splitlines()) if table in (None, int(line["table"])))


def published_frame(table: int | None = None) -> "pd.DataFrame":
    """All rows, or those of one table without the columns that it lacks; by model where that tells rows apart.

    Raises:
        InputError: the paper has no such table.
    """
    import pandas as pd

    if table is not None and table not in TABLES:
        raise InputError(f"Table {table} is none of the paper's; it has Tables 1 to {len(TABLES)}")
    rows = [asdict(row) for row in published(table)]
    frame = pd.DataFrame(rows)
    for name in ("params_m", "flops_g"):
        frame[name] = pd.to_numeric(frame[name])  # NaN where it has none
    for name in ("size_px", "counted_at_px"):
        frame[name] = frame[name].astype("Int64")
    if table is None:
        return frame
    empty = [name for name in frame.columns if all(getattr(row, name) in (None, "") for row in published(table))]
    return frame.drop(columns=[*empty, "table"])


def _row(line: dict[str, str]) -> Published:
    values: dict[str, Any] = {name: line[name] for name in TEXTS}
    for name in line.keys() - set(TEXTS):
        kind = int if name in ("table", "size_px", "counted_at_px") else Decimal if name in COUNTS else float
        values[name] = kind(line[name]) if line[name] else None
    return Published(**values)
