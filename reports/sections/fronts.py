"""The Pareto fronts: a picture for each pair of objectives."""

from ...search.quantities import QUANTITIES
from ..frames import pairs
from ..front_figure import draw_front
from ..pictures import Picture, picture
from ..points import directions, on_coco, points_frame, published_points, whiskers
from .material import Material, Section, label


def fronts(material: Material) -> Section | None:
    """What is to be traded for what; nothing where no trial has a result with both figures of a pair."""
    if not material.results:
        return None
    pictures = [found for x, y in pairs(material.record.study) if (found := _picture(material, x, y))]
    if not pictures:
        return None
    single = len(material.record.study.objectives) == 1
    remarks = ["one objective, so there is one best trial and no front"] if single else []
    return Section(
        "fronts", "Best trial" if single else "Pareto front", "pictures.html.j2", {"pictures": pictures}, remarks
    )


def _picture(material: Material, x: str, y: str) -> Picture | None:
    record, study = material.record, material.record.study
    points = points_frame(record, x, y, material.uncertainty)
    x_title, y_title = QUANTITIES[x].title, QUANTITIES[y].title
    what = f"{y_title} against {x_title}"
    trained = len(points.query("kind in ('front', 'dominated')"))
    if not trained:
        return None
    published = published_points(record, x, y)
    figure = draw_front(points, x, y, directions(record, x, y), f"{study.name}: {what}", published)
    members = points.query("kind == 'front'").sort_values(["x", "y"]).index
    numbers = ", ".join(map(str, members))
    alt = f"Scatter plot of {what} of {trained} trained detectors."
    if len(study.objectives) == 1:
        caption = (
            f"One objective, {y_title}: the best is trial {numbers}. {x_title} is shown beside it, not searched for."
        )
        alt = f"{alt} The best is trial {numbers}."
    else:
        caption = f"{what}. Numbers are trials; the line joins those that no other trial beats in both."
        alt = f"{alt} On the Pareto front: trials {numbers}."
    caption += whiskers(points, x, y, material.uncertainty)
    if len(published):
        caption += " Squares: published models (arXiv:2207.02696, Table 2)."
    elif y == "ap" and not on_coco(study):
        caption += " Published models are not beside them: their AP is of COCO."
    scales = QUANTITIES[x].scale, QUANTITIES[y].scale
    placed = points.dropna(subset=["x", "y"])
    at = zip(placed.index, placed["x"] / scales[0], placed["y"] / scales[1], strict=True)
    courses = {int(number): [(x, y)] for number, x, y in at}
    linked = {row.number: (material.anchor(row), label(row, (y, x))) for row in material.shown}
    stem = material.output / f"{material.stem}-front-{y}-{x.removesuffix('_ms')}"
    return picture(figure, stem, alt, caption, courses, linked)
