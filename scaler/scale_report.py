"""What `catscale scale` says of a fit and of an explanation: tables for a person, plain data for a machine."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..blocks.errors import InputError
from .architecture import Architecture
from .explain import DEEPENING, Explanation, explain
from .explain_widths import WIDENING, Widths, explain_widths
from .fit import STRATEGIES, Fit, Measure, Variant, fit
from .scaling import SETTINGS, Step, steps
from .targets import LATENCY, parse_targets, shown
from .terminal import err, out, print_table

if TYPE_CHECKING:
    from .latency.measure import Measurement

OPTIONS = {"transition": "down", "resolution": "size"}  # of the scalings whose option has another name
WIDE_MISS = 0.05  # of a bound; a fit that stays further below has a finer strategy named


def fitted_steps(
    base: Architecture, scalings: Mapping[str, Any], words: Sequence[str], strategy: str | None, device: str | None
) -> tuple[tuple[Step, ...], Fit]:
    """Apply scalings, fit the result to bounds as the options say, and give every step with the fit.

    Raises:
        InputError: an option is wrong, or contradicts another; nothing fits.
    """
    targets, chosen = parse_targets(words), strategy or "compound"
    measured = any(target.quantity == LATENCY for target in targets)
    if device is not None and not measured:
        raise InputError(f"--device {device}: only a latency is measured; add --fit {LATENCY}=8")
    solved = STRATEGIES.get(chosen, ())  # an unknown one is refused by `fit`
    for scaling in solved:
        if scaling in scalings:
            option = OPTIONS.get(scaling, scaling)
            raise InputError(
                f"--{option}: strategy {chosen} solves for it; drop --{option}, or take another --strategy"
            )
    first = {name: value for name, value in scalings.items() if name not in SETTINGS}
    given = {name: value for name, value in scalings.items() if name in SETTINGS}
    before = {name: value for name, value in given.items() if first.keys() & SETTINGS[name]}
    after = {name: value for name, value in given.items() if set(solved) & set(SETTINGS[name]) or name not in before}
    done = steps(base, {**first, **before})
    start = done[-1].after if done else base
    found = fit(start, targets, chosen, settings=after, measure=_timed_on(device or "auto") if measured else None)
    return (*done, *steps(start, found.best.scalings)), found


def _timed_on(device: str) -> Measure:
    """Measure on a device, and say so."""
    from .latency.architectures import SEARCHING, measure_latency

    def measure(architecture: Architecture) -> "Measurement":
        latency = measure_latency(architecture, SEARCHING.replace(device=device), say=err.print)
        rough = f"; a rough figure: {latency.refusal}" if latency.refusal else ""
        err.print(f"measured {architecture.name}: {latency.summary.median_ms:.2f} ms on {latency.stamp.device}{rough}")
        return latency

    return measure


def fit_json(found: Fit) -> dict[str, Any]:
    """The fit as plain data."""

    def variant(of: Variant) -> dict[str, Any]:
        measured = {"latency": of.latency.to_json(samples=False)} if of.latency else {}
        return {
            "name": of.architecture.name,
            "scale": of.scalings,
            "size": of.architecture.size,
            **{name: int(value) if value == int(value) else float(value) for name, value in of.counts.items()},
            **measured,
        }

    return {
        "strategy": found.strategy,
        "bounds": [
            {
                "quantity": target.quantity,
                "bound": float(target.bound),
                "reached": float(target.bound - found.miss(target)),
                "miss": float(found.miss(target)),
                "miss_percent": float(100 * found.miss(target) / target.bound),
            }
            for target in found.targets
        ],
        "before": variant(found.base),
        "after": variant(found.best),
        "next_larger": variant(found.larger) if found.larger else None,
        "ideal": found.ideal,
    }


def print_fit(found: Fit) -> None:
    """Before, after, the next larger one, and by how much each bound is missed."""
    latency = found.base.latency

    def row(what: str, variant: Variant) -> tuple[Any, ...]:
        counts = variant.counts
        words = ", ".join(f"{name} {value:g}" for name, value in variant.scalings.items() if value != 1)
        millions = (counts["params"] / 10**6, counts["gflops"], counts["activations"] / 10**6)
        cells = (what, words or "as it is", variant.architecture.size, *map(float, millions))
        return (*cells, variant.latency.summary.median_ms if variant.latency else None) if latency else cells

    columns = ("", "scaled by", "size px", "params M", "GFLOPs (paper)", "activations M")
    rows = [row("before", found.base), row("after", found.best)]
    rows += [row("measured above" if found.larger.latency else "next larger", found.larger)] if found.larger else []
    note = f"latencies are medians on {latency.stamp.words}" if latency else ""
    title = f"{found.base.architecture.name} fitted by strategy {found.strategy}"
    print_table(title, (*columns, "latency ms") if latency else columns, rows, note)
    out.print()
    misses = [(target, found.miss(target), found.miss(target) / target.bound) for target in found.targets]
    rows = []
    for target, miss, share in misses:
        values = (shown(target.quantity, value) for value in (target.bound, target.bound - miss, miss))
        rows.append((target.quantity, *values, f"{share:.2%}"))
    print_table("Bounds, all upper", ("quantity", "at most", "has", "below by", "below by %"), rows)
    if found.ideal:
        wanted = ", ".join(f"{name} {factor:.3f}" for name, factor in found.ideal.items())
        err.print(f"fast compound scaling wants {wanted}; depth and size were rounded, width was solved for")
    if found.strategy in ("compound", "depth") and min(share for _, _, share in misses) > WIDE_MISS:
        err.print("its steps are coarse; --strategy compound-width has finer ones")


def explained(done: Sequence[Step]) -> tuple[Explanation | Widths, ...]:
    """The steps that have something to explain, explained."""
    return tuple(
        explain(step) if step.scaling in DEEPENING else explain_widths(step)
        for step in done
        if step.scaling in (*DEEPENING, *WIDENING)
    )


def print_explanations(explanations: Sequence[Explanation | Widths]) -> None:
    """A row for each width that a concatenation governed, or a factor was applied to, and what came of it."""
    if not explanations:
        err.print("nothing to explain: only compound, depth, width and head change widths or what is concatenated")
    for explanation in explanations:
        if isinstance(explanation, Widths):
            _print_widths(explanation)
        else:
            _print_gains(explanation)
        out.print()


def _print_widths(explanation: Widths) -> None:
    rows = [(w.place, w.kind, w.field, w.before, w.exact, w.after) for w in explanation.widths]
    what = f"widths, rounded up to multiples of {explanation.divisor}"
    if explanation.scaling == "head":
        what = "its own widths"
    if rows:
        columns = ("node", "kind", "field", "width", "exact", "new width")
        print_table(f"{explanation.scaling} {explanation.value}: {what}", columns, rows)
    if not explanation.head_is_wide:
        out.print(f"The head, {explanation.head}, has no width of its own: it is as wide as what it reads.")


def _print_gains(explanation: Explanation) -> None:
    """A row for each width that a concatenation governed, and the ratios that are no longer the base's."""
    rows: list[tuple[Any, ...]] = []
    for gain in explanation.gains:
        block = (gain.block, gain.before, gain.after, str(gain.r), f"{float(gain.r):.4g}", f"{float(gain.factor):.4g}")
        widened = [(to.node, to.kind, to.before, to.after) for to in gain.widened] or [("", "", None, None)]
        rows += [(*(block if first == 0 else ("",) * 6), *to) for first, to in enumerate(widened)]
    columns = ("block", "concat", "new concat", "r", "decimal", "width x", "governs", "kind", "width", "new width")
    print_table(f"{explanation.scaling} {explanation.value}: what each concatenation gained", columns, rows)
    out.print()
    if explanation.deviations:
        rows = [(d.layer, str(d.wanted), str(d.got), float(d.got / d.wanted)) for d in explanation.deviations]
        columns = ("transition layer", "in : out wanted", "got", "got / wanted")
        print_table("Ratios that are not the base's", columns, rows)
    else:
        out.print("Every transition layer has the base's ratio of in- to out-channels.")
