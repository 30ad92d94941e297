"""Whether the studies of one report may be compared: what differs between them is said, not drawn over."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..search.quantities import QUANTITIES
from ..search.status import StudyRecord
from ..search.study import Study


def mixture(records: Sequence[StudyRecord], devices: Sequence[Sequence[str]]) -> list[str]:
    """A sentence for each thing in which studies differ, and what does not compare for it.

    Args:
        records: the studies.
        devices: that each was run on.
    """
    remarks = []
    found = sorted({device for several in devices for device in several})
    if len(found) > 1:
        remarks.append(
            f"these studies were run on different devices ({'; '.join(found)}): their latencies do not compare"
        )
    for what, words in DIFFERENCES.items():
        values = list(dict.fromkeys(words(record.study) for record in records))
        if len(values) > 1:
            remarks.append(what.format("; ".join(values)))
    return remarks


def _objectives(study: Study) -> str:
    return ", ".join(QUANTITIES[name].title for name in study.objectives)


def _training(study: Study) -> str:
    recipe = study.contents.recipe if study.contents else {}
    epochs = recipe.get("epochs", study.epochs)
    return f"{epochs} epochs of {Path(study.recipe).stem}, {len(study.training_seeds)} seed(s)"


DIFFERENCES: dict[str, Callable[[Study], str]] = {
    "these studies have different objectives ({}): their fronts do not compare": _objectives,
    "these studies have different data ({}): their AP does not compare": lambda study: str(study.data),
    "these studies train differently ({}): their AP does not compare": _training,
}
