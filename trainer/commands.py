"""The verb `train`. Torch is imported when it runs, not before."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..blocks.errors import InputError
from .terminal import DeviceOption, bar, columns, device_of, listed, print_header, print_metrics

if TYPE_CHECKING:
    from ..scaler.architecture import Architecture
    from .data.records import Dataset
    from .recipe import Recipe
    from .run_folder import EpochRow
    from .warm_start import WarmStart


def train(
    arch: Annotated[str | None, typer.Argument(help="Zoo name or architecture file; not needed to resume.")] = None,
    data: Annotated[str | None, typer.Option(help="data.yaml, COCO JSON or its folder, or shapes.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="A built-in one (p5, tiny, quick, yolox, ...) or a YAML file; p5 by default."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; the recipe's by default.")] = None,
    batch: Annotated[
        str | None, typer.Option(help="Images in a forward pass, or auto: as many as fit; the recipe's by default.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input in px; the architecture's by default.")] = None,
    anchors: Annotated[
        str | None, typer.Option(help="keep or auto (fitted to the data); the recipe's by default.")
    ] = None,
    assigner: Annotated[
        str | None,
        typer.Option(help="simple or ota, simota or task-aligned, by the head; the recipe's by default."),
    ] = None,
    device: DeviceOption = "auto",
    devices: Annotated[
        str | None, typer.Option(help="Several, with a process on each: 0,1 for CUDA devices, cpu,cpu to try it.")
    ] = None,
    amp: Annotated[
        str | None,
        typer.Option(help="Mixed precision: auto, fp32, bf16, fp16, bf16-backward; the recipe's by default."),
    ] = None,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the model (torch.compile) first.")] = False,
    patience: Annotated[int | None, typer.Option(min=0, help="End after so many epochs without a better one.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, order and augmentation; 0 by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run, a folder below runs/train.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of the run, instead of a name.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Run whose weights to begin with, as far as they fit.")] = None,
    grow: Annotated[
        Path | None, typer.Option(help="Run to grow: begin as a larger detector that computes what the run's does.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder, from what it saved last.")] = None,
    logger: Annotated[str | None, typer.Option(help="tensorboard, mlflow, wandb, or several, with commas.")] = None,
    pictures: Annotated[bool, typer.Option(help="Draw curves, confusions, labels and batches into the run.")] = True,
    profile_steps: Annotated[
        int | None, typer.Option(min=1, help="Time the parts of so many steps, print a table, and write nothing.")
    ] = None,
) -> None:
    """Train a detector on a data set.

    Example: catscale train yolov7-tiny --data data.yaml --recipe quick --epochs 20 --size 256
    """
    from .loggers import logger_names
    from .recipe import load_recipe
    from .run_folder import RUNS, RunFolder, next_folder
    from .warm_start import WarmStart

    if weights is not None and grow is not None:
        raise InputError("train: --weights and --grow both say what to begin with; give one")
    if name is not None and folder is not None:
        raise InputError("train: --name and --folder both say where the run goes; give one")
    target = resume or folder or (RUNS / "train" / name if name else next_folder())
    if devices is not None:
        _launch(devices, target, logger, pictures)
    fewer = int(batch) if resume and batch and batch.isdecimal() else None
    if resume is not None:
        given = {
            "--recipe": recipe,
            "--batch": None if fewer else batch,
            "--anchors": anchors,
            "--assigner": assigner,
            "--name": name,
            "--folder": folder,
        }
        given |= {"--weights": weights, "--grow": grow, "--amp": amp, "--compile": compile_ or None}
        if other := [option for option, value in given.items() if value is not None]:
            raise InputError(f"--resume {resume}: goes on as the run began; leave out {', '.join(other)}")
        facts = RunFolder(resume).read_facts()
        data, size, seed = data or facts.data, size or facts.size_px, facts.seed if seed is None else seed
        settings = RunFolder(resume).read_recipe()
        arch = arch or str(RunFolder(resume).architecture)
    else:
        settings = load_recipe(recipe or "p5", _overrides(batch, anchors, assigner, amp, compile_))
    later = {"epochs": epochs, "patience": patience}
    settings = settings.model_copy(update={key: value for key, value in later.items() if value is not None})
    if arch is None or data is None:
        raise InputError("train: name an architecture and its data, as in: catscale train yolov7-tiny --data shapes")
    if profile_steps is not None:
        _profile(arch, data, settings, size, device, profile_steps, batch == "auto")
        return
    loggers, fit_batch, again = logger_names(logger), batch == "auto", resume is not None
    start = WarmStart(weights) if weights else WarmStart(grow, "grow") if grow else None
    _train(arch, data, settings, target, size, device, seed or 0, start, again, fit_batch, fewer, loggers, pictures)


def _overrides(
    batch: str | None, anchors: str | None, assigner: str | None, amp: str | None, compile_: bool
) -> dict[str, object] | None:
    if batch not in (None, "auto") and not (batch.isdecimal() and int(batch)):
        raise InputError(f"--batch {batch}: give a number of images from 1, or auto")
    images = int(batch) if batch and batch != "auto" else None
    given = {"batch": images, "anchors": anchors, "assigner": assigner, "amp": amp, "compile": compile_ or None}
    return {key: value for key, value in given.items() if value is not None} or None


def _launch(devices: str, target: Path, logger: str | None, pictures: bool) -> None:
    """Run this command once more for each device, and end as they do."""
    from .launch import launch

    arguments, kept = iter(sys.argv[1:]), list[str]()
    for argument in arguments:
        if argument == "--devices":
            next(arguments)
        elif not argument.startswith("--devices="):
            kept.append(argument)
    named = any(argument.split("=")[0] in ("--folder", "--name", "--resume") for argument in kept)

    def again() -> list[str]:
        from .optimiser import halved
        from .run_folder import RunFolder

        facts = RunFolder(target).read_facts()
        fewer = str(halved(facts.batch))
        typer.echo(f"all begin again with batch {fewer}, with as many images in an optimiser step", err=True)
        options = ["--resume", str(target), "--batch", fewer, *(["--logger", logger] if logger else [])]
        return ["train", *options, "--pictures" if pictures else "--no-pictures"]

    raise typer.Exit(launch(devices, kept if named else [*kept, "--folder", str(target)], again))


def _train(
    ref: str,
    data: str,
    recipe: "Recipe",
    folder: Path,
    size: int | None,
    device: str,
    seed: int,
    start: "WarmStart | None",
    resume: bool,
    fit_batch: bool,
    fewer: int | None,
    loggers: list[str],
    pictures: bool,
) -> None:
    from ..scaler.zoo import load
    from .companions import accompanied
    from .data.leaks import leak_warnings
    from .data.sources import open_dataset
    from .preflight import (
        check_trainable,
        check_training,
        rank_from_environment,
        size_from_environment,
        under_torchrun,
    )
    from .run_folder import RunFolder

    base = load(ref)
    size = base.size if size is None else size
    check_trainable(base, recipe, size)
    dataset = open_dataset(data)
    arch = base.replace(classes=len(dataset.classes))
    if start is not None:
        arch = start.with_anchors(arch)
    # The training asks the same; here the answer comes before torch is loaded and anything is printed.
    run = RunFolder(folder)
    if fit_batch and size_from_environment() > 1:
        raise InputError("--batch auto: looks at one process alone; give a number for several")
    if rank_from_environment():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 one process speaks for all
        loggers, pictures = [], False
    else:
        check_training(arch, dataset, recipe, run, seed=seed, device=device, size_px=size, start=start, resume=resume)
        for warning in leak_warnings(dataset):
            typer.echo(f"warning: {warning}", err=True)
    if start is not None and start.how == "grow":
        if arch.head.anchored:
            typer.echo(f"{arch.name}: anchors of {start.run}, whose detector grows")
    elif not resume:  # a run has its anchors in its architecture
        arch = _anchored(arch, dataset, recipe, size, seed)
    device = device_of(device)

    from .distributed import Bereft
    from .interruption import Interrupted
    from .launch import BEREFT, SHORT_OF_MEMORY
    from .loop import train as run_training
    from .memory_limits import ShortOfMemory

    print_header(device)
    if arch.classes != base.classes:
        typer.echo(f"{base.classes} classes become {arch.classes}, as in {data}: {listed(dataset.classes)}")
    _counts(arch, size)
    if fit_batch:
        recipe = _fitted(arch, dataset, recipe, size, device)
    images = ", ".join(f"{len(split.images)} {name}" for name, split in dataset.splits.items())
    typer.echo(f"{data}: {images} images; {recipe.epochs} epochs of batch {recipe.batch} into {folder}")
    shown = False

    company = accompanied(run, dataset, recipe, loggers=loggers, pictures=pictures)
    with bar("training") as progress, company as after_epoch:

        def epoch_line(row: "EpochRow") -> None:
            nonlocal shown
            if not shown:
                titles = ("box", "obj", "cls", "instances", "size", "AP50", "AP", "seconds", "data")
                typer.echo(columns("epoch", *titles))
                shown = True
            losses = (f"{value:.4f}" for value in (row.box, row.obj, row.cls))
            precision = (f"{value:.4f}" for value in (row.ap50, row.ap))
            place = f"{row.epoch}/{recipe.epochs}"
            waited = f"{row.data_seconds / max(row.train_seconds, 1e-9):.0%}"  # of the training time, for data
            typer.echo(columns(place, *losses, row.instances, size, *precision, f"{row.seconds:.1f}", waited))
            if row.skipped:
                typer.echo(f"epoch {row.epoch}: {row.skipped} batches left out: loss or gradient not finite", err=True)
            after_epoch(row)

        try:
            result = run_training(
                arch,
                dataset,
                recipe,
                folder,
                seed=seed,
                device=device,
                size_px=size,
                on_epoch=epoch_line,
                on_batch=progress,
                on_event=lambda event: typer.echo(event, err=True),
                start=start,
                resume=resume,
                batch=fewer,
            )
        except Interrupted as interrupted:
            if not rank_from_environment():
                typer.echo(f"error: {interrupted}", err=True)
            raise typer.Exit(interrupted.exit_code) from None
        except ShortOfMemory as short:
            by_hand = f"; go on with --resume {folder} --batch {short.fewer}" if under_torchrun() else ""
            typer.echo(f"{short}{by_hand}", err=True)
            raise typer.Exit(SHORT_OF_MEMORY) from None
        except Bereft:
            raise typer.Exit(BEREFT) from None
    if result.epochs < recipe.epochs:
        typer.echo(f"Ended after epoch {result.epochs}: {RunFolder(result.folder).read_facts().reason}")
    best = f"Best epoch {result.best_epoch}: AP50 {result.ap50:.4f}, AP {result.ap:.4f}"
    typer.echo(f"{best}; {result.seconds:.0f} s in all")
    if pictures:
        from .run_pictures import draw_best

        print_metrics(draw_best(run, dataset, device))
    typer.echo(f"Results saved to {result.folder}")


def _anchored(arch: "Architecture", dataset: "Dataset", recipe: "Recipe", size: int, seed: int) -> "Architecture":
    """Settle the anchors of a new run, and say how they suit the data where that is news."""
    from .anchors import ENOUGH, settle_anchors

    if not arch.head.anchored:
        return arch
    split = dataset.split("train")
    settled = settle_anchors(arch, split, recipe.anchors, size_px=size, anchor_t=recipe.anchor_t, seed=seed)
    if recipe.anchors != "keep":
        typer.echo(f"{arch.name}: {settled}")
    elif (found := settled.before.found) < ENOUGH:
        typer.echo(f"warning: only {found:.1%} of the objects find an anchor; --anchors auto fits new ones", err=True)
    return settled.arch


def _fitted(arch: "Architecture", dataset: "Dataset", recipe: "Recipe", size: int, device: str) -> "Recipe":
    from .memory_limits import fitting_batch

    most = len(dataset.splits["train"].images)
    fitted = fitting_batch(arch, recipe, size_px=size, device=device, images=most)
    typer.echo(f"batch {fitted.batch} fits; {fitted.nominal_batch} images make an optimiser step")
    return fitted


def _counts(arch: "Architecture", size: int) -> None:
    cost = arch.cost(size)
    typer.echo(f"{arch.name}: {cost.params:,} params, {cost.flops('paper') / 1e9:.2f} GFLOPs at {size} px")


def _profile(ref: str, data: str, recipe: "Recipe", size: int | None, device: str, steps: int, fit_batch: bool) -> None:
    """Print where the time of a step goes."""
    from ..scaler.zoo import load
    from .data.sources import open_dataset
    from .preflight import check_data

    arch, dataset = load(ref), open_dataset(data)
    size = arch.size if size is None else size
    arch = arch.replace(classes=len(dataset.classes))
    check_data(arch, dataset, recipe, size)
    device = device_of(device)

    from .step_profile import profile_steps
    from .threads import sharing_cores

    print_header(device)
    _counts(arch, size)
    if fit_batch:
        recipe = _fitted(arch, dataset, recipe, size, device)
    with sharing_cores(device):
        found = profile_steps(arch, dataset, recipe, steps=steps, size_px=size, device=device)
    typer.echo(f"{data}: a step of batch {found.batch}, {found.precision}, median of {steps}:")
    typer.echo("\n".join(found.lines()))
