"""Which values the front's detectors have: parallel coordinates."""

from ...search.quantities import QUANTITIES
from ..frames import parallel_frame
from ..parallel_figure import draw_parallel
from ..pictures import picture
from .material import Material, Section


def parameters(material: Material) -> Section | None:
    """A line for each trial through its parameters and objectives; nothing where there is nothing to compare."""
    frame = parallel_frame(material.record)
    if len(frame) < 2 or len(frame.columns) < 2:
        return None
    members = [row.number for row in material.front]
    labels = {
        name: QUANTITIES[name].label if name in material.record.study.objectives else name for name in frame.columns
    }
    figure = draw_parallel(frame, members, labels, f"{material.record.study.name}: parameters and objectives")
    caption = (
        f"A line for each of {len(frame)} trials through its parameters, then its objectives; the front's in colour."
    )
    alt = f"Parallel coordinates of {len(frame)} trials over {', '.join(frame.columns)}."
    pictures = [picture(figure, material.output / f"{material.stem}-parallel", alt, caption)]
    return Section("parameters", "Values that were searched", "pictures.html.j2", {"pictures": pictures, "wide": True})
