"""A study's folder with committed results as a part of the page: claims, table, picture, and how it was run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..search.lock_file import lock_lines
from ..search.stored_study import resolved
from . import readme
from .ablation_table import OURS, PAPER
from .frames import cell_text
from .pictures import picture
from .results import Results, read_results, rounded, write_tables
from .sections.material import Article, Section
from .sections.origin import Definition, machine, origin_section
from .sections.overview import study_facts

SMALL = (
    "AP of trainings here compares them with each other, not with published figures; "
    "what is told from chance stands in the intervals."
)
LAST = ("Latency ms", "Trainings")
STUDIES = ("small.yaml", "study*.yaml")  # what can be run at small scale, and at the paper's


class Folder(NamedTuple):
    """A study's folder with committed results, as it was read."""

    name: str
    question: str
    results: Results
    account: str  # of the README, as HTML
    definitions: Sequence[Definition]
    sessions: Sequence[Mapping[str, Any]]
    lock: Sequence[str]


def read_folder(folder: Path) -> Folder:
    """Read all files that can be damaged, before anything is written.

    Raises:
        InputError: one is, or results or comparison are not there.
    """
    results = read_results(folder)
    paths = [path for pattern in STUDIES for path in sorted(folder.glob(pattern))]
    studies = [(path.name, *resolved(path)) for path in paths]
    question = studies[0][1].question if studies else ""
    definitions = [Definition(name, study_facts(study), text) for name, study, text in studies]
    asked, account = question or readme.question(folder), readme.account(folder)
    return Folder(folder.resolve().name, asked, results, account, definitions, machine(folder), lock_lines(folder))


def results_article(folder: Folder, stem: str, output: Path) -> Article:
    """Write table and picture of a folder's results, and make them a part of the page.

    Raises:
        InputError: the output cannot be written.
    """
    found = folder.results
    tables = [path.name for path in write_tables(found, output / stem)]
    drawn = picture(found.figure, output / stem, f"Picture of: {found.title}.", found.title)
    sections = [
        Section("overview", "Overview", "overview.html.j2", _overview(found)),
        Section("table", "In numbers", "results_table.html.j2", {**_table(found), "files": tables}),
        Section("picture", "In one picture", "pictures.html.j2", {"pictures": [drawn], "wide": True}),
    ]
    if folder.account:
        content = {"html": folder.account}
        sections.append(Section("account", "How it was run, and what it shows", "account.html.j2", content))
    known = folder.account or folder.sessions
    remarks = [] if known else ["neither README.md nor hardware.json: nothing says how it was run"]
    if folder.definitions or folder.sessions or remarks:
        sections.append(origin_section(folder.definitions, folder.sessions, folder.lock, remarks))
    return Article(folder.name, stem, folder.question, sections)


def _overview(found: Results) -> dict[str, Any]:
    said = {"summary": f"{found.title}.", "sentences": found.sentences}
    return {"tiles": found.tiles, **said, "scale": SMALL if found.small else "", "facts": []}


def _table(found: Results) -> dict[str, Any]:
    """The table's cells as text, and which columns hold numbers of ours, words, or what the paper printed."""
    frame = found.frame.map(rounded)[_beside(list(found.frame.columns))]
    lines = [
        (str(label), [_cell(name, value) for name, value in zip(frame.columns, values, strict=True)])
        for label, *values in frame.itertuples()
    ]
    columns = zip(*(cells for _, cells in lines), strict=True)
    kinds = [
        " ".join(["printed"] * ("(paper)" in name) + ["text"] * _is_words(cells))
        for name, cells in zip(frame.columns, columns, strict=True)
    ]
    heads = list(zip(frame.columns, kinds, strict=True))
    return {"first": frame.index.name, "columns": heads, "lines": lines, "caption": found.caption}


def _is_words(cells: Sequence[str]) -> bool:
    """Whether a column is not of numbers, which stand to the right, with their intervals."""
    return not any(cell.lstrip("+-")[:1].isdigit() for cell in cells)


def _cell(name: str, value: object) -> str:
    """AP with one digit, as the paper prints it; trailing zeros stay, so that a column is even."""
    tenths = isinstance(value, float) and value == value and name.startswith(("AP", "SD"))
    return f"{value:.1f}" if tenths else cell_text(value)


def _beside(names: Sequence[str]) -> list[str]:
    """Columns with what the paper printed right behind ours, and what is asked for least at the end, out of sight."""
    order: dict[str, None] = {}
    for name in names:
        spread = ["SD"] if name == f"AP, {OURS}" else []
        order |= dict.fromkeys([name, *spread, name.replace(OURS, PAPER)])
    return [name for name in (*(name for name in order if name not in LAST), *LAST) if name in names]
