"""Every model of the zoo beside its published figures: ours, theirs, and ours counted as theirs was. No torch."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ..blocks.errors import InputError, nearest
from ..scaler.zoo import load, names
from .published import Published, published

PREFERRED = (2, 1, 3)  # of several tables that have a model, the one that stands for it
GIGA = 10**9


def zoo_table(models: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """A record for each model, as plain data; in the order of the tables.

    `params`, `params_train` and `flops_g` (the paper's convention, 10^9) are ours at `size`, that of the published row;
    `as_published` is ours by the convention that the row was counted by, rounded as it was.

    Raises:
        InputError: a model is not in the zoo.
    """
    for model in models or ():
        if model not in names():
            raise InputError(f"--models: no model of the zoo is called {model!r}; {nearest(model, names())}")
    return [_record(model) for model in sorted(models or names(), key=_place)]


def _record(model: str) -> dict[str, Any]:
    architecture = load(model)
    first, *further = _rows(model) or [None]
    size = first.printed[0] if first else architecture.size
    cost = architecture.cost(size)
    record: dict[str, Any] = {
        "name": model,
        "size": size,
        "params": cost.params,
        "params_train": cost.params_train,
        "flops_g": round(cost.flops("paper") / GIGA, 3),
    }
    if first is None:
        return {**record, "published": None, "as_published": None, "equal": None, "also_published": []}
    return {**record, **_compared(first, model), "also_published": [_compared(row, model) for row in further if row]}


def _compared(row: Published, model: str) -> dict[str, Any]:
    params, flops = row.recounted(load(model).cost)
    size, *printed = row.printed
    return {
        "published": {
            "params_m": float(printed[0]),
            "flops_g": float(printed[1]),
            "size": size,
            "table": row.table,
            "convention": row.convention,
            "note": row.note,
        },
        "as_published": {"params_m": float(params), "flops_g": float(flops)},
        "equal": [params, flops] == printed,
    }


def table_cells(records: Sequence[dict[str, Any]]) -> list[tuple[object, ...]]:
    """The records as lines of a table, further published rows of a model below it."""
    lines: list[tuple[object, ...]] = []
    for record in records:
        ours = (f"{record['params'] / 1e6:.3f}", f"{record['params_train'] / 1e6:.3f}", f"{record['flops_g']:.2f}")
        if record["published"] is None:
            lines.append((record["name"], record["size"], *ours, "", "", "", "", "", "in none of the tables"))
            continue
        for compared in (record, *record["also_published"]):
            first = compared is record
            theirs, again = compared["published"], compared["as_published"]
            if not first and (theirs["params_m"], theirs["flops_g"], theirs["size"]) == _shown(record):
                continue  # another table prints the same
            lines.append(
                (
                    record["name"] if first else "",
                    theirs["size"],
                    *(ours if first else ("", "", "")),
                    f"{theirs['params_m']:.1f}",
                    f"{theirs['flops_g']:.1f}",
                    f"{again['params_m']:.1f}",
                    f"{again['flops_g']:.1f}",
                    "equal" if compared["equal"] else f"{again['flops_g'] - theirs['flops_g']:+.1f} G",
                    "; ".join(filter(None, (f"Table {theirs['table']}", theirs["note"]))),
                )
            )
    return lines


def _shown(record: dict[str, Any]) -> tuple[float, float, int]:
    theirs = record["published"]
    return theirs["params_m"], theirs["flops_g"], theirs["size"]


def _rows(model: str) -> list[Published]:
    rows = [row for row in published() if row.zoo == model]
    return sorted(rows, key=lambda row: PREFERRED.index(row.table))


def _place(model: str) -> tuple[int, int, Decimal]:
    rows = _rows(model)
    if not rows:
        return 2, 0, Decimal(0)
    size, _, flops = rows[0].printed
    return rows[0].table == 3, size, flops
