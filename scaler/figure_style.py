"""The house style of every figure: one palette, one font, nothing that depends on the day or the machine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from .documents import written

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with any colour vision; used in this order.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442",
)  # fmt: skip
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

# These, and BLUE, are exchanged for the page's own where a figure stands in it, so that it is readable by night.
INK, PALE, PAPER = "#1f2933", "#aab4be", "#fefefe"
PAGE_COLOURS = {INK: "var(--ink)", PALE: "var(--pale)", PAPER: "var(--paper)", BLUE: "var(--blue)"}

FORMATS = ("png", "pdf", "svg")  # for screens, for papers, and to go on drawing
UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Date": None, "Creator": None},
}

LETTERS_PER_INCH = 11.5  # of titles, about

RC: dict[str, Any] = {
    "figure.figsize": (6.4, 4.4),
    "figure.dpi": 100,
    "figure.facecolor": PAPER,
    "figure.constrained_layout.w_pad": 0.12,  # in: where a browser has a wider font, words stay whole
    "figure.constrained_layout.h_pad": 0.06,
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
    "pdf.fonttype": 42,  # fonts embedded whole, as text: journals refuse matplotlib's usual Type 3
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


def headline(figure: "Figure", title: str) -> None:
    """A title over all panels of a figure, from its left edge."""
    letters = int(figure.get_figwidth() * LETTERS_PER_INCH)
    place = {"x": RC["figure.constrained_layout.w_pad"] / figure.get_figwidth(), "ha": "left"}
    figure.suptitle(fill(title, letters), fontsize=RC["axes.titlesize"], **place)


def wrapped(title: str, figure: "Figure") -> str:
    """A title for the only panel of a figure, in as many lines as its width asks for."""
    return fill(title, int((figure.get_figwidth() - 1) * LETTERS_PER_INCH))  # an inch is left of the panel


def plain_logarithmic(axis: "Axis") -> None:
    """A logarithmic axis with numbers at 1, 2, 5, 10 … as people write them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure: "Figure", stem: Path, kinds: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure in some of `FORMATS`, laid out once; the same bytes for the same figure.

    Raises:
        InputError: the folder cannot be written to.
    """
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
    lay_out(figure)
    with house_style():
        for path in paths:
            with written(path) as beside:
                figure.savefig(beside, format=path.suffix[1:], metadata=UNDATED[path.suffix[1:]])
    return paths


def lay_out(figure: "Figure") -> None:
    """Give each part of a figure its place for good, which takes longer than to draw it."""
    with house_style():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def svg_text(figure: "Figure") -> str:
    """A figure as the text of an SVG file."""
    text = StringIO()
    lay_out(figure)
    with house_style():
        figure.savefig(text, format="svg", metadata=UNDATED["svg"])
    return text.getvalue()
