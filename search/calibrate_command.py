"""The verb `search calibrate`: the latency table of a study's space, measured on this device."""

from pathlib import Path
from typing import Annotated

import typer

from ..scaler.terminal import JsonOption, err, out, print_json

Study = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="A study file; its space is what the table is for.")]


def calibrate(
    study: Study,
    output: Annotated[Path, typer.Option("--output", "-o", help="The table to write (JSON).")],
    networks: Annotated[int, typer.Option(min=8, help="Networks of the space to measure.")] = 60,
    classes: Annotated[int | None, typer.Option(min=1, help="Classes, instead of those of the study's data.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 … or auto: cuda where there is one.")] = "auto",
    dtype: Annotated[str, typer.Option(help="fp32, tf32, fp16 or bf16.")] = "fp32",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Of a CPU, a core each; all cores by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure networks of a study's space and all their layers, and write the table that predicts the others' latency.

    `catscale latency ARCH --predict TABLE` reads it, and needs no device.

    Example: catscale search calibrate studies/quickstart.yaml --classes 3 -o table.json
    """
    from .calibration import calibration_networks
    from .candidates import Bases
    from .study import load_study

    wanted = load_study(study)
    chosen = calibration_networks(wanted, Bases(wanted, classes or _classes(wanted.data)), networks)

    from ..scaler.latency.protocol import Protocol
    from ..scaler.latency_table.calibrate import calibrate as measured

    protocol = Protocol(device=device, dtype=dtype, batch=batch, threads=threads)
    table = measured(chosen, protocol, say=lambda line: err.print(line, markup=False))
    table.write(output)
    if as_json:
        errors = [round(float(error), 5) for error in table.errors]
        print_json({"table": str(output), "layers": len(table.layers_ms), "networks": len(errors), "errors": errors})
        return
    for line in table.words():
        out.print(line, markup=False)
    out.print(f"Table written to {output}", markup=False)


def _classes(data: str) -> int:
    from ..trainer.data.sources import open_dataset

    return len(open_dataset(data).classes)
