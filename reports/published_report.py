"""The paper's tables and figures as files."""

from pathlib import Path

from ..scaler.documents import write_text
from ..scaler.figure_style import save
from .frames import markdown
from .latex import latex
from .published import TABLES, published_frame
from .published_figures import published_figures

FORMATS = ("png", "svg", "pdf")


def write_published(output: Path) -> list[str]:
    """Write Tables 1 to 10 as CSV, Markdown and LaTeX, and the figures that they allow as PNG, SVG and PDF.

    Returns:
        A sentence for each figure: what it shows, and of what.

    Raises:
        InputError: the folder cannot be written to.
    """
    write_text(output / "published.csv", published_frame().to_csv(index=False, lineterminator="\n"))
    for number, caption in TABLES.items():
        frame = published_frame(number).set_index("model")
        write_text(output / f"table-{number}.md", markdown(frame))
        source = f"{caption}. AP in percent on COCO. Source: arXiv:2207.02696, Table {number}."
        write_text(output / f"table-{number}.tex", latex(frame, source, f"tab:yolov7-{number}"))
    figures = published_figures()
    for drawn in figures:
        save(drawn.figure, output / f"figure-{drawn.number}", FORMATS)
    return [f"Figure {drawn.number}: {drawn.caption}" for drawn in figures]
