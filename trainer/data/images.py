"""Image files to pixels, and pixels to the square that a network sees.

Pillow is the one decoder: it refuses truncated files, where OpenCV fills the missing part with grey and goes on.
"""

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from ...blocks.errors import InputError
from .records import ImageRecord

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
FILL = 114
_ORIENTATION = 0x0112
MOST_MEGAPIXELS = 178  # Pillow's own limit, beyond which it takes a file for an attack
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    Image.DecompressionBombError,
)  # what Pillow raises on bad files
# Above half the limit Pillow warns, image after image; such images are read.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in px of the upright image, from the file's header alone.

    Raises:
        InputError: the file cannot be read, is no image, or has too many pixels.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            sideways = image.getexif().get(_ORIENTATION, 1) in {5, 6, 7, 8}
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    return (height, width) if sideways else (width, height)


def read_image(path: Path) -> np.ndarray:
    """Decode an image: (H, W, 3) uint8 RGB, upright (EXIF orientation applied).

    Grey becomes three equal channels, transparency is dropped, 16 bits keep their upper 8.

    Raises:
        InputError: the file cannot be read, is empty, broken, truncated, or has floating-point pixels.
    """
    try:
        with Image.open(path) as image:
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode == "F":
                raise InputError(f"{path}: has floating-point pixels; save it with 8 bits a channel")
            if image.mode.startswith("I"):
                grey = np.clip(np.asarray(image), 0, 65535) >> 8
                return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
            if image.mode == "P":
                image = image.convert("RGBA")
            return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def record_image(record: ImageRecord) -> np.ndarray:
    """Decode the image of a record: (H, W, 3) uint8 RGB.

    Raises:
        InputError: as `read_image`; or the image is not of the size that its annotations state.
    """
    image = read_image(record.path)
    height, width = image.shape[:2]
    if (width, height) != (record.width, record.height):
        raise InputError(
            f"{record.path}: the image is {width} x {height} px, but its annotations state "
            f"{record.width} x {record.height}; correct width and height there, or put the right image here"
        )
    return image


def _unreadable(path: Path, error: Exception) -> InputError:
    if not path.exists():
        return InputError(f"{path}: there is no such image")
    if path.is_file() and path.stat().st_size == 0:
        return InputError(f"{path}: the image file is empty; replace it, or remove it with its labels")
    if isinstance(error, Image.DecompressionBombError):
        return InputError(
            f"{path}: the image has more than {MOST_MEGAPIXELS} megapixels; scale it down, or cut it into tiles"
        )
    why = str(error).replace(f" {str(path)!r}", "")
    return InputError(f"{path}: the image cannot be decoded ({why}); replace it, or remove it with its labels")


@dataclass(frozen=True)
class Letterboxed:
    """How an image of `width` x `height` px lies in its letterbox: x' = scale_x * x + pad_x, y likewise.

    The two scales differ by the rounding of the resized sides to whole pixels; the paddings are those applied.
    """

    width: int  # px, of the image
    height: int
    scale_x: float
    scale_y: float
    pad_x: int  # px, left of the image
    pad_y: int  # px, above the image

    @classmethod
    def of(cls, width: int, height: int, size_px: int, shape: tuple[int, int] | None = None) -> "Letterboxed":
        """Lay an image, its longer side resized to `size_px`, centred into `shape`; sides rounded.

        Source: YOLOv7 as released: scale min(S/H, S/W), sides round(scale * side), left and top round(half - 0.1).

        Args:
            width: of the image, px.
            height: of the image, px.
            size_px: S.
            shape: height and width in px of what it is laid into; an S x S square where None.
        """
        scale = min(size_px / height, size_px / width)
        across, down = max(1, round(width * scale)), max(1, round(height * scale))
        high, wide = shape or (size_px, size_px)
        return cls(width, height, across / width, down / height, centred(across, wide), centred(down, high))

    @property
    def scale(self) -> float:
        """The scale of the longer side."""
        return self.scale_x if self.width >= self.height else self.scale_y

    @property
    def resized(self) -> tuple[int, int]:
        """Width and height in px of the image within the square."""
        return round(self.width * self.scale_x), round(self.height * self.scale_y)

    def place(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the image, (n, 4) x1 y1 x2 y2 in px, to px of the square: (n, 4) float64."""
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y])
        return boxes * scale + np.array([self.pad_x, self.pad_y, self.pad_x, self.pad_y])


def fit(image: np.ndarray, size_px: int) -> np.ndarray:
    """Resize (H, W, 3) uint8 so that its longer side is `size_px`, keeping its aspect.

    Shrinking averages over areas, so that small objects do not alias; enlarging is bilinear.
    """
    height, width = image.shape[:2]
    resized = Letterboxed.of(width, height, size_px).resized
    if resized == (width, height):
        return image
    smaller = resized[0] < width or resized[1] < height
    return cv2.resize(image, resized, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def centred(side: int, within: int) -> int:
    """How far from the left, or top, a side begins that is centred: half of what is left, in whole px."""
    return round((within - side) / 2 - 0.1)


def pad(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Centre an image that `fit` resized in a grey rectangle: (*shape, 3) uint8."""
    height, width = image.shape[:2]
    left, top = centred(width, shape[1]), centred(height, shape[0])
    padded = np.full((*shape, 3), FILL, dtype=np.uint8)
    padded[top : top + height, left : left + width] = image
    return padded


def letterbox(image: np.ndarray, size_px: int) -> tuple[np.ndarray, Letterboxed]:
    """Resize (H, W, 3) uint8 into a (size_px, size_px, 3) square, centred on grey 114, and say how it lies there.

    Source: YOLOv7 as released
    """
    height, width = image.shape[:2]
    return pad(fit(image, size_px), (size_px, size_px)), Letterboxed.of(width, height, size_px)


def unletterbox(boxes: np.ndarray, letterboxed: Letterboxed) -> np.ndarray:
    """Boxes of the square, (n, 4) x1 y1 x2 y2 in px, back to px of the image and clipped to it: (n, 4) float64.

    The exact inverse of `Letterboxed.place` inside the image.
    """
    lay = letterboxed
    scale = np.array([lay.scale_x, lay.scale_y, lay.scale_x, lay.scale_y])
    back = (np.asarray(boxes, dtype=np.float64) - np.array([lay.pad_x, lay.pad_y, lay.pad_x, lay.pad_y])) / scale
    return np.clip(back, 0, np.array([lay.width, lay.height, lay.width, lay.height]))
