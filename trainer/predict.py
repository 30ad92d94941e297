"""Detect objects in images and videos, and draw what was found."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..blocks.errors import InputError
from ..scaler.build import deploy
from ..scaler.documents import written
from ..scaler.number_formats import Dtype
from ..scaler.optimised import Runtime, optimised
from ..scaler.suppression import suppress
from .data.images import SUFFIXES, letterbox, read_image, unletterbox
from .data.video import SUFFIXES as VIDEO_SUFFIXES
from .data.video import frame_count, frames_per_second, read_frames, writing_frames
from .run_folder import Run

# Told apart by colour-blind readers too. Source: Okabe and Ito, "Color Universal Design" (2008), black left out.
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
QUALITY = 92  # of the JPEG files written
KNOWN = SUFFIXES | VIDEO_SUFFIXES


@dataclass(frozen=True)
class Detection:
    """One object."""

    label: str
    class_index: int
    score: float
    box: tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the image


@dataclass(frozen=True)
class Prediction:
    """What was found in one image, or one frame of a video, best first, and where its picture was written."""

    image: Path
    name: str  # of its files: the image's, made distinct
    width: int  # px
    height: int
    picture: Path | None
    detections: tuple[Detection, ...]
    frame: int | None = None  # of a video, counted from 1

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        picture = str(self.picture) if self.picture else None
        return {
            "image": str(self.image),
            "frame": self.frame,
            "width": self.width,
            "height": self.height,
            "picture": picture,
            "detections": [asdict(found) for found in self.detections],
        }


def find_images(sources: Sequence[str | Path]) -> list[Path]:
    """Image and video files of files, folders (not of folders within) and glob patterns, each once, in order.

    Raises:
        InputError: a source is missing, or holds no image.
    """
    found: dict[Path, None] = {}
    for source in map(Path, sources):
        if source.is_dir():
            images = sorted(path for path in source.iterdir() if path.suffix.lower() in KNOWN)
        elif source.exists():
            images = [source]
        elif any(sign in str(source) for sign in "*?["):
            root = Path(source.anchor)
            images = sorted(path for path in root.glob(str(source.relative_to(root))) if path.suffix.lower() in KNOWN)
        else:
            raise InputError(f"{source}: no such image, video or folder")
        if not images:
            raise InputError(f"{source}: no images there; known: {', '.join(sorted(KNOWN))}")
        found.update(dict.fromkeys(images))
    return list(found)


def predict_images(
    run: Run,
    images: Sequence[Path],
    out: Path | None,
    *,
    conf: float = 0.25,
    iou: float = 0.45,
    max_det: int = 300,
    device: torch.device | str = "cpu",
    dtype: Dtype = "fp32",
    runtime: Runtime = "torch",
    on_image: Callable[[int, int], None] | None = None,
) -> list[Prediction]:
    """Detect in each image and video, a box counting for its best class, and write them with their boxes drawn.

    Args:
        run: a trained detector.
        images: files, see `find_images`.
        out: folder for the pictures, named after their images; none are written where None.
        conf: weaker detections are dropped. This and `iou` are YOLOv7's demonstration settings.
        iou: threshold of the non-maximum suppression.
        max_det: detections kept for each image.
        device: to detect on.
        dtype: number format that the device computes in.
        runtime: of torch, see `optimised`.
        on_image: called after each image or frame with how many of how many are done.

    Raises:
        InputError: an image cannot be read (pictures of those before it are written), or a picture not written, or
            the device lacks the format or the runtime.
    """
    model = optimised(deploy(run.model), device, dtype, runtime)
    films = {path for path in images if path.suffix.lower() in VIDEO_SUFFIXES}
    total = sum(frame_count(path) if path in films else 1 for path in images)
    predictions: list[Prediction] = []

    def find(image: np.ndarray, path: Path, name: str, picture: Path | None, frame: int | None) -> Prediction:
        detections = _detect(model, image, run, conf, iou, max_det, device)
        height, width = image.shape[:2]
        predictions.append(Prediction(path, name, width, height, picture, detections, frame))
        if on_image:
            on_image(len(predictions), max(total, len(predictions)))
        return predictions[-1]

    for path, name in zip(images, _names(images), strict=True):
        picture = out / f"{name}{'.mp4' if path in films else '.jpg'}" if out else None
        if picture and picture.exists() and picture.samefile(path):
            raise InputError(f"{path}: its picture would replace it; choose another folder")
        if path not in films:
            image = read_image(path)
            found = find(image, path, name, picture, None)
            if picture:
                with written(picture) as beside:
                    draw(image, found.detections).save(beside, format="JPEG", quality=QUALITY)
            continue
        with writing_frames(picture, frames_per_second(path)) if picture else nullcontext() as put:
            for number, image in enumerate(read_frames(path), start=1):
                found = find(image, path, name, picture, number)
                if put:
                    put(np.asarray(draw(image, found.detections)))
    return predictions


@torch.inference_mode()
def _detect(
    model: Callable[[Tensor], Tensor],
    image: np.ndarray,
    run: Run,
    conf: float,
    iou: float,
    max_det: int,
    device: torch.device | str,
) -> tuple[Detection, ...]:
    square, letterboxed = letterbox(image, run.facts.size_px)
    pixels = torch.from_numpy(square).to(device).permute(2, 0, 1)[None].float() / 255
    (found,) = suppress(model(pixels), conf=conf, iou=iou, max_det=max_det, multi_label=False)
    boxes = unletterbox(found.boxes.cpu().numpy(), letterboxed)
    rows = zip(boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    return tuple(Detection(run.classes[label], label, score, tuple(box)) for box, score, label in rows)


def draw(image: np.ndarray, detections: Sequence[Detection], *, scores: bool = True) -> Image.Image:
    """The image (H, W, 3) uint8 with boxes, class names and scores; the first detection, the surest, lies on top."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    line = max(2, round(min(picture.size) / 250))
    font = _font(max(12, round(min(picture.size) / 35)))
    for found in reversed(detections):
        colour = PALETTE[found.class_index % len(PALETTE)]
        left, top, right, bottom = found.box
        pen.rectangle((left, top, max(right, left), max(bottom, top)), outline=colour, width=line)
        text = f"{found.label} {found.score:.2f}" if scores else found.label
        _, _, width, height = pen.textbbox((0, 0), text, font=font)
        width, height = width + 2 * line, height + line
        x = max(0, min(left, picture.width - width))
        y = top - height if top >= height else top  # inside the box where there is no room above it
        pen.rectangle((x, y, x + width, y + height), fill=colour)
        pen.text((x + line, y), text, fill="black" if _is_light(colour) else "white", font=font)
    return picture


def _is_light(colour: tuple[int, int, int]) -> bool:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue > 120  # luma, ITU-R BT.601


@lru_cache(maxsize=8)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """A font that comes with matplotlib, so that class names of any alphabet it knows can be drawn anywhere."""
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size_px)


def _names(images: Sequence[Path]) -> Iterator[str]:
    """`cat`, and `cat-2` for a second image called cat."""
    taken: set[str] = set()
    for path in images:
        number, name = 1, path.stem
        while name in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name)
        yield name
