"""Colour jitter: hue, saturation and value times a factor each, the same for a whole sample."""

from dataclasses import dataclass

import cv2
import numpy as np

from .settings import Augment

STRIP_BYTES = 100_000  # converted at a time, so that it stays in the processor's cache
# `cv2.transform` rounds to the nearest, where the source's tables cut off; not a half, for whole products stay.
_CUT_OFF = -0.499


@dataclass(frozen=True, slots=True)
class Jitter:
    """Factors of hue (on its circle), saturation and value (up to 255)."""

    hue: float
    saturation: float
    value: float

    @classmethod
    def draw(cls, settings: Augment, rng: np.random.Generator) -> "Jitter":
        """1 + U(-gain, gain) each."""
        gains = (settings.hsv_h, settings.hsv_s, settings.hsv_v)
        return cls(*(1 + rng.uniform(-1, 1, 3) * gains).tolist())

    def apply(self, image: np.ndarray, into: np.ndarray) -> None:
        """Jitter (H, W, 3) uint8 RGB into another image, or into itself.

        A linear map of the three channels does what the source's tables do (but for single steps, where a product is
        nearly whole) in two thirds of the time; a hue past 180 comes back to its circle in the conversion.
        """
        factors = (self.hue, self.saturation, self.value)
        if factors == (1, 1, 1):
            if into is not image:
                into[:] = image
            return
        matrix = np.hstack([np.diag(factors), np.full((3, 1), _CUT_OFF)])
        rows = max(1, STRIP_BYTES // (3 * image.shape[1]))
        for top in range(0, len(image), rows):
            strip = cv2.cvtColor(image[top : top + rows], cv2.COLOR_RGB2HSV)
            cv2.transform(strip, matrix, dst=strip)
            cv2.cvtColor(strip, cv2.COLOR_HSV2RGB, dst=into[top : top + rows])
