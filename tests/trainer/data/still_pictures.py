"""Pictures in memory, as the augmentation takes them: drawn by a test, loaded from nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Still:
    """Images of a longer side of `size_px`, each with its boxes and labels; counts what is loaded."""

    size_px: int
    images: Sequence[np.ndarray]
    boxes: Sequence[Sequence[Sequence[float]]]
    labels: Sequence[Sequence[int]]
    loaded: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for image in self.images:
            image.flags.writeable = False

    def __len__(self) -> int:
        return len(self.images)

    def size(self, index: int) -> tuple[int, int]:
        height, width = self.images[index].shape[:2]
        return width, height

    def load(self, index: int) -> np.ndarray:
        self.loaded.append(index)
        return self.images[index]

    def objects(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.boxes[index], dtype=np.float64).reshape(-1, 4), np.array(self.labels[index], dtype=int)
