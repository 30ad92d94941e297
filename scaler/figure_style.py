"""The house style of every figure: one palette, one font, nothing that depends on the day or the machine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .documents import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with any colour vision; used in this order.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442",
)  # fmt: skip
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

# These three are exchanged for the page's own colours where a figure stands in it, so that it is readable by night.
INK, PALE, PAPER = "#1f2933", "#aab4be", "#fefefe"
PAGE_COLOURS = {INK: "var(--ink)", PALE: "var(--pale)", PAPER: "var(--paper)"}

UNDATED = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

RC: dict[str, Any] = {
    "figure.figsize": (6.4, 4.4),
    "figure.dpi": 100,
    "figure.facecolor": PAPER,
    "savefig.dpi": 200,
    "savefig.facecolor": PAPER,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.facecolor": PAPER,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud, and the file is small
    "svg.hashsalt": "catscale",  # the same figure is the same bytes
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw without a screen, by `RC` alone: a user's own matplotlib settings do not change our figures."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in {**RC, "backend": "agg"}.items():
            mpl.rcParams[name] = value  # type: ignore[index]
        yield


def save(figure: "Figure", stem: Path, kinds: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure in some formats, PDF too, the same bytes for the same figure.

    Raises:
        InputError: the folder cannot be written to.
    """
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
    with house_style():
        for path in paths:
            with written(path) as beside:
                figure.savefig(beside, format=path.suffix[1:], metadata=UNDATED[path.suffix])
    return paths
