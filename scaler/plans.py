"""Named plans of re-parameterisation as a scaling: `planned`, or `planned@backbone,neck.p3` at positions. No torch."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args

from ..blocks.errors import nearest
from .architecture import Architecture
from .factors import ScaleError
from .reparam import FORMS, RepForm, RepPlace

EVERYWHERE = "*"


def rep(architecture: Architecture, plan: str | Sequence[str], *, force: bool = False) -> Architecture:
    """Apply a named plan to the 3x3 convolutions at some positions, or several plans one after another.

    A plan is a form of `reparam.FORMS` (`none`, `planned`, `repconv`, `repconvn`), alone for every position or with
    `@` and positions joined by commas (`RepPlace`). It is added to the plans that the architecture has; `none` takes
    them away. With `force`, identities may stand where the rule forbids them, as in the paper's own ablation.

    Raises:
        InputError: there is no such plan or position, or it breaks the rule and is not forced.

    Source: YOLOv7, arXiv:2207.02696, section 4.1, Fig. 4, Tables 4 and 5.
    """
    if not isinstance(force, bool):
        raise ScaleError(f"{architecture.name}: force: {force!r} is neither true nor false")
    kept = list(architecture.rep)
    for place in read_plan(architecture.name, plan):
        kept = [] if place.at == EVERYWHERE else [other for other in kept if other.at != place.at]
        if place.form != "none" or kept:  # without a plan before it, none says nothing
            kept.append(replace(place, form="forced") if force and place.form == "repconv" else place)
    return architecture if tuple(kept) == architecture.rep else replace(architecture, rep=tuple(kept))


def read_plan(where: str, plan: str | Sequence[str]) -> Iterator[RepPlace]:
    """The places that plans written as `FORM` or `FORM@POSITION,POSITION` mean.

    Raises:
        ScaleError: there is no such plan, or it is not written so.
    """
    for entry in [plan] if isinstance(plan, str) else plan:
        if not isinstance(entry, str):
            raise ScaleError(f"{where}: rep: {entry!r} is no plan; write one as planned, or as planned@backbone")
        word, at, positions = entry.partition("@")
        form: RepForm | None = next((form for form in get_args(RepForm) if form == word), None)
        if form is None:
            raise ScaleError(f"{where}: rep: no plan is called {word!r}; {nearest(word, FORMS)}")
        for position in positions.split(",") if at else [EVERYWHERE]:
            if not position.strip():
                raise ScaleError(f"{where}: rep: {entry!r} names no position after @ or a comma")
            yield RepPlace(position.strip(), form)


def is_plan(value: object) -> bool:
    """Whether something is written as one plan."""
    try:
        return isinstance(value, str) and bool(list(read_plan("", value)))
    except ScaleError:
        return False
