"""Which assigners a kind of head can be trained with. No torch: a mistake shows before anything starts."""

from typing import Literal, get_args

from ..blocks.errors import InputError
from ..blocks.heads import HEAD_WORDS, AnchorHead, DecoupledHead, EtHead, Head
from ..scaler.architecture import Architecture

AssignerWord = Literal["simple", "ota", "simota", "task-aligned"]
ASSIGNERS: tuple[AssignerWord, ...] = get_args(AssignerWord)

# The first of each is the published one. `simple` and `ota` choose among anchors; the others among points.
MEANINGFUL: dict[type[Head], tuple[AssignerWord, ...]] = {
    AnchorHead: ("ota", "simple"),
    DecoupledHead: ("simota", "task-aligned"),
    EtHead: ("task-aligned", "simota"),
}


def is_meaningful(kind: type[Head], assigner: AssignerWord) -> bool:
    """Whether a kind of head can be trained with an assigner."""
    return assigner in MEANINGFUL[kind]


def check_pairing(arch: Architecture, assigner: AssignerWord) -> None:
    """Hold a detector's head against the assigner that it is to be trained with.

    Raises:
        InputError: the assigner needs anchors and the head has none, or the other way round.
    """
    kind = type(arch.head)
    if is_meaningful(kind, assigner):
        return
    first, second = MEANINGFUL[kind]
    why = (
        f"chooses among points, and its head, {HEAD_WORDS[kind]}, has anchors"
        if arch.head.anchored
        else f"chooses among anchors, and its head, {HEAD_WORDS[kind]}, has none"
    )
    raise InputError(
        f"{arch.name}: assigner: {assigner} {why}; say assigner: {first} (as published) or {second} in the recipe "
        "(--assigner)"
    )
