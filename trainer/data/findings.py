"""What a reader meets on its way: mistakes, which stop it or are collected, and oddities, which are counted."""

from collections import Counter

from ...blocks.errors import InputError


class Findings:
    """Where readers report to: `collect=False` raises at the first mistake, `collect=True` keeps them all."""

    def __init__(self, *, collect: bool) -> None:
        self.collect = collect
        self.problems: list[str] = []
        self.notes: Counter[str] = Counter()

    def problem(self, message: str) -> None:
        """Report a mistake: what, where, and how to mend it.

        Raises:
            InputError: with this message, unless mistakes are collected. The reader then goes on without the bad part.
        """
        if not self.collect:
            raise InputError(message)
        self.problems.append(message)

    def note(self, what: str, count: int = 1) -> None:
        """Count an oddity that stops nothing."""
        if count:
            self.notes[what] += count
