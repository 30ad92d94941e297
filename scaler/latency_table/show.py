"""What `catscale latency --predict` and `--blocks` print."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...blocks.errors import InputError, nearest
from ..architecture import Architecture
from ..documents import written
from ..figure_style import house_style
from ..latency.conditions import cpu_name
from ..latency.protocol import Protocol
from ..latency.table import bar
from ..terminal import err, out, print_json, print_table
from .blocks import block_times
from .blocks_figure import draw_blocks
from .predictor import CONFIDENCE
from .table import LatencyTable

PICTURES = ("svg", "png")
OF_PROTOCOL = ("runtime", "dtype", "batch", "part", "threads", "cold_cache")
OF_MEASURING = ("runs", "interval", "cache", "fresh", "output")


def show_predictions(
    architectures: Sequence[Architecture], path: Path, size: int | None, stated: Mapping[str, Any], *, as_json: bool
) -> None:
    """Predict architectures by a table, and print what it says.

    Raises:
        InputError: the table cannot be read, or was made for something else than the options say that the user gave.
    """
    for name in OF_MEASURING:
        if name in stated:
            raise InputError(f"latency: --predict measures nothing; leave out --{name}")
    table = LatencyTable.load(path)
    check_stated(table, stated, str(path))
    found = [(architecture, table.predict(architecture, size)) for architecture in architectures]
    sizes = [architecture.size if size is None else size for architecture in architectures]
    if as_json:
        named = (
            {"name": a.name, "fingerprint": a.fingerprint, "size": px} for (a, _), px in zip(found, sizes, strict=True)
        )
        rows = [{**name, **predicted.to_json()} for name, (_, predicted) in zip(named, found, strict=True)]
        print_json({"table": str(path), "stamp": table.stamp.to_json(), "predictions": rows})
        return
    longest = max(predicted.ms for _, predicted in found)
    columns = ("name", "size px", "predicted ms", f"{CONFIDENCE:.0%} interval", "interpolated", "outside", "")
    rows = [
        (
            a.name,
            px,
            p.ms,
            f"{p.low:,.2f} to {p.high:,.2f}",
            f"{p.interpolated:.0%}",
            bool(p.outside),
            bar(p.ms / longest),
        )
        for (a, p), px in zip(found, sizes, strict=True)
    ]
    print_table("Latency predicted, not measured", columns, rows, "; ".join(table.words()))
    for architecture, predicted in found:
        if predicted.outside:
            err.print(
                f"{architecture.name}: outside what the table was calibrated on: {predicted.outside}", markup=False
            )


def check_stated(table: LatencyTable, stated: Mapping[str, Any], where: str) -> None:
    """Hold the options that a user gave against a table; what was left out is the table's.

    A table may be another machine's, but not where the device is named, for a name is one of this machine.

    Raises:
        InputError: with every option that differs.
    """
    choices = {name: stated[name] for name in OF_PROTOCOL if name in stated}
    device = stated.get("device", "auto")
    if "batch" in choices:
        choices["batch"] = int(choices["batch"]) if str(choices["batch"]).isdecimal() else choices["batch"]
    if device != "auto":
        kind = table.protocol.device.partition(":")[0]
        choices["device"] = table.protocol.device if device == kind else device
        if device == "cpu" == kind and table.stamp.device != (here := cpu_name()):
            raise InputError(f"{where}: this latency table is of device {table.stamp.device!r}; here is {here!r}")
    table.check_choices(choices, where)


def show_blocks(
    architectures: Sequence[Architecture], protocols: Sequence[Protocol], picture: Path, *, as_json: bool
) -> None:
    """Time a network by block, print that, and draw it.

    Raises:
        InputError: there is more than one to time, the picture's ending is neither .svg nor .png, it cannot be written,
            or as `block_times` raises.
    """
    if len(architectures) * len(protocols) > 1:
        raise InputError(f"{picture}: a picture is of one network; name one ARCH, one --part and one --batch")
    form = picture.suffix.lower().removeprefix(".")
    if form not in PICTURES:
        raise InputError(f"{picture}: a picture of blocks is a .svg or a .png file; {nearest(form, PICTURES)}")
    found = block_times(architectures[0], protocols[0], say=err.print)
    figure = draw_blocks(found)
    with house_style(), written(picture) as beside:
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(beside, format=form, metadata=metadata)
    if as_json:
        print_json({**found.to_json(), "picture": str(picture)})
        return
    columns = ("block", "ms", "% of latency", "% of FLOPs", "latency / FLOPs")
    rows = [
        (b.name, b.ms, 100 * b.time_share, 100 * b.flops_share, f"{b.hidden:.2f}" if b.flops_share else "")
        for b in found.blocks
    ]
    title = f"{found.name} at {found.stamp.size} px: {found.ms:.2f} ms by block"
    print_table(title, columns, rows, f"medians of {found.runs} runs; {found.stamp.words}")
    out.print(f"Picture written to {picture}", markup=False)
