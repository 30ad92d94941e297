"""The picture that shows what FLOPs hide: each block's share of the time beside its share of the FLOPs."""

from textwrap import fill
from typing import TYPE_CHECKING, Any

from ..figure_style import BLUE, ORANGE, VERMILION, house_style
from .blocks import BlockTime, BlockTimes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_INCHES, MARGIN_INCHES = 0.27, 1.55
HIDDEN = 1.5  # times as large a share of the latency as of the FLOPs, from where on it stands out


def draw_blocks(times: BlockTimes) -> "Figure":
    """Two bars for each block, from the image at the top to the boxes at the bottom."""
    with house_style():
        from matplotlib.figure import Figure

        blocks = times.blocks
        figure = Figure(figsize=(7.2, MARGIN_INCHES + ROW_INCHES * len(blocks)), layout="constrained")
        axes = figure.add_subplot()
        for offset, colour, label, values in (
            (-0.2, BLUE, "share of latency", [100 * block.time_share for block in blocks]),
            (0.2, ORANGE, "share of FLOPs", [100 * block.flops_share for block in blocks]),
        ):
            places = [place + offset for place in range(len(blocks))]
            axes.barh(places, values, height=0.38, color=colour, label=label)
        for place, block in enumerate(blocks):
            end = 100 * max(block.time_share, block.flops_share)
            style: dict[str, Any] = {"color": VERMILION, "fontweight": "bold"} if block.hidden >= HIDDEN else {}
            axes.annotate(
                _label(block), (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8, **style
            )
        axes.set_yticks(range(len(blocks)), [block.name for block in blocks], fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.2, y=0.01)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("% of the network · beside it: time, and share of latency over share of FLOPs")
        axes.set_title(f"{times.name} at {times.stamp.size} px: {times.ms:.1f} ms")
        figure.legend(loc="outside upper right", ncols=2)
        figure.supxlabel(fill(times.stamp.words, 110), fontsize=7, x=0.01, ha="left")
    return figure


def _label(block: BlockTime) -> str:
    return f"{block.ms:.2f} ms" + (f"  {block.hidden:.1f}x" if block.flops_share else "")
