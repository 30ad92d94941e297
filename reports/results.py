"""What a study's folder with committed results says: its table, its picture, and sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from ..scaler.documents import write_text
from ..search.replay_table import read_table
from ..search.seeds import TABLE, read_seeds
from .ablation import ablation
from .ablation_figure import draw_ablation
from .ablation_table import OURS, PAPER, ablation_frame, tiles, words
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

OWN = (
    f"AP in percent. “{OURS}”: means over the trainings here, none of COCO; SD: over their seeds. In brackets: 95 % of "
    "paired differences."
)
PRINTED = f"“{PAPER}”: as arXiv:2207.02696, Table {{}}, prints it, of other models on other data."
COUNTED = (
    "“(paper)”: as arXiv:2207.02696 prints it, FPS of a V100, AP of COCO. Other columns are counted or timed here."
)
TABLE_OF = "AP in percent, of the table of results that the folder names."


class Results(NamedTuple):
    """What is shown of a folder."""

    title: str
    frame: pd.DataFrame
    caption: str  # of the table: whose figures stand in it
    sentences: Sequence[str]
    figure: "Figure"
    small: bool  # AP is of small trainings, and none of COCO
    tiles: Sequence[tuple[str, str, str]] = ()  # a few figures: what, how much, and a word more


def write_tables(found: Results, stem: Path) -> list[Path]:
    """Write the table as CSV, Markdown with the sentences, and LaTeX.

    Raises:
        InputError: a file cannot be written.
    """
    shown = found.frame.map(rounded)
    texts = {
        "csv": found.frame.to_csv(lineterminator="\n", float_format="%.4g"),
        "md": "\n".join([markdown(shown), *(f"- {sentence}" for sentence in found.sentences), ""]),
        "tex": latex(shown, found.title, f"tab:{stem.name}"),
    }
    for kind, text in texts.items():
        write_text(stem.with_name(f"{stem.name}.{kind}"), text)
    return [stem.with_name(f"{stem.name}.{kind}") for kind in texts]


def read_results(folder: Path) -> Results:
    """Compute what a folder's `compare.yaml` asks for.

    Raises:
        InputError: results or comparison are not there or damaged.
    """
    comparison = read_comparison(folder)
    title = comparison.title
    if isinstance(comparison, Devices):
        pairs = transfers(read_table(folder / comparison.source), comparison.score)
        return Results(title, transfer_frame(pairs), TABLE_OF, [], draw_transfers(pairs, title), small=False)
    if isinstance(comparison, Populations):
        table = read_table(folder / comparison.source)
        groups = [populations(table, name, alike=comparison.alike) for name in comparison.by]
        return Results(title, population_frame(groups), TABLE_OF, [], draw_populations(groups, title), small=True)
    if isinstance(comparison, Family):
        members = family(read_timed(folder / comparison.source))
        frame, said = family_frame(members), family_words(members)
        return Results(title, frame, COUNTED, said, draw_family(members, title, comparison.measured), small=False)
    if isinstance(comparison, LatencyFronts):
        both = fronts(read_timed(folder / comparison.source))
        figure = draw_fronts(both, title, comparison.measured)
        return Results(title, fronts_frame(both), COUNTED, fronts_words(both), figure, small=False)
    if isinstance(comparison, Duels):
        table = read_table(folder / comparison.source)
        searched = {"trials": comparison.trials, "sampler": comparison.sampler}
        found = duels(
            table, comparison.parameter, comparison.before, comparison.after, alike=comparison.alike, **searched
        )
        said = duel_words(found, **searched)
        return Results(title, duel_frame(found, table), TABLE_OF, said, draw_duels(found, title), small=True)
    found = ablation(comparison, read_seeds(folder / TABLE))
    timed = read_timed(folder / LATENCIES) if (folder / LATENCIES).is_file() else []
    frame, printed = ablation_frame(found, timed), comparison.table is not None
    caption = f"{OWN} {PRINTED.format(comparison.table)}" if printed else OWN
    return Results(title, frame, caption, words(found), draw_ablation(found), small=True, tiles=tiles(found))


def rounded(value: object) -> object:
    """A figure with the digits that tables show."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
