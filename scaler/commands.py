"""The generator's verb scale; the others are in files of their own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..blocks.errors import InputError
from ..blocks.heads import HEADS
from .architecture import Architecture
from .documents import write_text
from .explain import remarks
from .fit import STRATEGIES
from .scale_report import explained, fit_json, fitted_steps, print_explanations, print_fit
from .scaling import steps
from .terminal import JsonOption, err, out, print_json, print_table
from .zoo import load

ArchArg = Annotated[str, typer.Argument(metavar="ARCH", help="A name of the zoo, or an architecture file (YAML).")]
SizeOption = Annotated[int | None, typer.Option("--size", help="Input size in pixels instead of the architecture's.")]
PART = "A factor, or PART=FACTOR for the nodes whose names begin with PART; may be given again."
WidthOption = Annotated[list[str] | None, typer.Option("--width", help=f"Scale every width. {PART}")]
DepthOption = Annotated[list[str] | None, typer.Option("--depth", help=f"Scale depth inside blocks only. {PART}")]
CompoundOption = Annotated[
    list[str] | None,
    typer.Option("--compound", help=f"Scale depth, and the width around by what the concatenations gained. {PART}"),
]
ExponentOption = Annotated[
    float | None, typer.Option(help="With --compound: transitions scale with r ** this. 1 is the paper's rule.")
]
StagesOption = Annotated[
    str | None, typer.Option(help="Number of pyramid levels, +1 or -1 for one more or less, or a span such as p4-p6.")
]
HeadOption = Annotated[str | None, typer.Option(help=f"Kind of head at every level: {', '.join(HEADS)}.")]
AnchorsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="With --stages or --head anchor: w,h,w,h,... in pixels of a level; once for each of the result, finest "
        "first."
    ),
]
AuxOption = Annotated[
    str | None,
    typer.Option(
        help="Auxiliary heads: auto, partial (before an E-ELAN's groups are merged), full, none, or the nodes to read."
    ),
]
DivisorOption = Annotated[
    int | None, typer.Option(help="Scaled widths are multiples of it: 1, 2, 4, 8, 16, 32.  [default: 8]")
]
FitOption = Annotated[
    list[str] | None,
    typer.Option(help="Upper bound to come close to: params=20M, gflops=60, macs=, activations=, latency_ms=; again."),
]
StrategyOption = Annotated[
    str | None, typer.Option(help=f"What --fit solves for: {', '.join(STRATEGIES)}.  [default: compound]")
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Show what each concatenation gained, and what became of widths.")
]

FormOption = Annotated[str | None, typer.Option(help="With --extend: parallel, grouped or shuffled.")]
DarkOption = Annotated[
    list[str] | None, typer.Option(help="Dark blocks plain or reversed, or PART=reversed; may be given again.")
]
RepOption = Annotated[
    list[str] | None,
    typer.Option(
        help="3x3 convs to RepConv: planned, repconv, repconvn or none, everywhere or PLAN@POSITION,POSITION "
        "(`catscale reparam` lists them); may be given again."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="With --rep: identities where the rule forbids them, too.")]


def scale(
    arch: ArchArg,
    stages: StagesOption = None,
    anchors: AnchorsOption = None,
    depth: DepthOption = None,
    compound: CompoundOption = None,
    exponent: ExponentOption = None,
    down: Annotated[str | None, typer.Option(help="Kind of transitions: strided_conv, pool_conv or downc.")] = None,
    extend: Annotated[int | None, typer.Option(help="ELAN to E-ELAN with this many groups.")] = None,
    form: FormOption = None,
    dark: DarkOption = None,
    rep: RepOption = None,
    force: ForceOption = False,
    activation: Annotated[str | None, typer.Option(help="silu, leaky_relu or mish.")] = None,
    aux: AuxOption = None,
    head: HeadOption = None,
    width: WidthOption = None,
    divisor: DivisorOption = None,
    size: Annotated[int | None, typer.Option(help="Input size in pixels.")] = None,
    fit: FitOption = None,
    strategy: StrategyOption = None,
    device: Annotated[str | None, typer.Option(help="Where --fit latency_ms is measured.  [default: auto]")] = None,
    explain: ExplainOption = False,
    name: Annotated[str | None, typer.Option(help="Name of the result.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Architecture file to write.")] = None,
    official: Annotated[Path | None, typer.Option(help="Official YOLOv7 model file to write.")] = None,
    official_form: Annotated[
        str | None, typer.Option(help="train, or deploy without what only training needs.  [default: train]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Derive a scaled variant of a detector, exactly.

    Scalings are applied in the order of the options below (beside --stages, --size first where it can be), so that what
    a compound scaling gains is reckoned from the base's own widths; --fit comes after them, and solves for the largest
    variant within all its bounds. Without --output, the architecture file goes to stdout; with --fit or --explain, the
    tables.

    Example: catscale scale yolov7-w6 --compound 1.5 --down downc -o e6.yaml
    """
    if official_form and not official:
        raise InputError(f"--official-form {official_form}: is of --official; add --official FILE.yaml")
    base = load(arch)
    at_once = stages and size and size % base.strides[-1] == 0  # more levels may need it, fewer may allow others
    given = {
        **({"resolution": size} if at_once else {}),
        "stages": _levels(stages, base),
        "anchors": [_sides(level) for level in anchors] if anchors else None,
        "depth": _factor("depth", depth),
        "compound": _factor("compound", compound),
        "exponent": exponent,
        "transition": down,
        "extend": extend,
        "form": form,
        "dark": _words("dark", dark),
        "rep": rep,
        "force": force or None,
        "activation": activation,
        "aux": aux.split(",") if aux and "," in aux else aux,
        "head": head,
        "width": _factor("width", width),
        "divisor": divisor,
        **({} if at_once else {"resolution": size}),
    }
    scalings = {name: value for name, value in given.items() if value is not None}
    if fit:
        done, fitted = fitted_steps(base, scalings, fit, strategy, device)
        scalings |= fitted.best.scalings
    else:
        for option, value, needs in (("strategy", strategy, "params=20M"), ("device", device, "latency_ms=8")):
            if value is not None:
                raise InputError(f"--{option} {value}: is of --fit; add --fit {needs}")
        done, fitted = steps(base, scalings), None
    scaled = done[-1].after if done else base
    scaled = scaled.replace(name=name or (output.stem if output else scaled.name))
    text = _official(scaled, official_form or "train") if official else ""
    explanations = explained(done) if explain else ()
    for remark in remarks(done):
        err.print(remark)
    if output:
        write_text(output, scaled.to_yaml())
    if official:
        write_text(official, text)
    if as_json:
        more = {"fit": fit_json(fitted)} if fitted else {}
        more |= {"explain": [explanation.to_json() for explanation in explanations]} if explain else {}
        print_json({"name": scaled.name, "base": base.name, "scale": scalings, **scaled.cost().to_json(), **more})
        return
    if explain:
        print_explanations(explanations)
    if fitted:
        print_fit(fitted)
    if output or official:
        if not fitted:
            _compare(base, scaled)
        err.print(f"Architecture written to {' and '.join(str(path) for path in (output, official) if path)}")
    elif not fitted and not explain:
        out.out(scaled.to_yaml(), end="")


def _official(architecture: Architecture, form: str) -> str:
    """The official model file of an architecture, in the form that was asked for."""
    from .official.exporting import form_named
    from .official.text import official_yaml

    return official_yaml(architecture, form_named(form))


def _factor(option: str, words: list[str] | None) -> float | dict[str, float] | None:
    """`["1.5"]` as a factor, `["backbone=1.5", "neck=2"]` as factors of parts."""
    given = _words(option, words)
    try:
        if isinstance(given, dict):
            return {part: float(value) for part, value in given.items()}
        return None if given is None else float(given)
    except ValueError as error:
        raise InputError(
            f"--{option} {' '.join(words or ())}: expected a factor such as 1.5, or PART=FACTOR"
        ) from error


def _words(option: str, words: list[str] | None) -> str | dict[str, str] | None:
    """`["reversed"]` as a word of the whole, `["backbone=reversed", "neck=plain"]` as words of parts."""
    if not words:
        return None
    found = {part: value for part, _, value in (word.rpartition("=") for word in words)}
    if len(found) < len(words) or ("" in found and len(words) > 1):
        raise InputError(f"--{option} {' '.join(words)}: give one value of the whole, or one of each part")
    return found.get("", found)


def _levels(word: str | None, base: Architecture) -> int | str | None:
    """`4` and, counted from the base's, `+1` and `-1` as a number of levels; a span as it stands."""
    if word is None or not word.removeprefix("+").removeprefix("-").isdecimal():
        return word
    return len(base.heads) + int(word) if word[0] in "+-" else int(word)


def _sides(level: str) -> list[float]:
    """`10,13,16,30` as numbers."""
    try:
        return [float(side) for side in level.split(",")]
    except ValueError as error:
        raise InputError(f"--anchors {level}: expected widths and heights in pixels, such as 10,13,16,30") from error


def _compare(base: Architecture, scaled: Architecture) -> None:
    def row(architecture: Architecture) -> tuple[Any, ...]:
        cost = architecture.cost()
        return architecture.name, cost.size, cost.params / 1e6, cost.flops("paper") / 1e9, cost.activations / 1e6

    columns = ("name", "size px", "params M", "GFLOPs (paper)", "activations M")
    print_table("Deploy graph, before and after", columns, (row(base), row(scaled)))
