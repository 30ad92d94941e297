"""What goes wrong, by whose fault: the command line turns these into one message and an exit code."""

from collections.abc import Iterable
from difflib import get_close_matches


class CatscaleError(Exception):
    """Something failed while working on good input: exit code 1."""


class InputError(CatscaleError):
    """What the user gave cannot be used: the message says what, where and how to mend it. Exit code 2."""


def nearest(word: str, known: Iterable[str]) -> str:
    """End a message about an unknown `word`: the closest known one, or all of them where none is close."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
