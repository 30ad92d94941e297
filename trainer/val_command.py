"""The verb `val`. Torch is imported when it runs, not before."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..blocks.errors import InputError
from ..scaler.terminal import JsonOption, print_json
from .terminal import BatchOption, DeviceOption, LastOption, bar, device_of, listed, print_header, print_metrics

if TYPE_CHECKING:
    from .data.records import Dataset
    from .run_folder import RunFacts


def val(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[str | None, typer.Option(help="Data set; what the run was trained on by default.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set: val, test, train.")] = "val",
    last: LastOption = False,
    size: Annotated[int | None, typer.Option(help="Side of the input in px; the run's by default.")] = None,
    batch: BatchOption = None,
    conf: Annotated[float | None, typer.Option(min=0, max=1, help="Weaker detections are dropped: 0.001.")] = None,
    iou: Annotated[float | None, typer.Option(min=0, max=1, help="Threshold of the suppression: 0.65.")] = None,
    max_det: Annotated[int | None, typer.Option(min=1, help="Detections kept for each image: 300.")] = None,
    max_dets: Annotated[int, typer.Option(min=1, help="Detections of a class in an image that COCO counts.")] = 100,
    rect: Annotated[
        bool, typer.Option("--rect", help="Rectangles of the images' aspects, as published figures; else squares.")
    ] = False,
    half: Annotated[bool, typer.Option("--half", help="Evaluate in half precision.")] = False,
    save: Annotated[Path | None, typer.Option(help="Folder for curves, confusions, detections and metrics.")] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure the average precision of a trained run, by COCO's protocol. Defaults are the run's recipe's.

    Example: catscale val runs/train/exp --data data.yaml --split test --save found
    """
    from ..scaler.architecture import check_size
    from .data.sources import open_dataset
    from .run_folder import RunFolder, load_run

    folder = RunFolder(run)
    facts, which = folder.read_facts(), "last" if last else "best"
    folder.trained_weights(which)
    size = facts.size_px if size is None else size
    stride = folder.read_architecture().strides[-1]
    check_size(size, stride, str(run))
    if not (data or facts.data):
        raise InputError(f"{run}: was not trained here and names no data; name some with --data")
    dataset = open_dataset(data or facts.data)
    _check_classes(facts, run, dataset)
    chosen = dataset.split(split)
    device = device_of(device)

    from ..scaler.build import deploy
    from .data.loader import val_batches
    from .evaluate import measure
    from .evaluation_files import write_evaluation
    from .threads import sharing_cores

    trained = load_run(run, which)
    model, recipe = deploy(trained.model.to(device)), trained.recipe
    with sharing_cores(device), bar("evaluating") as progress:
        metrics, found = measure(
            model.half() if half else model,
            val_batches(chosen, size_px=size, batch=batch or recipe.batch, rect=rect, stride=stride),
            chosen,
            dataset,
            conf=recipe.conf if conf is None else conf,
            iou=recipe.iou if iou is None else iou,
            max_det=max_det or recipe.max_det,
            max_dets=max_dets,
            device=device,
            on_batch=progress,
        )
    if save:
        write_evaluation(save, metrics, found, chosen, dataset)
    if as_json:
        facts_of_it = {"run": str(run), "epoch": trained.epoch, "data": dataset.source, "split": split, "size": size}
        print_json(facts_of_it | {"half": half, "rect": rect} | metrics.to_json())
        return
    print_header(device)
    typer.echo(f"{run}, weights of epoch {trained.epoch}, on {dataset.source} ({split}) at {size} px")
    print_metrics(metrics)
    if save:
        typer.echo(f"Results saved to {save}")


def _check_classes(facts: "RunFacts", run: Path, dataset: "Dataset") -> None:
    if facts.classes != dataset.classes:
        raise InputError(
            f"{dataset.source}: has {len(dataset.classes)} classes ({listed(dataset.classes)}), "
            f"but {run} was trained on {len(facts.classes)} ({listed(facts.classes)}); "
            "use data with the same classes in the same order"
        )
