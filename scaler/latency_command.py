"""`catscale latency`: architectures measured on this machine, in turns."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..blocks.errors import CatscaleError, InputError, nearest
from .commands import SizeOption
from .documents import write_text
from .terminal import JsonOption, err, print_json
from .zoo import load

if TYPE_CHECKING:
    from .latency.measure import Measurement

RUNTIME = "torch (eager), compile, cuda-graph, onnxruntime, openvino or tensorrt (by trtexec)."
FORMS = "fp32, tf32, fp16 or bf16."


def latency(
    context: typer.Context,
    archs: Annotated[
        list[str] | None, typer.Argument(metavar="ARCH...", help="Names of the zoo, or architecture files.")
    ] = None,
    size: SizeOption = None,
    runtime: Annotated[str, typer.Option(help=RUNTIME)] = "torch",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 … or auto.")] = "auto",
    dtype: Annotated[str, typer.Option(help=FORMS)] = "fp32",
    batch: Annotated[str, typer.Option(help="Images at a time, or several such as 1,32.")] = "1",
    part: Annotated[str, typer.Option(help="forward, nms, end-to-end, several of them, or all.")] = "forward",
    threads: Annotated[int | None, typer.Option(min=1, help="Of a CPU, a core each; all cores by default.")] = None,
    cold_cache: Annotated[bool, typer.Option("--cold-cache", help="Empty the caches before each run.")] = False,
    runs: Annotated[int, typer.Option(help="Timed runs after the warm-up; more where the interval is wide.")] = 30,
    interval: Annotated[
        float, typer.Option(help="Widest interval of a median, as a share of it; a wider one is refused.")
    ] = 0.05,
    cache: Annotated[
        Path | None, typer.Option(help="File of results to take from and add to; in the user's cache by default.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what the cache has.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File of results to write (JSON).")] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Measure nothing: write a folder (plan/ of plan.json) to run on another device.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run such a plan on this machine; -o results.json by default.")
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="Measure nothing: show results of other machines; may be given again.")
    ] = None,
    imported: Annotated[
        list[Path] | None, typer.Option("--import", help="Measure nothing: add such results to the cache; again.")
    ] = None,
    predict: Annotated[
        Path | None, typer.Option(help="Measure nothing: predict by a table that `catscale search calibrate` made.")
    ] = None,
    blocks: Annotated[
        Path | None, typer.Option(help="Time one ARCH block by block instead, and draw that here (SVG or PNG).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the deploy graph on this machine: median of many runs after a warm-up, with its confidence interval.

    Several are measured in turns, and compared with the first. A figure that is not steady enough is refused: exit
    code 1. docs/latency.md says how all of it is done.

    Example: catscale latency yolov7-tiny yolov7 --size 320 --device cpu
    """
    from . import latency_elsewhere as elsewhere
    from .latency.architectures import measured_or_kept
    from .latency.cache import Cache, default_cache
    from .latency.protocol import PARTS, Protocol

    given = _stated(context)
    asked = elsewhere.check_together(set(given))
    files = [*(results or imported or ()), *map(Path, archs or ())]
    if asked == "results":
        _show(elsewhere.from_files(files), output, as_json)
        return
    if asked == "imported":
        _show(elsewhere.import_into(Cache(cache or default_cache(), say=_say), files), None, as_json)
        return
    if run:
        found = elsewhere.run(run, given, results=output, fresh=fresh)
        _show(found, None, as_json)
        _refuse_lost(found)
        return
    if not archs:
        raise InputError("latency: name at least one architecture; `catscale zoo` lists them")
    architectures = [load(arch) for arch in archs]
    if predict:
        from .latency_table.show import show_predictions

        show_predictions(architectures, predict, size, given, as_json=as_json)
        return
    protocols = [
        Protocol(
            runtime="onnxruntime" if plan and "runtime" not in given else runtime,
            device=device,
            dtype=dtype,
            batch=each,
            size=size,
            part=which,
            threads=threads,
            cold_cache=cold_cache,
            runs=runs,
            widest_interval=interval,
        )
        for which in _parts(part, PARTS)
        for each in _batches(batch)
    ]
    if plan:
        elsewhere.plan(architectures, protocols, plan)
        return
    if blocks:
        from .latency_table.show import show_blocks

        show_blocks(architectures, protocols, blocks, as_json=as_json)
        return
    kept = Cache(cache or default_cache(), say=_say)
    found = [
        measured
        for protocol in protocols
        for measured in measured_or_kept(architectures, protocol, kept, fresh=fresh, say=_say)
    ]
    _show(found, output, as_json)
    _refuse_lost(found)


def _show(found: Sequence["Measurement"], output: Path | None, as_json: bool) -> None:
    from .latency.results import results_text
    from .latency.table import print_measurements

    if output:
        write_text(output, results_text(found))
    if as_json:
        print_json([measured.to_json() for measured in found])
    else:
        print_measurements(found)


def _refuse_lost(found: Sequence["Measurement"]) -> None:
    if lost := [measured for measured in found if not measured.accepted]:
        why = lost[0].failure or lost[0].refusal
        raise CatscaleError(f"latency: {len(lost)} of {len(found)} gave no result; {lost[0].name}: {why}")


def _stated(context: typer.Context) -> dict[str, Any]:
    """The options that the user gave, by name."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name: context.params[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _say(line: str) -> None:
    err.print(line, markup=False)


def _parts(word: str, known: Sequence[str]) -> list[str]:
    parts = list(known) if word == "all" else [part.strip() for part in word.split(",")]
    for part in parts:
        if part not in known:
            raise InputError(f"--part: no part is called {part!r}; {nearest(part, (*known, 'all'))}")
    return list(dict.fromkeys(parts))


def _batches(word: str) -> list[int]:
    batches = [batch.strip() for batch in word.split(",")]
    if not all(batch.isdecimal() and int(batch) for batch in batches):
        raise InputError(f"--batch {word}: expected a number of images, or several such as 1,32")
    return list(dict.fromkeys(map(int, batches)))
