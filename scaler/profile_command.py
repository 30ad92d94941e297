"""The verb profile: what the graph alone says of a detector."""

from typing import Annotated, Any

import typer

from .architecture import Architecture
from .commands import ArchArg, SizeOption
from .cost import CONVENTIONS, CostReport
from .memory import BYTES, MemoryReport, memory
from .paths import PathLengths, paths_of_blocks, paths_to_image
from .receptive_field import receptive_field
from .roofline import Roofline, roofline
from .terminal import JsonOption, out, print_json, print_table
from .zoo import load

CheckOption = Annotated[bool, typer.Option("--check", help="Count the built model with torch, fvcore and ptflops too.")]
OnOption = Annotated[
    str | None,
    typer.Option("--on", metavar="DEVICE", help="Bound the time on v100-sxm2, h100-sxm, t4, …, or on a YAML file's."),
]
DtypeOption = Annotated[str, typer.Option(help=f"Of weights and maps in memory: {', '.join(BYTES)}.")]


def profile(
    arch: ArchArg,
    size: SizeOption = None,
    on: OnOption = None,
    dtype: DtypeOption = "fp16",
    batch: Annotated[int, typer.Option(help="Images at a time, for bytes and times.")] = 1,
    check: CheckOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count a detector without building it: params, MACs, FLOPs, activations, memory access, gradient paths, per block.

    With --on, the roofline bound too: the least time that the device could take, and what bounds each block.

    Example: catscale profile yolov7 --size 640 --on v100-sxm2
    """
    architecture = load(arch)
    cost = architecture.cost(size)
    moved = memory(cost, dtype, batch)
    bound = roofline(moved, on) if on else None
    paths = paths_of_blocks(architecture.graph())
    heads = _heads(architecture)
    checks = []
    if check:
        from .cross_check import cross_check

        checks = cross_check(architecture, size)
    if as_json:
        found = [{"counter": c.counter, "figure": c.figure, "theirs": c.theirs, "ours": c.ours} for c in checks]
        document = {"name": architecture.name, **_document(cost, moved, paths, bound), "heads": heads}
        print_json({**document, **({"check": found} if check else {})})
        return
    _print_blocks(architecture.name, cost, moved, paths, bound)
    out.print(f"\nparams of the train graph: {cost.params_train:,}\n")
    rows = [(name, cost.flops(name) / 1e9, convention.meaning) for name, convention in CONVENTIONS.items()]
    print_table("FLOPs by convention", ("convention", "GFLOPs", "counts"), rows)
    out.print()
    columns = ("head", "stride px", "receptive field px", "shortest path", "longest path")
    note = "paths: convolutions from the prediction back to the image, train graph; a receptive field away from borders"
    print_table("Heads", columns, [tuple(head.values()) for head in heads], note)
    if checks:
        out.print()
        rows = [(c.counter, c.figure, c.theirs, c.ours, c.equal, c.rule) for c in checks]
        print_table("Counted by others", ("counter", "figure", "theirs", "ours", "equal", "rule"), rows)


def _heads(architecture: Architecture) -> list[dict[str, Any]]:
    graph = architecture.graph()
    paths = paths_to_image(graph)

    def facts(name: str) -> dict[str, Any]:
        field = receptive_field(graph, name)
        stride = int(field.stride) if field.stride.denominator == 1 else float(field.stride)
        lengths = {"shortest_path": paths[name].shortest, "longest_path": paths[name].longest}
        return {"name": name.removeprefix("detect."), "stride": stride, "receptive_field": field.size, **lengths}

    return [facts(name) for name in graph.outputs]


def _document(
    cost: CostReport, moved: MemoryReport, paths: dict[str, PathLengths], bound: Roofline | None
) -> dict[str, Any]:
    document = cost.to_json()
    for block in document["blocks"]:
        name = block["name"]
        block |= moved.blocks[name].to_json()
        block |= {"shortest_path": paths[name].shortest, "longest_path": paths[name].longest}
        if bound:
            block |= {"bound_ms": 1e3 * bound.blocks[name].time_s, "bound_by": bound.blocks[name].by}
    document["memory"] = {"dtype": moved.dtype, "batch": moved.batch, **moved.total.to_json()}
    return document | ({"roofline": bound.to_json()} if bound else {})


def _print_blocks(
    name: str, cost: CostReport, moved: MemoryReport, paths: dict[str, PathLengths], bound: Roofline | None
) -> None:
    def row(block: str) -> tuple[Any, ...]:
        whole = block == "total"
        c = cost.total if whole else cost.blocks[block]
        m = moved.total if whole else moved.blocks[block]
        facts = (block, "" if whole else str(cost.outputs[block]), c.params, c.macs, c.activations)
        facts += (m.bytes / 1e6, f"{m.intensity:,.1f}", "" if whole else str(paths[block]))
        if not bound:
            return facts
        b = bound.total if whole else bound.blocks[block]
        return (*facts, f"{1e6 * b.time_s:,.1f}", b.by)

    columns = ("block", "output", "params", "MACs", "activations", "MB", "FLOPs/byte", "path")
    columns += ("us", "bound by") if bound else ()
    title = f"{name} at {cost.size} px: deploy graph, batch 1; bytes of {moved.dtype}, batch {moved.batch}"
    print_table(title, columns, [row(block) for block in (*cost.blocks, "total")], _bound_note(bound))


def _bound_note(bound: Roofline | None) -> str:
    if not bound:
        return ""
    blocks = [block.by for block in bound.blocks.values() if block.by]
    return (
        f"{bound.device}: {bound.peak / 1e12:g} TFLOP/s {bound.memory.dtype}, {bound.bandwidth / 1e9:g} GB/s, "
        f"ridge {bound.ridge:.1f} FLOPs/byte. At least {1e3 * bound.total.time_s:.3f} ms layer by layer, "
        f"{1e3 * bound.fused_s:.3f} ms if no map left the chip; {blocks.count('memory')} of {len(blocks)} blocks are "
        "bound by memory. A bound, not a prediction: launches, fill and caches are left out"
    )
