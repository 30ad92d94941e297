"""The report of a study's folder with committed results: its table as CSV, Markdown and LaTeX, its picture as files."""

from pathlib import Path

from ..scaler.documents import write_text
from ..scaler.figure_style import save
from ..search.seeds import TABLE, read_seeds
from .ablation import ablation
from .ablation_figure import draw_ablation
from .ablation_table import ablation_frame, words
from .comparison import read_comparison
from .frames import markdown


def write_ablation(folder: Path, output: Path) -> list[Path]:
    """Write table and picture of the results that lie in a folder, under the folder's name.

    Raises:
        InputError: results or comparison are not there or damaged, or the output cannot be written.
    """
    found = ablation(read_comparison(folder), read_seeds(folder / TABLE))
    frame, stem = ablation_frame(found), output / folder.resolve().name
    texts = {
        "csv": frame.to_csv(lineterminator="\n", float_format="%.4g"),
        "md": "\n".join([markdown(frame.map(_rounded)), *(f"- {sentence}" for sentence in words(found)), ""]),
        "tex": frame.to_latex(escape=True, float_format="%.4g", na_rep="--", caption=found.comparison.title),
    }
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, text in texts.items():
        paths.append(stem.with_name(f"{stem.name}.{kind}"))
        write_text(paths[-1], text)
    return [*paths, *save(draw_ablation(found), stem)]


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value
