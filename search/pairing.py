"""Which heads of a space can be trained with which of its assigners: known before a detector is built. No torch."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ..blocks.errors import InputError
from ..blocks.heads import HEAD_WORDS, HEADS, Head
from ..trainer.pairings import MEANINGFUL, AssignerWord, check_pairing, is_meaningful
from .candidates import Bases
from .parameters import RECIPE
from .space import Value
from .stored_study import recipe_of
from .study import Study

HEAD, ASSIGNER = "head", f"{RECIPE}assigner"  # parameters of which not every two values go together


class Pairing:
    """The heads of a study, chosen by its space or its bases' own, and the assigners that they meet."""

    def __init__(self, study: Study, bases: Bases) -> None:
        self.study, self.bases = study, bases

    def mismatch(self, values: Mapping[str, Value]) -> str:
        """Why a combination is meaningless; empty where it is not, or where it leaves the assigner open."""
        if self.all_meaningful or (ASSIGNER in self.study.space.parameters and ASSIGNER not in values):
            return ""
        kind = HEADS[str(values[HEAD])] if HEAD in values else type(self.bases.base_of(values).head)
        assigner: Any = values[ASSIGNER] if ASSIGNER in values else self._given[kind]
        return "" if is_meaningful(kind, assigner) else _words(kind, assigner)

    @cached_property
    def all_meaningful(self) -> bool:
        """Whether every head of the study goes with every assigner that it may meet."""
        return all(is_meaningful(*pair) for pair in self._pairs)

    def check(self) -> None:
        """Hold that some head meets an assigner that it can be trained with, and that every reference does.

        Raises:
            InputError: not so; the message says what to write instead.
        """
        name = self.study.name
        if not any(is_meaningful(*pair) for pair in self._pairs):
            raise InputError(f"{name}: nothing of it can be trained: {'; '.join(_words(*it) for it in self._pairs)}")
        for reference in map(self.bases.reference, self.study.compared):
            kind = type(reference.architecture.head)
            try:
                check_pairing(reference.architecture, reference.trained_by(recipe_of(self.study)).assigner)
            except InputError as error:
                mended = f"overrides_by_head: {{{HEAD_WORDS[kind]}: {{assigner: {MEANINGFUL[kind][0]}}}}}"
                raise InputError(f"{name}: base: {error}, or {mended}; or train none: references: false") from error

    @cached_property
    def _pairs(self) -> tuple[tuple[type[Head], AssignerWord], ...]:
        """Every head with every assigner that it may meet."""
        parameters = self.study.space.parameters
        own = tuple(dict.fromkeys(type(base.head) for base in self.bases.architectures.values()))
        kinds = tuple(HEADS[str(word)] for word in parameters[HEAD].values or ()) if HEAD in parameters else own
        chosen = parameters[ASSIGNER].choices if ASSIGNER in parameters else None
        return tuple((kind, assigner) for kind in kinds for assigner in chosen or (self._given[kind],))

    @cached_property
    def _given(self) -> Mapping[type[Head], AssignerWord]:
        """The assigner of each kind of head where the space does not choose it."""
        recipe, by_head = recipe_of(self.study), self.study.overrides_by_head
        return {kind: by_head.get(word, {}).get("assigner", recipe.assigner) for word, kind in HEADS.items()}


def _words(kind: type[Head], assigner: AssignerWord) -> str:
    return f"head {HEAD_WORDS[kind]} goes with assigner {' or '.join(MEANINGFUL[kind])}, not with {assigner}"
