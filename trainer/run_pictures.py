"""The pictures of a run's folder: its labels and batches, its epochs, and how its best weights do."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..scaler.build import deploy
from ..scaler.documents import written
from ..scaler.optimised import optimised
from .data.images import record_image
from .data.loader import train_batches, val_batches
from .data.records import Dataset
from .evaluate import measure
from .evaluation_files import CONFUSED_FROM, write_evaluation
from .pictures import draw_labels, draw_training, save_figure
from .predict import QUALITY, Detection, draw
from .run_folder import RunFolder, load_run
from .scoring import Metrics
from .threads import sharing_cores

MOST, CELL = 16, 320  # images on a picture of a batch, and px that each has there at most


def draw_data(run: RunFolder, dataset: Dataset) -> None:
    """Write `labels.png` and `train_batch0.jpg`, the first batch as the network saw it.

    Raises:
        InputError: not a run folder, or it cannot be written to.
    """
    facts, recipe = run.read_facts(), run.read_recipe()
    save_figure(draw_labels(dataset.splits["train"], dataset), run.path / "labels.png")
    batches = train_batches(
        dataset.splits["train"],
        size_px=facts.size_px,
        batch=recipe.batch,
        recipe_augment=recipe.augment,
        seed=facts.seed,
        epoch=0,
    )
    first = next(iter(batches))
    pictures: list[Image.Image] = []
    for place, image in enumerate(first.images[:MOST]):
        rows = first.targets[first.targets[:, 0] == place].numpy()
        centres, sides = rows[:, 2:4] * image.shape[2], rows[:, 4:6] * image.shape[1]
        boxes = np.concatenate((centres - sides / 2, centres + sides / 2), axis=1)
        pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
        pictures.append(_labelled(pixels, boxes, rows[:, 1].astype(int), dataset))
    _save_grid(pictures, run.path / "train_batch0.jpg")


def draw_epochs(run: RunFolder) -> None:
    """Write `results.png`, where an epoch has ended."""
    if rows := run.read_metrics():
        save_figure(draw_training(rows), run.path / "results.png")


def draw_best(run: RunFolder, dataset: Dataset, device: torch.device | str) -> Metrics:
    """Evaluate the best weights on the validation split, and write all of it: see `write_evaluation`.

    `val_batch0_labels.jpg` and `val_batch0_pred.jpg` show its first images, as annotated and as found.
    """
    best, split = load_run(run.path), dataset.splits["val"]
    recipe = best.recipe
    with sharing_cores(device):
        metrics, found = measure(
            optimised(deploy(best.model), device),
            val_batches(split, size_px=best.facts.size_px, batch=recipe.batch),
            split,
            dataset,
            conf=recipe.conf,
            iou=recipe.iou,
            max_det=recipe.max_det,
            device=device,
        )
    write_evaluation(run.path, metrics, found, split, dataset)
    by_id = {image.image_id: image for image in found}
    labelled: list[Image.Image] = []
    detected: list[Image.Image] = []
    for record in split.images[:MOST]:
        pixels, image = record_image(record), by_id[record.image_id]
        rows = zip(image.boxes.tolist(), image.scores.tolist(), image.labels.tolist(), strict=True)
        sure = [row for row in rows if row[1] >= CONFUSED_FROM]
        labelled.append(_labelled(pixels, record.boxes, record.labels, dataset))
        detected.append(draw(pixels, [Detection(dataset.classes[c], c, score, tuple(box)) for box, score, c in sure]))
    _save_grid(labelled, run.path / "val_batch0_labels.jpg")
    _save_grid(detected, run.path / "val_batch0_pred.jpg")
    return metrics


def _labelled(pixels: np.ndarray, boxes: np.ndarray, labels: np.ndarray, dataset: Dataset) -> Image.Image:
    rows = zip(boxes.tolist(), labels.tolist(), strict=True)
    return draw(pixels, [Detection(dataset.classes[label], label, 1, tuple(box)) for box, label in rows], scores=False)


def _save_grid(pictures: Sequence[Image.Image], path: Path) -> None:
    """Pictures side by side, in about as many columns as rows, each as large as fits its cell."""
    cell = min(CELL, max(max(picture.size) for picture in pictures))
    columns = int(np.ceil(len(pictures) ** 0.5))
    rows = int(np.ceil(len(pictures) / columns))
    grid = Image.new("RGB", (columns * cell, rows * cell), "white")
    for place, picture in enumerate(pictures):
        picture.thumbnail((cell, cell))
        grid.paste(picture, (place % columns * cell, place // columns * cell))
    with written(path) as beside:
        grid.save(beside, format="JPEG", quality=QUALITY)
