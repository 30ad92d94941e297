"""The report of a study's folder with committed results: its table as CSV, Markdown and LaTeX, its picture as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from ..scaler.documents import write_text
from ..scaler.figure_style import save
from ..search.replay_table import read_table
from ..search.seeds import TABLE, read_seeds
from .ablation import ablation
from .ablation_figure import draw_ablation
from .ablation_table import ablation_frame, words
from .compare_file import Devices, Duels, Family, LatencyFronts, Populations, read_comparison
from .device_transfer import draw_transfers, transfer_frame, transfers
from .family import draw_family, family, family_frame, family_words
from .frames import markdown
from .latency_fronts import fronts, fronts_frame, fronts_words
from .latency_fronts_figure import draw_fronts
from .latex_table import latex
from .populations import draw_populations, population_frame, populations
from .search_against_rule import draw_duels, duel_frame, duel_words, duels
from .timed import LATENCIES, read_timed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Results(NamedTuple):
    """What is written of a folder."""

    title: str
    frame: pd.DataFrame
    sentences: Sequence[str]
    figure: "Figure"


def write_results(folder: Path, output: Path) -> list[Path]:
    """Write table and picture of the results that lie in a folder, under the folder's name.

    Raises:
        InputError: results or comparison are not there or damaged, or the output cannot be written.
    """
    found, stem = read_results(folder), output / folder.resolve().name
    texts = {
        "csv": found.frame.to_csv(lineterminator="\n", float_format="%.4g"),
        "md": "\n".join([markdown(found.frame.map(_rounded)), *(f"- {sentence}" for sentence in found.sentences), ""]),
        "tex": latex(found.frame.map(_rounded), found.title, f"tab:{stem.name}"),
    }
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, text in texts.items():
        paths.append(stem.with_name(f"{stem.name}.{kind}"))
        write_text(paths[-1], text)
    return [*paths, *save(found.figure, stem)]


def read_results(folder: Path) -> Results:
    """Compute what a folder's `compare.yaml` asks for.

    Raises:
        InputError: results or comparison are not there or damaged.
    """
    comparison = read_comparison(folder)
    title = comparison.title
    if isinstance(comparison, Devices):
        pairs = transfers(read_table(folder / comparison.source), comparison.score)
        return Results(title, transfer_frame(pairs), [], draw_transfers(pairs, title))
    if isinstance(comparison, Populations):
        table = read_table(folder / comparison.source)
        groups = [populations(table, name, alike=comparison.alike) for name in comparison.by]
        return Results(title, population_frame(groups), [], draw_populations(groups, title))
    if isinstance(comparison, Family):
        members = family(read_timed(folder / comparison.source))
        figure = draw_family(members, title, comparison.measured)
        return Results(title, family_frame(members), family_words(members), figure)
    if isinstance(comparison, LatencyFronts):
        both = fronts(read_timed(folder / comparison.source))
        figure = draw_fronts(both, title, comparison.measured)
        return Results(title, fronts_frame(both), fronts_words(both), figure)
    if isinstance(comparison, Duels):
        table = read_table(folder / comparison.source)
        searched = {"trials": comparison.trials, "sampler": comparison.sampler}
        found = duels(
            table, comparison.parameter, comparison.before, comparison.after, alike=comparison.alike, **searched
        )
        said = duel_words(found, **searched)
        return Results(title, duel_frame(found, table), said, draw_duels(found, title))
    found = ablation(comparison, read_seeds(folder / TABLE))
    timed = read_timed(folder / LATENCIES) if (folder / LATENCIES).is_file() else []
    return Results(title, ablation_frame(found, timed), words(found), draw_ablation(found))


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value
