"""The trainer's verbs: train, val, predict. Torch is imported when a verb runs, not before."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..blocks.errors import InputError
from ..scaler.terminal import JsonOption, print_json

if TYPE_CHECKING:
    from torch import nn

    from ..scaler.architecture import Architecture
    from .data.records import Dataset
    from .evaluate import Metrics
    from .recipe import Recipe
    from .run_folder import EpochRow, RunFacts

DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ..., or auto: cuda where there is one.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Images in a forward pass; the recipe's by default.")]


def train(
    arch: Annotated[str | None, typer.Argument(help="Zoo name or architecture file; not needed to resume.")] = None,
    data: Annotated[str | None, typer.Option(help="data.yaml, COCO JSON or its folder, or shapes.")] = None,
    recipe: Annotated[str | None, typer.Option(help="p5, p6, tiny, quick, or a YAML file; p5 by default.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; the recipe's by default.")] = None,
    batch: BatchOption = None,
    size: Annotated[int | None, typer.Option(help="Side of the input in px; the architecture's by default.")] = None,
    anchors: Annotated[
        str | None, typer.Option(help="keep or auto (fitted to the data); the recipe's by default.")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, order and augmentation; 0 by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run, a folder below runs/train.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of the run, instead of a name.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Run whose weights to begin with, as far as they fit.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder, from its last whole epoch.")] = None,
) -> None:
    """Train a detector on a data set.

    Example: catscale train yolov7-tiny --data data.yaml --recipe quick --epochs 20 --size 256
    """
    from .recipe import load_recipe
    from .run_folder import RUNS, RunFolder, next_folder

    if resume is not None:
        given = {
            "--recipe": recipe,
            "--batch": batch,
            "--anchors": anchors,
            "--name": name,
            "--folder": folder,
            "--weights": weights,
        }
        if other := [option for option, value in given.items() if value is not None]:
            raise InputError(f"--resume {resume}: goes on as the run began; leave out {', '.join(other)}")
        facts = RunFolder(resume).read_facts()
        data, size, seed = data or facts.data, size or facts.size_px, facts.seed if seed is None else seed
        settings = RunFolder(resume).read_recipe()
        arch = arch or str(RunFolder(resume).architecture)
    else:
        changes = {"batch": batch, "anchors": anchors}
        settings = load_recipe(recipe or "p5", {key: value for key, value in changes.items() if value is not None})
    if epochs:
        settings = settings.model_copy(update={"epochs": epochs})
    if arch is None or data is None:
        raise InputError("train: name an architecture and its data, as in: catscale train yolov7-tiny --data shapes")
    if name is not None and folder is not None:
        raise InputError("train: --name and --folder both say where the run goes; give one")
    target = resume or folder or (RUNS / "train" / name if name else next_folder())
    _train(arch, data, settings, target, size, device, seed or 0, weights, resume is not None)


def _train(
    ref: str,
    data: str,
    recipe: "Recipe",
    folder: Path,
    size: int | None,
    device: str,
    seed: int,
    weights: Path | None,
    resume: bool,
) -> None:
    from ..scaler.architecture import check_size
    from ..scaler.zoo import load
    from .data.leaks import leak_warnings
    from .data.sources import open_dataset
    from .preflight import check_training
    from .run_folder import RunFolder, load_run

    base = load(ref)
    size = base.size if size is None else size
    check_size(size, base.strides[-1], base.name)
    dataset = open_dataset(data)
    arch = base.replace(classes=len(dataset.classes))
    # The training asks the same; here the answer comes before torch is loaded and anything is printed.
    check_training(arch, dataset, recipe, RunFolder(folder), seed=seed, device=device, size_px=size, resume=resume)
    for warning in leak_warnings(dataset):
        typer.echo(f"warning: {warning}", err=True)
    if not resume:  # a run has its anchors in its architecture
        arch = _anchored(arch, dataset, recipe, size, seed)
    if weights is not None:
        RunFolder(weights).trained_weights("best")
    device = _device(device)

    from ..scaler.transfer import transfer
    from .loop import train as run_training

    start = None if weights is None else load_run(weights).model

    def initialise(model: "nn.Module") -> None:
        if start is not None:
            typer.echo(f"{weights}: {transfer(model, start)}")

    _header(device)
    if arch.classes != base.classes:
        typer.echo(f"{base.classes} classes become {arch.classes}, as in {data}: {_listed(dataset.classes)}")
    _counts(arch, size)
    images = ", ".join(f"{len(split.images)} {name}" for name, split in dataset.splits.items())
    typer.echo(f"{data}: {images} images; {recipe.epochs} epochs of batch {recipe.batch} into {folder}")
    shown = False

    with _bar("training") as progress:

        def epoch_line(row: "EpochRow") -> None:
            nonlocal shown
            if not shown:
                typer.echo(_columns("epoch", "box", "obj", "cls", "instances", "size", "AP50", "AP", "seconds"))
                shown = True
            losses = (f"{value:.4f}" for value in (row.box, row.obj, row.cls))
            precision = (f"{value:.4f}" for value in (row.ap50, row.ap))
            place = f"{row.epoch}/{recipe.epochs}"
            typer.echo(_columns(place, *losses, row.instances, size, *precision, f"{row.seconds:.1f}"))
            if row.skipped:
                typer.echo(f"epoch {row.epoch}: {row.skipped} batches left out: loss or gradient not finite", err=True)

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
            initialise=initialise,
            resume=resume,
        )
    best = f"Best epoch {result.best_epoch}: AP50 {result.ap50:.4f}, AP {result.ap:.4f}"
    typer.echo(f"{best}; {result.seconds:.0f} s in all")
    typer.echo(f"Results saved to {result.folder}")


def _anchored(arch: "Architecture", dataset: "Dataset", recipe: "Recipe", size: int, seed: int) -> "Architecture":
    """Settle the anchors of a new run, and say how they suit the data where that is news."""
    from .anchors import ENOUGH, settle_anchors

    split = dataset.split("train")
    settled = settle_anchors(arch, split, recipe.anchors, size_px=size, anchor_t=recipe.anchor_t, seed=seed)
    if recipe.anchors != "keep":
        typer.echo(f"{arch.name}: {settled}")
    elif (found := settled.before.found) < ENOUGH:
        typer.echo(f"warning: only {found:.1%} of the objects find an anchor; --anchors auto fits new ones", err=True)
    return settled.arch


def val(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[str | None, typer.Option(help="Data set; what the run was trained on by default.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set: val, test, train.")] = "val",
    last: Annotated[bool, typer.Option("--last", help="Take the last epoch's weights, not the best.")] = False,
    size: Annotated[int | None, typer.Option(help="Side of the input in px; the run's by default.")] = None,
    batch: BatchOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure the average precision of a trained run.

    Example: catscale val runs/train/exp --data data.yaml --split test
    """
    from ..scaler.architecture import check_size
    from .data.sources import open_dataset
    from .run_folder import RunFolder, load_run

    folder = RunFolder(run)
    facts, which = folder.read_facts(), "last" if last else "best"
    folder.trained_weights(which)
    size = facts.size_px if size is None else size
    check_size(size, folder.read_architecture().strides[-1], str(run))
    if not (data or facts.data):
        raise InputError(f"{run}: was not trained here and names no data; name some with --data")
    dataset = open_dataset(data or facts.data)
    _check_classes(facts, run, dataset)
    chosen = dataset.split(split)
    device = _device(device)

    from ..scaler.build import deploy
    from .evaluate import evaluate
    from .threads import sharing_cores

    trained = load_run(run, which)
    with sharing_cores(device):
        metrics = evaluate(
            deploy(trained.model.to(device)),
            chosen,
            dataset,
            size_px=size,
            conf=trained.recipe.conf,
            iou=trained.recipe.iou,
            max_det=trained.recipe.max_det,
            batch=batch or trained.recipe.batch,
            device=device,
        )
    if as_json:
        facts_of_it = {"run": str(run), "epoch": trained.epoch, "data": dataset.source, "split": split, "size": size}
        print_json(facts_of_it | metrics.to_json())
    else:
        _header(device)
        typer.echo(f"{run}, weights of epoch {trained.epoch}, on {dataset.source} ({split}) at {size} px")
        _table(metrics)


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    images: Annotated[list[str], typer.Argument(help="Images, folders of images, or quoted patterns as 'a/*.jpg'.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("runs/predict"),
    conf: Annotated[float, typer.Option(min=0, max=1, help="Weaker detections are dropped.")] = 0.25,
    iou: Annotated[float, typer.Option(min=0, max=1, help="Of boxes that overlap more, the best stays.")] = 0.45,
    last: Annotated[bool, typer.Option("--last", help="Take the last epoch's weights, not the best.")] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Detect objects in images and write the images with their boxes drawn.

    Example: catscale predict runs/train/exp photos/ 'more/*.jpg' -o found
    """
    from .run_folder import RunFolder, load_run

    which = "last" if last else "best"
    RunFolder(run).trained_weights(which)

    from .predict import find_images, predict_images

    device = _device(device)
    found = find_images(images)
    trained = load_run(run, which)
    with _bar("detecting") as progress:
        predictions = predict_images(trained, found, out, conf=conf, iou=iou, device=device, on_image=progress)
    if as_json:
        print_json([prediction.to_json() for prediction in predictions])
        return
    for prediction in predictions:
        labels = [detection.label for detection in prediction.detections]
        counts = ", ".join(f"{labels.count(label)} {label}" for label in sorted(set(labels)))
        typer.echo(f"{prediction.image}: {counts or 'nothing'}")
    typer.echo(f"Results saved to {out}")


def _check_classes(facts: "RunFacts", run: Path, dataset: "Dataset") -> None:
    if facts.classes != dataset.classes:
        raise InputError(
            f"{dataset.source}: has {len(dataset.classes)} classes ({_listed(dataset.classes)}), "
            f"but {run} was trained on {len(facts.classes)} ({_listed(facts.classes)}); "
            "use data with the same classes in the same order"
        )


def _device(wanted: str) -> str:
    from ..scaler.devices import find_device

    return str(find_device(wanted))


def _header(device: str) -> None:
    import torch

    from .run_folder import versions
    from .threads import compute_threads

    if device == "cpu":
        threads = min(torch.get_num_threads(), compute_threads())
        place = f"cpu, {threads} thread{'s' * (threads > 1)}"
    else:
        place = f"{device}, {torch.cuda.get_device_name(device)}"
    typer.echo(f"catscale {versions()['catscale']}, torch {torch.__version__}, {place}")


def _counts(arch: "Architecture", size: int) -> None:
    cost = arch.cost(size)
    typer.echo(f"{arch.name}: {cost.params:,} params, {cost.flops('paper') / 1e9:.2f} GFLOPs at {size} px")


def _table(metrics: "Metrics") -> None:
    typer.echo(_columns("class", "instances", "AP50", "AP", first=24))
    instances = sum(row.instances for row in metrics.per_class.values())
    typer.echo(_columns("all", instances, f"{metrics.ap50:.4f}", f"{metrics.ap:.4f}", first=24))
    for label, row in metrics.per_class.items():
        precision = ("-" if value is None else f"{value:.4f}" for value in (row.ap50, row.ap))
        typer.echo(_columns(label, row.instances, *precision, first=24))
    sizes = {"small": metrics.ap_small, "medium": metrics.ap_medium, "large": metrics.ap_large}
    known = ", ".join(f"{label} {value:.4f}" for label, value in sizes.items() if value is not None)
    typer.echo(f"AP75 {metrics.ap75:.4f}; AP of sizes: {known}; AR {metrics.ar:.4f}")
    typer.echo(f"{metrics.images} images in {metrics.seconds:.1f} s")


def _columns(head: Any, *cells: Any, first: int = 9) -> str:
    return f"{head!s:<{first}}" + "".join(f"{cell!s:>10}" for cell in cells)


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error while that is a terminal, and nothing else."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield show
