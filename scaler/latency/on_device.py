"""`latency --run` where catscale is not installed: the command of the archive that a plan's folder brings along.

Standard library, numpy and a runtime: what typer does for the whole of catscale, argparse does here.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ...blocks.errors import CatscaleError, InputError
from .measure import Measurement
from .plan import NAME, RESULTS, run_plan
from .runtimes import FILE_RUNTIMES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code: 0, 1 (failed or refused), 2 (bad input), 130 (interrupted)."""
    options = _parser().parse_args(arguments)
    changes = {
        name: value
        for name in ("runtime", "device", "threads", "runs", "widest_interval", "cap_s")
        if (value := getattr(options, name)) is not None
    }
    try:
        results = options.output or Path(RESULTS)
        found = run_plan(options.run, results, changes=changes, fresh=options.fresh, say=_say)
    except CatscaleError as error:
        _say(f"error: {error}")
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        _say("error: interrupted; the batches done are kept, and the same command goes on")
        return 130
    for measured in found:
        sys.stdout.write(f"{line(measured)}\n")
    sys.stdout.write(f"Results written to {results}\n")
    return 0 if all(measured.accepted for measured in found) else 1


def line(measured: Measurement) -> str:
    """A result in one line."""
    at = f"{measured.name} at {measured.stamp.size} px, batch {measured.stamp.batch}"
    if measured.failure:
        return f"{at}: failed: {measured.failure}"
    its = measured.summary
    figures = f"{at}: {its.median_ms:.2f} ms ({its.low_ms:.2f} to {its.high_ms:.2f}), {measured.fps:.1f} images/s"
    return f"{figures}; refused: {measured.refusal}" if measured.refusal else figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="catscale.pyz", description="Run a latency plan on this device.")
    verb = parser.add_subparsers(required=True).add_parser("latency", help="measure what a plan names")
    verb.add_argument("--run", type=Path, default=Path(NAME), help="the plan, or its folder")
    verb.add_argument("-o", "--output", type=Path, help=f"file of results to write; {RESULTS} by default")
    verb.add_argument("--fresh", action="store_true", help="measure again what the results have")
    verb.add_argument("--runtime", choices=FILE_RUNTIMES, help="instead of the plan's, as the following are")
    verb.add_argument("--device", help="cpu, cuda, cuda:1 or auto")
    verb.add_argument("--threads", type=int, help="of a CPU, a core each")
    verb.add_argument("--runs", type=int, help="timed runs after the warm-up")
    verb.add_argument("--interval", type=float, dest="widest_interval", help="widest interval of a median, as a share")
    verb.add_argument("--cap", type=float, dest="cap_s", help="seconds of each graph, unless it is slow")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
