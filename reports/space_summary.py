"""What a study's space holds, as plain data and in words. No torch."""

from pathlib import Path
from typing import Any

import numpy as np

from ..scaler.terminal import out, print_table
from ..search.candidates import Bases
from ..search.quantities import QUANTITIES, shown
from ..search.space import BASE
from ..search.space_table import SpaceTable, nearest_miss

SHOWN = 12  # members of a front in the table; JSON has all
MEANING = {
    "least": "Pareto front of params against FLOPs: nothing has fewer of one and not more of the other",
    "most": "Capacity that FLOPs buy: nothing has more parameters for as few FLOPs",
}


def space_record(table: SpaceTable, bases: Bases) -> dict[str, Any]:
    """What is known of a space, as plain data. FLOPs are by the paper's convention."""
    study = table.study
    rows = table.within if len(table.within) else np.arange(len(table))
    return {
        "name": study.name,
        "bases": list(study.bases),
        "combinations": table.combinations,
        "looked_at": table.looked_at,
        "sampled": table.sampled,
        "seed": study.seed if table.sampled else None,
        "buildable": len(table),
        "unbuildable": [{"reason": reason, "candidates": count} for reason, count in table.unbuildable.items()],
        "distinct": table.distinct,
        "constraints": dict(study.constraints),
        "unmeasured": list(table.unmeasured),
        "within": len(table.within),
        "nearest_miss": nearest_miss(table, bases) if len(table) and not len(table.within) else None,
        "ranges_of": "within" if len(table.within) else "buildable",
        "ranges": {
            name: dict(zip(("least", "median", "most"), _range(values[rows]), strict=True))
            for name, values in table.figures.items()
            if len(rows)
        },
        "fronts": {kind: [_member(table, row) for row in table.front(kind).tolist()] for kind in MEANING},
    }


def _range(values: "np.ndarray[Any, Any]") -> list[Any]:
    """Least, median and most; the median is the lower of the middle two, which some candidate has."""
    return np.quantile(values, (0, 0.5, 1), method="lower").tolist()


def _member(table: SpaceTable, row: int) -> dict[str, Any]:
    return {
        "values": table.values(row),
        **{name: values[row].item() for name, values in table.figures.items()},
        "flops": int(table.counts.flops[row]),
    }


def print_space(record: dict[str, Any]) -> None:
    """Print a space for a person."""
    for line in _lines(record):
        out.print(line, markup=False)
    _print_tables(record)


def _lines(record: dict[str, Any]) -> list[str]:
    """The space in words."""
    size = "a continuum" if record["combinations"] is None else f"{record['combinations']:,} candidates"
    lines = [f"{record['name']}: {size}, from {', '.join(map(_short, record['bases']))}"]
    if record["sampled"]:
        lines.append(
            f"counted: a sample of {record['looked_at']:,}, drawn at random with seed {record['seed']};\n"
            "  what follows is of the sample, and the space reaches at least as far"
        )
    lines.append(f"can be built: {record['buildable']:,}, which are {record['distinct']:,} different detectors")
    lines += [f"  {row['candidates']:,} cannot: {row['reason']}" for row in record["unbuildable"]]
    bounds = [
        f"{name} up to {shown(name, bound)}"
        for name, bound in record["constraints"].items()
        if name not in record["unmeasured"]
    ]
    lines.append(f"in budget: {record['within']:,} ({', '.join(bounds) or 'no bounds'})")
    if record["nearest_miss"]:
        lines.append(f"  the nearest miss: {record['nearest_miss']}")
    if record["unmeasured"]:
        lines.append(f"  left out, as it takes a measurement: {', '.join(record['unmeasured'])}")
    return lines


def _print_tables(record: dict[str, Any]) -> None:
    names = ("params", "gflops", "activations")
    columns = ("params M", "GFLOPs (paper)", "activations M")

    def cells(figures: dict[str, Any]) -> list[float]:
        return [figures[name] / QUANTITIES[name].scale for name in names]

    if record["ranges"]:
        title = "In budget" if record["ranges_of"] == "within" else "None in budget; of all"
        ends = ("least", "median", "most")
        rows = [(end, *cells({name: record["ranges"][name][end] for name in names})) for end in ends]
        print_table(f"\n{title}", ("", *columns), rows)
    for kind, front in record["fronts"].items():
        if front:
            picked = sorted({round(place) for place in np.linspace(0, len(front) - 1, min(SHOWN, len(front)))})
            more = f"{len(picked)} of {len(front)}; --json has all" if len(picked) < len(front) else ""
            rows = [
                (_named(front[place]["values"], len(record["bases"]) > 1), *cells(front[place])) for place in picked
            ]
            print_table(f"\n{MEANING[kind]}", ("candidate", *columns), rows, more)


def _named(values: dict[str, Any], several_bases: bool) -> str:
    """`compound 0.5, width 0.75`, with the base where there are several."""
    words = [_short(values[BASE])] if several_bases else []
    return ", ".join(words + [f"{name} {_number(value)}" for name, value in values.items() if name != BASE])


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(base: str) -> str:
    """A base by its name, or by its file's."""
    return Path(base).name.removesuffix(".yaml")
