"""The verbs `search replay` and `search table`. Optuna is imported when a verb runs, not before."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ..blocks.errors import InputError, nearest
from ..scaler.terminal import JsonOption, err, out, print_json, print_table

if TYPE_CHECKING:
    from .replay import Problem
    from .replay_summary import Summary

BOUND = re.compile(r"\s*([A-Za-z_0-9]+)\s*<=\s*([-+.\deE]+)\s*")


def table(
    sources: Annotated[
        list[Path], typer.Argument(metavar="STUDY...", help="Studies' folders or files, or YOLOBench's folder.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="TABLE.csv", help="The table to write.")],
) -> None:
    """Write the finished trials of studies as a table to replay searches on, a line for each epoch.

    Studies of one space that differ in their seed become the seeds of one table.

    Example: catscale search table runs/search/quickstart -o table.csv
    """
    from .replay_table import Line, table_of, write_table
    from .status import read_study
    from .table_sources import MERGED, study_lines, yolobench_lines

    lines: Sequence[Line]
    if any((source / MERGED).is_file() for source in sources):
        if len(sources) > 1:
            raise InputError(f"{sources[0]}: YOLOBench is a table of its own; name it alone")
        parameters, lines = yolobench_lines(sources[0])
        remarks = ["YOLOBench, arXiv:2307.13901, Apache-2.0; final results only, latency in ms"]
    else:
        records = [read_study(source) for source in sources]
        parameters, lines = study_lines(records)
        remarks = [
            f"{record.study.name}: base {', '.join(record.study.base)}, data {Path(record.study.data).name}, "
            f"recipe {record.study.recipe}, seed {record.study.seed}"
            for record in records
        ]
    made = table_of(parameters, lines, ", ".join(map(str, sources)))
    write_table(output, parameters, lines, remarks)
    out.print(f"{len(made.results)} candidates, {len(lines)} lines saved to {output}", markup=False)


def replay(
    table: Annotated[Path, typer.Argument(metavar="TABLE.csv", help="Finished results; see catscale search table.")],
    samplers: Annotated[str, typer.Option(help="Of tpe, nsga2, nsga3, qmc, random and ehvi.")] = "tpe,nsga2,random",
    stop: Annotated[str, typer.Option(help="Early stopping: of none, front and halving.")] = "none,front,halving",
    proposals: Annotated[
        str,
        typer.Option(
            help="any: as Optuna has them; new: none twice; fitting: nor what is over a constraint; ranked: by proxies."
        ),
    ] = "any,fitting",
    objectives: Annotated[
        str | None, typer.Option(help="A score and costs, by column.  [default: ap and latency, or FLOPs]")
    ] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN<=BOUND", help="An upper bound of a cost; may be repeated.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Studies of each strategy, with other seeds.")] = 20,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Epochs in all.  [default: what the whole table took, once]")
    ] = None,
    rungs: Annotated[
        str | None, typer.Option(help="Epochs after which is decided on stopping.  [default: 1/4, 1/2, 3/4]")
    ] = None,
    eta: Annotated[float, typer.Option(min=1.01, help="Of halving: the best 1/eta go on.")] = 2.0,
    workers: Annotated[int, typer.Option(min=1, help="Trials under way at the same time.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the first repetition; the others count on.")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for steps, summary, picture.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay whole studies against a table of finished results, and compare what they find for their budget.

    Nothing is trained. A strategy is a sampler, which of its proposals become trials, and how trials are stopped early;
    all that are named are combined, and compared with the first. Hypervolume is that of the trials trained to their
    end, from the worst candidate that fits on, costs as logarithms; all of it is that of the table's own front.

    Example: catscale search replay table.csv --constraint "gflops<=0.05" --repeats 20 -o replay/
    """
    import optuna

    from ..scaler.figure_style import save
    from .replay import SAMPLERS, STOPPERS, Problem, Proposals, Strategy
    from .replay import replay as replay_one
    from .replay_summary import SHARE, draw_replay, summaries, write_traces
    from .replay_table import known_columns, read_table
    from .stopping import default_rungs

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = read_table(table)
    problem = Problem(
        found,
        _objectives(objectives, found),
        _bounds(constraint or []),
        _rungs(rungs, found.epochs) if rungs else default_rungs(found.epochs),
        eta,
        workers,
    )
    known_columns(found, problem.constraints, "--constraint")
    _check(problem)
    kinds = _words("--stop", stop, STOPPERS)
    if found.epochs == 1 and kinds != ["none"]:
        err.print("The table has final results only: nothing can be stopped early.")
        kinds = ["none"]
    if "ranked" in proposals and not (found.proxies and "macs" in found.costs):
        raise InputError("--proposals: ranked needs a table with columns macs and proxy_…, such as proxy_zen")
    strategies = [
        Strategy(sampler, kind, which)  # type: ignore[arg-type]
        for which in _words("--proposals", proposals, get_args(Proposals))
        for kind in kinds
        for sampler in _words("--samplers", samplers, SAMPLERS)
    ]
    epochs = budget or len(found.results) * found.epochs
    traces = {}
    for strategy in strategies:
        traces[strategy] = [replay_one(problem, strategy, epochs, seed + repeat) for repeat in range(repeats)]
        err.print(f"{strategy.label}: replayed {repeats} times", markup=False)
    results = summaries(traces, epochs)
    unit = "Epochs trained" if found.epochs > 1 else "Trials trained"
    if output:
        output.mkdir(parents=True, exist_ok=True)
        write_traces(output / "steps.csv", traces)
        save(draw_replay(traces, epochs, unit, f"{table.stem}: {', '.join(problem.objectives)}"), output / "replay")
    if as_json:
        print_json(
            {
                "table": str(table),
                "objectives": list(problem.objectives),
                "constraints": dict(problem.constraints),
                "candidates": len(found.results),
                "fitting": len(problem.fitting),
                "epochs": found.epochs,
                "rungs": list(problem.rungs),
                "budget": epochs,
                "repeats": repeats,
                "share": SHARE,
                "strategies": [asdict(summary) for summary in results],
            }
        )
        return
    _print(results, problem, epochs, repeats, unit)
    if output:
        out.print(f"Results saved to {output}", markup=False)


def _print(results: "Sequence[Summary]", problem: "Problem", budget: int, repeats: int, unit: str) -> None:
    from .replay_summary import SHARE

    table = problem.table
    print_table(
        f"{unit} until {SHARE:.0%} of the front's hypervolume ({', '.join(problem.objectives)}); budget {budget}",
        ["strategy", "budget", "±", "reached", "× less", "95 % interval", "share at the end", "±", "trained", "stopped",
         "over a bound"],
        [
            (
                one.label,
                f"{one.budget_mean:.0f}",
                f"{one.budget_sd:.0f}",
                f"{one.reached}/{repeats}",
                f"{one.saving:.2f}",
                f"{one.saving_low:.2f} … {one.saving_high:.2f}",
                f"{one.share_mean:.3f}",
                f"{one.share_sd:.3f}",
                f"{one.trained:.0f}",
                f"{one.stopped:.0f}",
                f"{one.unfit:.0f}",
            )
            for one in results
        ],
        note=f"{repeats} repetitions each; {len(problem.fitting)} of {len(table.results)} candidates fit. A repetition "
        f"that never came so far counts with the whole budget.",
    )  # fmt: skip


def _objectives(given: str | None, table: Any) -> tuple[str, ...]:
    from .replay_table import known_columns

    if given is None:
        cost = next(
            (
                name
                for kind in ("latency_ms", "gflops", "macs", "params")
                for name in table.costs
                if name.startswith(kind)
            ),
            "",
        )
        if not cost:
            raise InputError("the table has no cost; name the --objectives")
        return (table.scores[0], cost)
    names = tuple(name.strip() for name in given.split(","))
    known_columns(table, names, "--objectives")
    if len(set(names)) < len(names) or sum(name in table.scores for name in names) != 1:
        raise InputError(f"--objectives: {given}: name one of {', '.join(table.scores)}, and costs, each once")
    return names


def _bounds(constraints: Sequence[str]) -> dict[str, float]:
    bounds = {}
    for given in constraints:
        found = BOUND.fullmatch(given)
        try:
            name, bound = found.groups() if found else ("", "")
            bounds[name] = float(bound)
        except ValueError as error:
            raise InputError(f"--constraint: {given!r} is not a bound such as 'latency_ms<=8'") from error
    return bounds


def _rungs(given: str, epochs: int) -> tuple[int, ...]:
    try:
        rungs = tuple(sorted({int(word) for word in given.split(",")}))
    except ValueError as error:
        raise InputError(f"--rungs: {given!r} is not a list of epochs such as 3,6,9") from error
    if rungs[0] < 1 or rungs[-1] >= epochs:
        raise InputError(f"--rungs: {given}: must lie within 1 … {epochs - 1}, before the last epoch")
    return rungs


def _check(problem: "Problem") -> None:
    """Refuse constraints that leave nothing, with the nearest miss."""
    table = problem.table
    if not problem.fitting:
        for name, bound in problem.constraints.items():
            least = min(result.costs[name] for result in table.results.values())
            if least > bound:
                raise InputError(f"--constraint: no candidate has {name} <= {bound:g}; the least is {least:g}")
        raise InputError("--constraint: no candidate is within all of the constraints; loosen one")
    if not problem.whole > 0:
        raise InputError("the candidates that fit span no hypervolume; loosen a constraint, or name other --objectives")


def _words(option: str, given: str, known: Any) -> list[str]:
    words = [word.strip() for word in given.split(",")]
    for word in words:
        if word not in known:
            raise InputError(f"{option}: there is no {word!r}; {nearest(word, known)}")
    return list(dict.fromkeys(words))
