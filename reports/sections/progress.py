"""What the search had found by when: hypervolume over the budget."""

import numpy as np

from ...scaler.documents import write_text
from ..pictures import picture
from ..progress import PERMUTATIONS, progress_frame
from ..progress_figure import draw_progress
from .material import Material, Section

TITLE = "Found over the budget"
FEWEST = 3  # trials below which there is no course to speak of
MANY = 1000  # trials of which more are too many to shuffle


def progress(material: Material) -> Section | None:
    """The share of the final hypervolume over trials and epochs; nothing where trials are too few."""
    searched = [row for row in material.results if not row.reference]
    if len(searched) < FEWEST:
        return None
    if len(searched) > MANY:
        remark = f"not drawn how the hypervolume grew: for up to {MANY:,} trials, and here are {len(searched):,}"
        return Section("progress", TITLE, "pictures.html.j2", {"pictures": []}, [remark])
    frame = progress_frame(material.record, permutations=PERMUTATIONS)
    if not np.isfinite(frame["share"].astype(float)).any():
        return None
    stem = material.output / f"{material.stem}-progress"
    write_text(stem.with_name(f"{stem.name}.csv"), frame.to_csv(index=False, lineterminator="\n"))
    budgets = ["trials", "epochs"] if frame["epochs"].iloc[-1] else ["trials"]
    caption = (
        "How much of the hypervolume that all finished trials dominate was found by when. Dashed: the expectation of "
        "drawing the same trials in a random order; the band holds 95 % of such orders. References are left out."
    )
    pictures = [
        picture(
            draw_progress(frame, budget, f"{material.record.study.name}: found over {budget}"),
            stem.with_name(f"{stem.name}-{budget}"),
            f"Line plot of the share of the hypervolume found over {budget}; half is found after "
            f"{int(frame.loc[frame['share'] >= 0.5, budget].iloc[0])}.",
            caption if budget == budgets[0] else "The same over epochs, with those of stopped and failed trainings.",
        )
        for budget in budgets
    ]
    return Section("progress", TITLE, "pictures.html.j2", {"pictures": pictures})
