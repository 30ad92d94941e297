"""Reads what runs and studies left on disk, and gives it as pandas frames, tables, figures and pages; never trains.

Everything that a report draws is a frame first:

    from catscale import reports
    study = reports.read_study("runs/search/quickstart")
    reports.trials_frame(study)            # every trial: state, parameters, figures, latency with its spread
    reports.front_frame(study)             # those on the front; or on that of some objectives
    reports.points_frame(study, "gflops", "ap")  # a front's picture: every point, what it is, its intervals
    reports.comparison_frame(study, study.front)  # AP, costs and efficiency, beside the reference
    reports.parallel_frame(study)          # parameters that vary, and objectives
    reports.outcomes_frame(study)          # how trials ended, why, and the time spent
    reports.curves_frame(study)            # every epoch of every training
    reports.uncertainty_frame(study)       # intervals of AP and latency, and how sure the front is
    reports.differences_frame(study, 0)    # how much better than trial 0, on the same resampled images
    reports.importance_frame(study)        # which parameters matter for what is trained
    reports.progress_frame(study)          # hypervolume over trials, epochs and hours, beside random draws
    reports.published_frame(5)             # a table of the YOLOv7 paper; without a number, all ten
    reports.zoo_frame()                    # every known architecture beside its published figures

`markdown(frame)` and `latex(frame, caption, label)` write one as a table; `write_report` writes all of a study.
Pandas and what else is heavy is imported when a name is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..search.status import read_study
    from .comparison import comparison_frame
    from .frames import (
        curves_frame,
        front_frame,
        markdown,
        outcomes_frame,
        parallel_frame,
        trials_frame,
        zoo_frame,
    )
    from .importance import importance_frame
    from .latex_table import latex
    from .page import write_report
    from .points import points_frame
    from .progress import progress_frame
    from .published import published_frame
    from .uncertainty import differences_frame, uncertainty_frame

__all__ = [
    "comparison_frame",
    "curves_frame",
    "differences_frame",
    "front_frame",
    "importance_frame",
    "latex",
    "markdown",
    "outcomes_frame",
    "parallel_frame",
    "points_frame",
    "progress_frame",
    "published_frame",
    "read_study",
    "trials_frame",
    "uncertainty_frame",
    "write_report",
    "zoo_frame",
]

_MODULES = {
    "..search.status": ("read_study",),
    ".comparison": ("comparison_frame",),
    ".frames": (
        "curves_frame",
        "front_frame",
        "markdown",
        "outcomes_frame",
        "parallel_frame",
        "trials_frame",
        "zoo_frame",
    ),
    ".importance": ("importance_frame",),
    ".latex_table": ("latex",),
    ".page": ("write_report",),
    ".points": ("points_frame",),
    ".progress": ("progress_frame",),
    ".published": ("published_frame",),
    ".uncertainty": ("differences_frame", "uncertainty_frame"),
}


def __getattr__(name: str) -> Any:
    """Import a name's module on first use (PEP 562)."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module, __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
