"""Results kept in one readable file, by graph and stamp, so that a figure once taken is not taken again."""

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ...blocks.errors import InputError
from ..documents import write_text
from .lock import Say, locked
from .measure import Measurement
from .protocol import Protocol
from .results import read_results, results_text
from .stamp import Stamp

KEPT = 2000  # results, the latest


def default_cache() -> Path:
    """`latency.json` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "catscale" / "latency.json"


class Cache:
    """A file of results, each once for its graph and stamp; only accepted ones are kept.

    A file that is no such file is renamed, `say` is told, and a new one is begun.
    """

    def __init__(self, path: Path, *, say: Say = lambda line: None) -> None:
        self.path, self.say = path, say
        self.kept = self._read()

    def find(self, name: str, fingerprint: str, stamp: Stamp, protocol: Protocol) -> Measurement | None:
        """The result of a graph under an equal stamp, if it is good enough for a protocol; under the name asked for."""
        kept = self.kept.get((fingerprint, stamp))
        if kept is None or len(kept.samples_ms) < protocol.runs:
            return None
        asked = replace(kept, name=name, protocol=protocol)
        return asked if asked.accepted else None

    def keep(self, measurements: Iterable[Measurement]) -> None:
        """Write the accepted ones in, over older ones of the same graph and stamp.

        Raises:
            InputError: the file cannot be written.
            CatscaleError: another process keeps it locked.
        """
        accepted = {(found.fingerprint, found.stamp): found for found in measurements if found.accepted}
        if not accepted:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}; name another --cache") from error
        with locked(self.path.with_name(f".{self.path.name}.lock"), str(self.path), say=self.say):
            kept = {key: found for key, found in self._read().items() if key not in accepted}
            self.kept = dict(list({**kept, **accepted}.items())[-KEPT:])
            write_text(self.path, results_text(tuple(self.kept.values())))

    def _read(self) -> dict[tuple[str, Stamp], Measurement]:
        if not self.path.exists():
            return {}
        try:
            found = read_results(self.path)
        except InputError as error:
            aside = self.path.with_name(f"{self.path.name}.corrupt-{datetime.now():%Y%m%d-%H%M%S-%f}")
            try:
                self.path.rename(aside)
            except OSError:
                raise InputError(f"{error}; it is the cache: name another --cache") from error
            self.say(f"{error}; this cache was set aside as {aside.name}, and a new one is begun")
            return {}
        return {(measured.fingerprint, measured.stamp): measured for measured in found}
