"""The page of a report: one file that opens by itself, without a network. Its parts are in `sections/`."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..blocks.errors import InputError
from ..scaler.documents import write_text
from ..search.status import StudyRecord
from .mixed import mixture
from .results_article import read_folder, results_article
from .sections.candidates import IMAGES, candidates
from .sections.front_table import front_table
from .sections.fronts import fronts
from .sections.material import Article, Material, Section
from .sections.origin import machine, origin
from .sections.overview import overview
from .sections.parameters import parameters
from .sections.progress import progress
from .sections.trainings import trainings
from .sections.trials import outcomes, trials

# In the page's order. A section that has nothing to show is None; it says so in a remark where that is a lack.
SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    overview,
    fronts,
    front_table,
    progress,
    parameters,
    trainings,
    candidates,
    trials,
    outcomes,
    origin,
)


def write_report(
    records: Sequence[StudyRecord], output: Path, images: int = IMAGES, folders: Sequence[Path] = ()
) -> list[str]:
    """Write the report of one or more studies: figures, tables and `index.html`, which comes last.

    Args:
        records: the studies.
        output: folder of the report.
        images: that predictions are shown on, of each detector with a section and weights.
        folders: with committed results, as those in `studies/`.

    Returns:
        Remarks for the terminal: what is missing, and is said in the page too.

    Raises:
        InputError: a file of a study is damaged, or the output cannot be written.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; name a folder for the report")
    devices = [sorted({session["device"] for session in machine(record.folder)}) for record in records]
    mixed = mixture(records, devices)
    found = [read_folder(folder) for folder in folders]
    stems = iter(_stems([*(folder.name for folder in found), *(record.study.name for record in records)]))
    named = [(folder, next(stems)) for folder in found]
    materials = [Material(record, next(stems), output, images).read() for record in records]
    articles = [results_article(folder, stem, output) for folder, stem in named]
    articles += [_article(material) for material in materials]
    write_text(output / "index.html", _template().render(studies=articles, mixed=mixed))
    said = [f"{it.name}: {remark}" for it in articles for section in it.sections for remark in section.remarks]
    return [*mixed, *said]


def _article(material: Material) -> Article:
    study = material.record.study
    sections = [section for make in SECTIONS if (section := make(material)) is not None]
    linked = {row.number: material.anchor(row) for row in material.shown}
    return Article(study.name, material.stem, study.question, sections, linked)


def _stems(names: Sequence[str]) -> list[str]:
    """What the files of each study are called: by its name, and a number where names repeat."""
    seen: Counter[str] = Counter()
    stems = []
    for name in names:
        seen[name] += 1
        stems.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return stems


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader(__name__.rpartition(".")[0], "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")
