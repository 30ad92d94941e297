"""What detectors find in a few images that they were not trained on, as small pictures for the page."""

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..blocks.errors import InputError
from ..search.study import Study
from ..trainer.data.records import Dataset, ImageRecord
from ..trainer.run_folder import RunFolder, load_run

SIDE_PX, QUALITY = 260, 62  # of a picture on the page
CONFIDENCE = 0.01  # below which nothing is drawn


@dataclass(frozen=True)
class Example:
    """A picture, with words for those who do not see it."""

    source: str  # of the picture, as an `img` has it
    alt: str


class Examples:
    """Some validation images of a study, evenly over the split."""

    def __init__(self, study: Study, count: int) -> None:
        """Open the study's data.

        Raises:
            InputError: the data is gone, or cannot be read.
        """
        from ..search.study_data import open_study_data

        self.dataset: Dataset = open_study_data(study)
        images = self.dataset.split("val").images
        self.images: Sequence[ImageRecord] = images[:: max(1, len(images) // count)][:count]

    def truth(self) -> list[Example]:
        """The images as they are annotated."""
        from ..trainer.data.images import record_image
        from ..trainer.predict import Detection, draw

        examples = []
        for record in self.images:
            rows = zip(record.boxes.tolist(), record.labels.tolist(), strict=True)
            boxes = [Detection(self.dataset.classes[label], label, 1.0, tuple(box)) for box, label in rows]
            alt = f"{record.path.name} as annotated: {_counted([box.label for box in boxes])}"
            examples.append(_example(draw(record_image(record), boxes, scores=False), alt))
        return examples

    def found(self, run: Path) -> list[Example]:
        """The images with the surest detections of a trained run, as many in each as objects are annotated.

        A threshold of confidence would hide all that a briefly trained detector finds.

        Raises:
            InputError: not a run folder, no weights are kept in it, or an image cannot be read.
        """
        from ..trainer.data.images import read_image
        from ..trainer.predict import draw, predict_images

        loaded = load_run(run)
        predictions = predict_images(loaded, [record.path for record in self.images], None, conf=CONFIDENCE)
        examples = []
        for record, prediction in zip(self.images, predictions, strict=True):
            surest = prediction.detections[: len(record.boxes)]
            alt = f"{record.path.name}, found: {_counted([found.label for found in surest])}"
            examples.append(_example(draw(read_image(record.path), surest), alt))
        return examples


def kept(run: Path) -> bool:
    """Whether a run's weights are there."""
    return RunFolder(run).weights("best").is_file()


def kept_picture(run: Path) -> Example | None:
    """The picture of a run's first validation images with what it found, where its training left one."""
    path = run / "val_batch0_pred.jpg"
    if not path.is_file():
        return None
    try:
        with Image.open(path) as image:
            return _example(image.convert("RGB"), "The first validation images with what was found", 3 * SIDE_PX)
    except OSError as error:
        raise InputError(f"{path}: not a picture: {error}") from error


def _example(picture: Image.Image, alt: str, side: int = SIDE_PX) -> Example:
    picture.thumbnail((side, side))
    data = io.BytesIO()
    picture.save(data, format="WEBP", quality=QUALITY, method=6)
    return Example(f"data:image/webp;base64,{b64encode(data.getvalue()).decode()}", alt)


def _counted(labels: Sequence[str]) -> str:
    """`3 circle, 1 square`."""
    return ", ".join(f"{labels.count(label)} {label}" for label in dict.fromkeys(labels)) or "nothing"
