"""The verb `predict`. Torch is imported when it runs, not before."""

from pathlib import Path
from typing import Annotated

import typer

from ..scaler.terminal import JsonOption, print_json
from .terminal import DeviceOption, LastOption, bar, device_of


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    images: Annotated[list[str], typer.Argument(help="Images, folders of images, or quoted patterns as 'a/*.jpg'.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("runs/predict"),
    conf: Annotated[float, typer.Option(min=0, max=1, help="Weaker detections are dropped.")] = 0.25,
    iou: Annotated[float, typer.Option(min=0, max=1, help="Of boxes that overlap more, the best stays.")] = 0.45,
    last: LastOption = False,
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

    device = device_of(device)
    found = find_images(images)
    trained = load_run(run, which)
    with bar("detecting") as progress:
        predictions = predict_images(trained, found, out, conf=conf, iou=iou, device=device, on_image=progress)
    if as_json:
        print_json([prediction.to_json() for prediction in predictions])
        return
    for prediction in predictions:
        labels = [detection.label for detection in prediction.detections]
        counts = ", ".join(f"{labels.count(label)} {label}" for label in sorted(set(labels)))
        typer.echo(f"{prediction.image}: {counts or 'nothing'}")
    typer.echo(f"Results saved to {out}")
