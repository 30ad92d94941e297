"""What `catscale latency` does about other machines: plans written, run, and results that came back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..blocks.errors import InputError
from .architecture import Architecture
from .latency.cache import Cache
from .latency.measure import Measurement
from .latency.protocol import Protocol
from .latency.results import read_results
from .terminal import err

GOES_WITH = {  # the options that say something beside each of these
    "plan": {"archs", "size", "runtime", "device", "dtype", "batch", "threads", "cold_cache", "runs", "interval"},
    "run": {"runtime", "device", "threads", "runs", "interval", "fresh", "output", "as_json"},
    "results": {"archs", "output", "as_json"},  # further files stand where else architectures do
    "imported": {"archs", "cache", "as_json"},
}
WORDS = {"archs": "an architecture", "imported": "--import", "as_json": "--json"}
CHANGES = ("runtime", "device", "threads", "runs", "interval")  # of a plan's protocol, where it is run


def check_together(given: set[str]) -> str | None:
    """Which of plan, run, results and imported is asked for, if any.

    Raises:
        InputError: one of them is given with an option that says nothing beside it.
    """
    asked = next((name for name in GOES_WITH if name in given), None)
    if asked and (beside := sorted(given - GOES_WITH[asked] - {asked})):
        raise InputError(f"{_word(asked)}: {_word(beside[0])} says nothing beside it; leave it out")
    return asked


def _word(name: str) -> str:
    return WORDS.get(name, f"--{name.replace('_', '-')}")


def plan(architectures: Sequence[Architecture], protocols: Sequence[Protocol], path: Path) -> None:
    """Write the folder of a plan for protocols that differ in their batch alone, and say how to go on."""
    from .latency.plan import NAME, RESULTS
    from .latency.plan_folder import ARCHIVE, plan_folder, write_plan

    folder = plan_folder(path)
    graphs = write_plan(architectures, protocols[0], folder, batches=[each.batch for each in protocols]).graphs
    size_mb = sum((folder / graph.file).stat().st_size for graph in graphs) / 1e6
    err.print(f"Plan of {len(graphs)} graph{'s' * (len(graphs) > 1)} written to {folder}, {size_mb:,.1f} MB")
    err.print(f"Copy the folder to the device, and there: python {ARCHIVE} latency --run {NAME}")
    err.print(f"Back here: catscale latency --results {RESULTS}")


def run(path: Path, given: Mapping[str, Any], *, results: Path | None, fresh: bool) -> list[Measurement]:
    """Run a plan on this machine; of the options given, those that change its protocol do."""
    from .latency.plan import RESULTS, run_plan

    names = {"interval": "widest_interval"}
    changes = {names.get(name, name): given[name] for name in CHANGES if name in given}
    file = results or Path(RESULTS)
    found = run_plan(path, file, changes=changes, fresh=fresh, say=err.print)
    err.print(f"Results written to {file}")
    return found


def from_files(paths: Sequence[Path]) -> list[Measurement]:
    """The results of several files, one after the other; what stands in two is taken once."""
    found = {(one.fingerprint, one.stamp, one.session): one for path in paths for one in read_results(path)}
    return list(found.values())


def import_into(cache: Cache, paths: Sequence[Path]) -> list[Measurement]:
    """Add results of other machines to a cache, found from now on where a figure of such a stamp is looked up."""
    found = from_files(paths)
    accepted = sum(one.accepted for one in found)
    cache.keep(found)
    err.print(f"{accepted} of {len(found)} results added to {cache.path}; failed and refused ones are not")
    return found
