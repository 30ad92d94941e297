"""An ablation as a table in the paper's layout, published values beside ours: a frame, and what it says in words."""

from collections.abc import Sequence
from math import isfinite, nan

import pandas as pd

from .ablation import RULE, Ablation, Difference
from .spent import duration
from .timed import Timed

PAPER = "COCO (paper)"  # how columns of published values begin: never to be mixed with ours
OURS = "small scale"


def ablation_frame(found: Ablation, timed: Sequence[Timed] = ()) -> pd.DataFrame:
    """A line for each row of the table, with its latency where it was taken. AP is in percent, as the paper has it."""
    base, best = found.comparison.base, found.comparison.best
    latency = {line.model: line.median_ms for line in timed}
    frame = pd.DataFrame(
        [
            {
                "Model": result.label,
                "Params M": result.some.params / 1e6 if result.some else nan,
                "GFLOPs": result.some.gflops if result.some else nan,
                "Latency ms": latency.get(result.variant, nan),
                "Trainings": len(result.seeds),
                f"AP, {OURS}": 100 * result.mean("ap"),
                "SD": 100 * result.spread,
                f"AP50, {OURS}": 100 * result.mean("ap50"),
                f"AP75, {OURS}": 100 * result.mean("ap75"),
                "AP above base": _shown(found.against(result, base)),
                **({"AP above paper's best": _shown(found.against(result, best))} if best else {}),
                f"AP, {PAPER}": getattr(result.published, "ap_val", None),
                f"AP50, {PAPER}": getattr(result.published, "ap50_val", None),
                f"AP75, {PAPER}": getattr(result.published, "ap75_val", None),
            }
            for result in found.results
        ]
    ).set_index("Model")
    return frame.dropna(axis="columns", how="all")


def words(found: Ablation) -> list[str]:
    """What became of the paper's claims, by the stated rule, a sentence each."""
    best = found.comparison.best
    said = []
    if best is not None:
        label = found.result(best).label
        for claim in found.claims:
            theirs = "" if claim.published is None else f" by {claim.published:g} AP on COCO in the paper"
            said.append(
                f"{label} over {claim.other}{theirs}; here {_shown(claim.here) or 'not trained'}: {claim.verdict}."
            )
        said.append(f"The table as a whole: {found.verdict}.")
    if found.tau is not None:
        said.append(f"Order of the rows by mean AP against the paper's: Kendall tau-b {found.tau:+.2f}.")
    if found.resolution is not None:
        said.append(
            f"A difference from the base of about {100 * found.resolution:.1f} AP could have been told from zero "
            "(median half-width of the intervals)."
        )
    return [*said, f"Rule: {RULE}"] if best is not None else said


def tiles(found: Ablation) -> list[tuple[str, str, str]]:
    """A few figures for the head of a page: what, how much, and a word more."""
    rows = [row for result in found.results for row in result.seeds.values()]
    known = [("Trainings", str(len(rows)), f"of {len(found.results)} variants")]
    known += [("Training", duration(sum(row.seconds for row in rows)), "evaluations counted")]
    if found.resolution is not None:
        known.append(("Resolution", f"± {100 * found.resolution:.1f} AP", "median half-width of intervals"))
    return known


def _shown(difference: Difference | None) -> str:
    if difference is None:
        return ""
    mean = f"{100 * difference.mean:+.1f}"
    if not isfinite(difference.low):
        return f"{mean} (one pair)"
    return f"{mean} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
