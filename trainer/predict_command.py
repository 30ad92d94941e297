"""The verb `predict`. Torch is imported when it runs, not before."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..blocks.errors import InputError
from ..scaler.documents import write_text
from ..scaler.terminal import JsonOption, print_json
from .terminal import (
    DeviceOption,
    DtypeOption,
    HalfOption,
    LastOption,
    RuntimeName,
    RuntimeOption,
    bar,
    device_of,
    dtype_of,
    runtime_of,
)


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    images: Annotated[list[str], typer.Argument(help="Images, videos, folders, quoted patterns as 'a/*.jpg'.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what is written.")] = Path("runs/predict"),
    conf: Annotated[float, typer.Option(min=0, max=1, help="Weaker detections are dropped.")] = 0.25,
    iou: Annotated[float, typer.Option(min=0, max=1, help="Of boxes that overlap more, the best stays.")] = 0.45,
    max_det: Annotated[int, typer.Option(min=1, help="Detections kept for each image.")] = 300,
    pictures: Annotated[bool, typer.Option(help="Write images and videos with their boxes drawn.")] = True,
    save_txt: Annotated[bool, typer.Option("--save-txt", help="Write labels/NAME.txt as YOLO has them.")] = False,
    save_conf: Annotated[bool, typer.Option("--save-conf", help="Of --save-txt: the score ends each line.")] = False,
    save_json: Annotated[bool, typer.Option("--save-json", help="Write predictions.json as COCO has it.")] = False,
    half: HalfOption = False,
    dtype: DtypeOption = None,
    runtime: RuntimeOption = RuntimeName.torch,
    last: LastOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Detect objects in images and videos, and write them with their boxes drawn, or as YOLO or COCO labels.

    Example: catscale predict runs/train/exp photos/ 'more/*.jpg' film.mp4 -o found --save-txt
    """
    from .run_folder import RunFolder, load_run

    if save_conf and not save_txt:
        raise InputError("--save-conf: says what --save-txt writes; give that too")
    which = "last" if last else "best"
    RunFolder(run).trained_weights(which)

    from .predict import find_images, predict_images
    from .prediction_files import coco_results, write_yolo

    device = device_of(device)
    number_format, how = dtype_of(dtype, half, device), runtime_of(runtime, device)
    found = find_images(images)
    trained = load_run(run, which)
    with bar("detecting") as progress:
        predictions = predict_images(
            trained,
            found,
            out if pictures else None,
            conf=conf,
            iou=iou,
            max_det=max_det,
            device=device,
            dtype=number_format,
            runtime=how,
            on_image=progress,
        )
    if save_txt:
        write_yolo(out, predictions, with_scores=save_conf)
    if save_json:
        results = coco_results(predictions, trained.facts.category_ids)
        write_text(out / "predictions.json", json.dumps(results, ensure_ascii=False) + "\n")
    if as_json:
        print_json([prediction.to_json() for prediction in predictions])
        return
    for prediction in predictions:
        labels = [detection.label for detection in prediction.detections]
        counts = ", ".join(f"{labels.count(label)} {label}" for label in sorted(set(labels)))
        frame = "" if prediction.frame is None else f" frame {prediction.frame}"
        typer.echo(f"{prediction.image}{frame}: {counts or 'nothing'}")
    if pictures or save_txt or save_json:
        typer.echo(f"Results saved to {out}")
