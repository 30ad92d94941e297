"""`proxies.csv`: the audit of a study's proxies, for people and reports; and the same in words."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...blocks.errors import InputError
from ...scaler.documents import read_text, write_text
from ..settings import Proxies
from .audit import Audit, Tau

FILE = "proxies.csv"
COLUMNS = ("kind", "n", "unscored", "tau", "tau_low", "tau_high", "macs_tau", "macs_tau_low", "macs_tau_high", "beats",
           "in_use")  # fmt: skip


def write_audits(path: Path, audits: Sequence[Audit]) -> None:
    """Write a line for each proxy."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in audits:
        shares = [share for tau in (one.tau, one.macs) for share in (tau.value, tau.low, tau.high)]
        figures = [f"{share:.4f}" for share in (*shares, one.beats)]
        writer.writerow([one.kind, one.n, one.unscored, *figures, int(one.in_use)])
    write_text(path, text.getvalue())


def read_audits(path: Path) -> list[Audit]:
    """Read what was written.

    Raises:
        InputError: a line is no proxy's, with its number.
    """
    found = []
    for number, line in enumerate(csv.DictReader(io.StringIO(read_text(path))), start=2):
        try:
            counts = int(line["n"]), int(line["unscored"])
            taus = _tau(line, "tau"), _tau(line, "macs_tau")
            found.append(Audit(line["kind"], *counts, *taus, float(line["beats"]), in_use=line["in_use"] == "1"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: is no proxy's audit; catscale search repair writes it anew") from error
    return found


def _tau(line: Mapping[str, str], name: str) -> Tau:
    return Tau(float(line[name]), float(line[f"{name}_low"]), float(line[f"{name}_high"]))


def verdict(settings: Proxies, audits: Sequence[Audit]) -> str:
    """Whether a proxy ranks proposals, and why, in one line without figures: it changes where that changes."""
    most = max((one.n for one in audits), default=0)
    if most < settings.after:
        return f"proxies: off until {settings.after} trials are finished, with which they are audited"
    used = next((one for one in audits if one.in_use), None)
    if used is None:
        return "proxies: off, as none orders the finished trials by AP clearly better than MACs do"
    return f"proxies: {used.kind} ranks proposals, as it orders the finished trials by AP better than MACs do"


def audit_lines(settings: Proxies, audits: Sequence[Audit]) -> list[str]:
    """The verdict, and the figures that it rests on."""
    lines = [verdict(settings, audits)]
    for one in audits if any(one.n for one in audits) else ():
        unscored = f"; {one.unscored} trials have no score" if one.unscored else ""
        lines.append(
            f"  {one.kind}: tau {one.tau}, MACs {one.macs}, over {one.n} trials; better in {one.beats:.0%} of "
            f"redrawn ones{unscored}"
        )
    return lines
