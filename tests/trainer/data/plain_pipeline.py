"""YOLOv7's samples made plainly with OpenCV, step by step as the pipeline is described: an oracle, and a peer in speed.

Canvas, copy, warp, blend, convert: nothing is composed, nothing left out. Objects have boxes, no polygons, and paste-in
cuts out the boxes. Shares no code with `catscale.trainer.data`, records and the names of the settings apart.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from catscale.trainer.data.records import ImageRecord
from catscale.trainer.data.settings import Augment

GREY = (114, 114, 114)


class PlainPipeline:
    """Samples of `size` px: (3, S, S) uint8 RGB and (n, 5) class, cx, cy, w, h as shares."""

    def __init__(self, records: Sequence[ImageRecord], size: int, settings: Augment, seed: int, *, keep: bool) -> None:
        self.records, self.size, self.hyp, self.keep = records, size, settings, keep
        self.rng = np.random.default_rng(seed)
        self.kept: dict[int, np.ndarray] = {}

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng, hyp = self.rng, self.hyp
        if rng.random() < hyp.mosaic:
            image, labels = self.mosaic(index)
            if rng.random() < hyp.mixup:
                other, other_labels = self.mosaic(self.any())
                share = rng.beta(8.0, 8.0)
                image = (image * share + other * (1 - share)).astype(np.uint8)
                labels = np.concatenate((labels, other_labels), 0)
        else:
            image, labels = self.letterbox(index)
            image, labels = self.perspective(image, labels, border=0)
        image = self.hsv(image)
        if rng.random() < hyp.paste_in:
            labels = self.paste_in(image, labels)
        shares = np.zeros((len(labels), 5), dtype=np.float32)
        shares[:, 0] = labels[:, 0]
        shares[:, 1:3] = (labels[:, 1:3] + labels[:, 3:5]) / 2 / self.size
        shares[:, 3:5] = (labels[:, 3:5] - labels[:, 1:3]) / self.size
        if rng.random() < hyp.flipud:
            image = np.flipud(image)
            shares[:, 2] = 1 - shares[:, 2]
        if rng.random() < hyp.fliplr:
            image = np.fliplr(image)
            shares[:, 1] = 1 - shares[:, 1]
        return np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)), shares

    def any(self) -> int:
        return int(self.rng.integers(len(self.records)))

    def load(self, index: int) -> np.ndarray:
        if index in self.kept:
            return self.kept[index]
        image = cv2.imread(str(self.records[index].path))
        assert image is not None
        height, width = image.shape[:2]
        ratio = self.size / max(height, width)
        if ratio != 1:
            image = cv2.resize(image, (int(width * ratio), int(height * ratio)), interpolation=cv2.INTER_LINEAR)
        if self.keep:
            self.kept[index] = image
        return image

    def labels(self, index: int, image: np.ndarray, left: float, top: float) -> np.ndarray:
        """(n, 5) class, x1, y1, x2, y2 of an image that lies at (left, top)."""
        record = self.records[index]
        height, width = image.shape[:2]
        labels = np.zeros((len(record.boxes), 5))
        labels[:, 0] = record.labels
        labels[:, [1, 3]] = record.boxes[:, [0, 2]] / record.width * width + left
        labels[:, [2, 4]] = record.boxes[:, [1, 3]] / record.height * height + top
        return labels

    def letterbox(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = self.load(index)
        dh, dw = ((self.size - side) / 2 for side in image.shape[:2])
        top, bottom, left, right = (round(dh - 0.1), round(dh + 0.1), round(dw - 0.1), round(dw + 0.1))
        square = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=GREY)
        return square, self.labels(index, image, left, top)

    def mosaic(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        canvas, labels = self.canvas9(index) if self.rng.random() < self.hyp.mosaic9 else self.canvas4(index)
        return self.perspective(canvas, labels, border=-self.size // 2)

    def canvas4(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        s = self.size
        canvas = np.full((2 * s, 2 * s, 3), 114, dtype=np.uint8)
        yc, xc = (int(self.rng.uniform(s / 2, 3 * s / 2)) for _ in range(2))
        every: list[np.ndarray] = []
        for place, chosen in enumerate([index, self.any(), self.any(), self.any()]):
            image = self.load(chosen)
            h, w = image.shape[:2]
            left, top = (xc if place in (1, 3) else xc - w), (yc if place in (2, 3) else yc - h)
            self.put(canvas, image, left, top)
            every.append(self.labels(chosen, image, left, top))
        labels = np.concatenate(every, 0)
        np.clip(labels[:, 1:], 0, 2 * s, out=labels[:, 1:])
        return canvas, labels

    def canvas9(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        s = self.size
        canvas = np.full((3 * s, 3 * s, 3), 114, dtype=np.uint8)
        every: list[np.ndarray] = []
        h0 = w0 = hp = wp = 0
        for place, chosen in enumerate([index, *(self.any() for _ in range(8))]):
            image = self.load(chosen)
            h, w = image.shape[:2]
            if place == 0:
                h0, w0 = h, w
                left, top = s, s
            elif place == 1:
                left, top = s, s - h
            elif place == 2:
                left, top = s + wp, s - h
            elif place == 3:
                left, top = s + w0, s
            elif place == 4:
                left, top = s + w0, s + hp
            elif place == 5:
                left, top = s + w0 - w, s + h0
            elif place == 6:
                left, top = s + w0 - wp - w, s + h0
            elif place == 7:
                left, top = s - w, s + h0 - h
            else:
                left, top = s - w, s + h0 - hp - h
            self.put(canvas, image, left, top)
            every.append(self.labels(chosen, image, left, top))
            hp, wp = h, w
        yc, xc = (int(self.rng.uniform(0, s)) for _ in range(2))
        labels = np.concatenate(every, 0)
        labels[:, [1, 3]] -= xc
        labels[:, [2, 4]] -= yc
        np.clip(labels[:, 1:], 0, 2 * s, out=labels[:, 1:])
        return canvas[yc : yc + 2 * s, xc : xc + 2 * s], labels

    def put(self, canvas: np.ndarray, image: np.ndarray, left: int, top: int) -> None:
        h, w = image.shape[:2]
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + w, canvas.shape[1]), min(top + h, canvas.shape[0])
        if x1 < x2 and y1 < y2:
            canvas[y1:y2, x1:x2] = image[y1 - top : y2 - top, x1 - left : x2 - left]

    def perspective(self, image: np.ndarray, labels: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
        rng, hyp = self.rng, self.hyp
        height, width = image.shape[0] + border * 2, image.shape[1] + border * 2
        centre, perspective, rotation, shear, translation = np.eye(3), np.eye(3), np.eye(3), np.eye(3), np.eye(3)
        centre[:2, 2] = -image.shape[1] / 2, -image.shape[0] / 2
        perspective[2, :2] = rng.uniform(-hyp.perspective, hyp.perspective, 2)
        zoom = rng.uniform(1 - hyp.scale, 1.1 + hyp.scale)
        rotation[:2] = cv2.getRotationMatrix2D((0, 0), rng.uniform(-hyp.degrees, hyp.degrees), zoom)
        shear[0, 1], shear[1, 0] = (math.tan(math.radians(rng.uniform(-hyp.shear, hyp.shear))) for _ in range(2))
        translation[0, 2] = rng.uniform(0.5 - hyp.translate, 0.5 + hyp.translate) * width
        translation[1, 2] = rng.uniform(0.5 - hyp.translate, 0.5 + hyp.translate) * height
        matrix = translation @ shear @ rotation @ perspective @ centre
        if hyp.perspective:
            image = cv2.warpPerspective(image, matrix, (width, height), borderValue=GREY)
        else:
            image = cv2.warpAffine(image, matrix[:2], (width, height), borderValue=GREY)
        corners = np.ones((len(labels) * 4, 3))
        corners[:, :2] = labels[:, [1, 2, 3, 4, 1, 4, 3, 2]].reshape(-1, 2)
        corners = corners @ matrix.T
        corners = (corners[:, :2] / corners[:, 2:3]).reshape(-1, 8)
        xs, ys = corners[:, [0, 2, 4, 6]], corners[:, [1, 3, 5, 7]]
        new = np.stack((xs.min(1), ys.min(1), xs.max(1), ys.max(1)), 1)
        new[:, [0, 2]] = new[:, [0, 2]].clip(0, width)
        new[:, [1, 3]] = new[:, [1, 3]].clip(0, height)
        w0, h0 = (labels[:, 3] - labels[:, 1]) * zoom, (labels[:, 4] - labels[:, 2]) * zoom
        w, h = new[:, 2] - new[:, 0], new[:, 3] - new[:, 1]
        aspect = np.maximum(w / (h + 1e-16), h / (w + 1e-16))
        kept = (w > 2) & (h > 2) & (w * h / (w0 * h0 + 1e-16) > 0.1) & (aspect < 20)
        return image, np.concatenate((labels[kept, :1], new[kept]), 1)

    def hsv(self, image: np.ndarray) -> np.ndarray:
        hyp = self.hyp
        gains = self.rng.uniform(-1, 1, 3) * [hyp.hsv_h, hyp.hsv_s, hyp.hsv_v] + 1
        hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
        x = np.arange(256)
        hue = cv2.LUT(hue, ((x * gains[0]) % 180).astype(np.uint8))
        saturation = cv2.LUT(saturation, np.clip(x * gains[1], 0, 255).astype(np.uint8))
        value = cv2.LUT(value, np.clip(x * gains[2], 0, 255).astype(np.uint8))
        return cv2.cvtColor(cv2.merge((hue, saturation, value)), cv2.COLOR_HSV2BGR)

    def paste_in(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        rng = self.rng
        donors: list[tuple[float, np.ndarray]] = []
        while len(donors) < 30:
            canvas, found = self.canvas4(self.any())
            found = found[(found[:, 3] - found[:, 1] >= 1) & (found[:, 4] - found[:, 2] >= 1)]
            for row in rng.permutation(len(found))[: round(len(found) / 2)]:
                x1, y1, x2, y2 = found[row, 1:].astype(int)
                donors.append((found[row, 0], canvas[y1:y2, x1:x2].copy()))
            if not donors:
                return labels
        h, w = image.shape[:2]
        for share in [0.75] * 2 + [0.5] * 4 + [0.25] * 4 + [0.125] * 4 + [0.0625] * 6:
            if rng.random() < 0.2:
                continue
            high, wide = int(rng.integers(1, int(h * share) + 1)), int(rng.integers(1, int(w * share) + 1))
            left, top = max(0, int(rng.integers(w + 1)) - wide // 2), max(0, int(rng.integers(h + 1)) - high // 2)
            right, bottom = min(w, left + wide), min(h, top + high)
            if right - left <= 20 or bottom - top <= 20:
                continue
            if len(labels):
                across = np.minimum(labels[:, 3], right) - np.maximum(labels[:, 1], left)
                down = np.minimum(labels[:, 4], bottom) - np.maximum(labels[:, 2], top)
                area = (labels[:, 3] - labels[:, 1]) * (labels[:, 4] - labels[:, 2])
                if (across.clip(0) * down.clip(0) / area >= 0.30).any():
                    continue
            label, cut = donors[int(rng.integers(len(donors)))]
            ratio = min((bottom - top) / cut.shape[0], (right - left) / cut.shape[1])
            new_w, new_h = int(cut.shape[1] * ratio), int(cut.shape[0] * ratio)
            if new_w <= 10 or new_h <= 10:
                continue
            image[top : top + new_h, left : left + new_w] = cv2.resize(cut, (new_w, new_h))
            labels = np.concatenate((labels, [[label, left, top, left + new_w, top + new_h]]), 0)
        return labels
