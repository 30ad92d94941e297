"""A second reader of official model files, which knows the format's rules and the facts sheet and nothing of catscale.

It reads YOLOv5's files, too, whose modules of its own are `C3` and `SPPF`.

One functional forward, written from the facts of the released models, reads, makes or counts the weights it comes by.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from .plain_layers import Weights

YOLOV5 = ["C3", "SPPF"]
CSP = [f"{unit}CSP{kind}" for unit in ("Bottleneck", "Res", "ResX") for kind in "ABC"]


class OfficialModel:
    """An official model file and what its rows compute."""

    def __init__(self, text: str) -> None:
        document = yaml.safe_load(text)
        self.classes, self.anchors = document["nc"], document["anchors"]
        self.depth, self.width = document["depth_multiple"], document["width_multiple"]
        self.rows: list[list[Any]] = document["backbone"] + document["head"]
        self.maps: list[Tensor] = []  # the output of each row of the last forward
        self.fields = self.classes + 5
        self.per_level = len(self.anchors[0]) // 2

    def channels(self, c: int) -> int:
        return c if c == self.per_level * self.fields else ceil(c * self.width / 8) * 8

    def forward(self, image: Tensor, weights: Weights) -> list[Tensor]:
        """Raw maps (B, anchors, H, W, fields): lead levels, then auxiliary ones."""
        self.weights, self.maps = weights, []
        self.conv, self._norm = weights.conv, weights.norm
        x = image
        for index, (sources, number, module, args) in enumerate(self.rows[:-1]):
            inputs = [self._read(index, source, image) for source in _listed(sources)]
            repeats = max(round(number * self.depth), 1) if number > 1 else number
            inside = module in ("SPPCSPC", "DownC", *CSP, *YOLOV5)
            if repeats == 1 or inside:
                x = self._row(f"model.{index}", module, args, repeats, inputs)
            else:
                (x,) = inputs
                for repeat in range(repeats):
                    x = self._row(f"model.{index}.{repeat}", module, args, 1, [x])
            self.maps.append(x)
        return list(self._detect(len(self.rows) - 1, image))

    def _read(self, index: int, source: int, image: Tensor) -> Tensor:
        if index == 0:
            assert source == -1
            return image
        assert -index <= source < index
        return self.maps[source] if source < 0 else self.maps[:index][source]

    def _row(self, name: str, module: str, args: list[Any], n: int, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        match module:
            case "Conv":
                defaults: list[Any] = [None, 1, 1, "None", 1, "nn.SiLU()"]
                c, k, s, p, g, act = [*args, *defaults[len(args) :]]
                assert p == (2 if k == 6 else "None")
                return self.conv(name, x, self.channels(c), k, s, g, act)
            case "RepConv":
                return self._rep(name, x, *(self.channels(args[0]), *args[1:]))
            case "MP":
                return F.max_pool2d(x, 2, 2)
            case "SP":
                return F.max_pool2d(x, args[0], 1, args[0] // 2)
            case "ReOrg":
                return torch.cat([x[..., r::2, c::2] for r, c in ((0, 0), (1, 0), (0, 1), (1, 1))], 1)
            case "Concat":
                return torch.cat(inputs, 1)
            case "Chuncat":
                halves = [part.chunk(2, 1) for part in inputs]
                return torch.cat([first for first, _ in halves] + [second for _, second in halves], 1)
            case "Foldcut":
                first, second = x.chunk(2, 1)
                return first + second
            case "Shortcut":
                first, second = inputs
                return first + second
            case "nn.Upsample":
                assert args == ["None", 2, "nearest"]
                return F.interpolate(x, scale_factor=2.0, mode="nearest")
            case "Bottleneck":
                return self._bottleneck(name, x, self.channels(args[0]), add=args[1:] != [False])
            case "C3":
                return self._c3(name, x, self.channels(args[0]), n, add=args[1:] != [False])
            case "SPPF":
                assert args[1:] == [5]
                return self._sppf(name, x, self.channels(args[0]))
            case "Res" | "ResX":
                return self._res(name, x, self.channels(args[0]), groups=32 if module == "ResX" else 1)
        if module in CSP:
            return self._csp(name, x, self.channels(args[0]), n, module[:-4], module[-1])
        return getattr(self, f"_{module.lower()}")(name, x, self.channels(args[0]), n)

    def _rep(self, name: str, x: Tensor, c: int, k: int, s: int, p: str = "None", g: int = 1) -> Tensor:
        assert (k, p) == (3, "None")
        cin = x.shape[1] // g
        dense = F.conv2d(x, self.weights(f"{name}.rbr_dense.0.weight", c, cin, 3, 3), None, s, 1, 1, g)
        point = F.conv2d(x, self.weights(f"{name}.rbr_1x1.0.weight", c, cin, 1, 1), None, s, 0, 1, g)
        y = self._norm(f"{name}.rbr_dense.1", dense) + self._norm(f"{name}.rbr_1x1.1", point)
        if x.shape[1] == c and s == 1:
            y = y + self._norm(f"{name}.rbr_identity", x)
        return F.silu(y)

    def _sppcspc(self, name: str, x: Tensor, c: int, _: int) -> Tensor:
        t = self.conv(f"{name}.cv1", x, c, 1)
        t = self.conv(f"{name}.cv4", self.conv(f"{name}.cv3", t, c, 3), c, 1)
        pools = torch.cat([t, *(F.max_pool2d(t, k, 1, k // 2) for k in (5, 9, 13))], 1)
        t = self.conv(f"{name}.cv6", self.conv(f"{name}.cv5", pools, c, 1), c, 3)
        return self.conv(f"{name}.cv7", torch.cat([t, self.conv(f"{name}.cv2", x, c, 1)], 1), c, 1)

    def _downc(self, name: str, x: Tensor, c: int, _: int) -> Tensor:
        left = self.conv(f"{name}.cv2", self.conv(f"{name}.cv1", x, x.shape[1], 1), c // 2, 3, 2)
        return torch.cat([left, self.conv(f"{name}.cv3", F.max_pool2d(x, 2, 2), c // 2, 1)], 1)

    def _bottleneck(self, name: str, x: Tensor, c: int, e: float = 0.5, add: bool = True) -> Tensor:
        y = self.conv(f"{name}.cv2", self.conv(f"{name}.cv1", x, int(c * e), 1), c, 3)
        return x + y if add and x.shape[1] == c else y

    def _res(self, name: str, x: Tensor, c: int, e: float = 0.5, groups: int = 1) -> Tensor:
        y = self.conv(f"{name}.cv2", self.conv(f"{name}.cv1", x, int(c * e), 1), int(c * e), 3, g=groups)
        y = self.conv(f"{name}.cv3", y, c, 1)
        return x + y if x.shape[1] == c else y

    def _stem(self, name: str, x: Tensor, c: int, _: int) -> Tensor:
        t = self.conv(f"{name}.cv1", x, c // 2, 3, 2)
        strided = self.conv(f"{name}.cv3", self.conv(f"{name}.cv2", t, c // 2, 1), c // 2, 3, 2)
        return self.conv(f"{name}.cv4", torch.cat([strided, F.max_pool2d(t, 2, 2)], 1), c, 1)

    def _csp(self, name: str, x: Tensor, c: int, n: int, unit: str, kind: str) -> Tensor:
        h = c if kind == "B" else c // 2
        path = self.conv(f"{name}.cv1", x, h, 1)
        past = self.conv(f"{name}.cv2", path if kind == "B" else x, h, 1)
        for j in range(n):
            at = f"{name}.m.{j}"
            match unit:
                case "Bottleneck":
                    path = self._bottleneck(at, path, h, e=1.0, add=kind != "B")
                case "Res":
                    path = self._res(at, path, h, e=0.5)
                case "ResX":
                    path = self._res(at, path, h, e=1.0, groups=32)
        if kind == "C":
            path = self.conv(f"{name}.cv3", path, h, 1)
        return self.conv(f"{name}.cv{4 if kind == 'C' else 3}", torch.cat([path, past], 1), c, 1)

    def _c3(self, name: str, x: Tensor, c: int, n: int, add: bool) -> Tensor:
        u = self.conv(f"{name}.cv1", x, c // 2, 1)
        v = self.conv(f"{name}.cv2", x, c // 2, 1)
        for j in range(n):
            u = self._bottleneck(f"{name}.m.{j}", u, c // 2, e=1.0, add=add)
        return self.conv(f"{name}.cv3", torch.cat([u, v], 1), c, 1)

    def _sppf(self, name: str, x: Tensor, c: int) -> Tensor:
        pools = [self.conv(f"{name}.cv1", x, x.shape[1] // 2, 1)]
        for _ in range(3):
            pools.append(F.max_pool2d(pools[-1], 5, 1, 2))
        return self.conv(f"{name}.cv2", torch.cat(pools, 1), c, 1)

    def _detect(self, index: int, image: Tensor) -> Iterator[Tensor]:
        sources, _, module, args = self.rows[-1]
        assert args == ["nc", "anchors"]
        levels, name, w = len(self.anchors), f"model.{index}", self.weights
        outputs = self.per_level * self.fields
        for place, source in enumerate(sources):
            x, level = self.maps[source], place % levels
            lead = place < levels
            head = f"{name}.{'m' if lead else 'm2'}.{level}"
            implicit = lead and module != "Detect"
            if implicit:
                x = w(f"{name}.ia.{level}.implicit", 1, x.shape[1], 1, 1) + x
            y = F.conv2d(x, w(f"{head}.weight", outputs, x.shape[1], 1, 1), w(f"{head}.bias", outputs))
            if implicit:
                y = w(f"{name}.im.{level}.implicit", 1, outputs, 1, 1, low=0.9, high=1.1) * y
            batch, _, height, width = y.shape
            yield y.view(batch, self.per_level, self.fields, height, width).permute(0, 1, 3, 4, 2)
        if w.made:
            strides = torch.tensor([image.shape[-1] / self.maps[source].shape[-1] for source in sources[:levels]])
            pixels = torch.tensor(self.anchors, dtype=torch.float32).view(levels, -1, 2)
            w.values[f"{name}.anchors"] = pixels / strides.view(-1, 1, 1)
            if not any(row[2] in YOLOV5 for row in self.rows):
                w.values[f"{name}.anchor_grid"] = pixels.view(levels, 1, -1, 1, 1, 2)


def _listed(value: Any) -> list[int]:
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Read:
    """An official model file as the second reader has it."""

    model: OfficialModel
    weights: dict[str, Tensor]  # random ones (or, on `meta`, shapes alone)
    outputs: list[Tensor]
    params: int

    @property
    def tokens(self) -> list[str]:
        return [row[2] for row in self.model.rows]

    def shape(self, row: int, size: int) -> tuple[int, int]:
        """Channels and stride of a row's output."""
        _, channels, height, _ = self.model.maps[row].shape
        return channels, size // height


Reader = Callable[..., Read]


@pytest.fixture(scope="session")
def read_by_rows() -> Reader:
    """Read an official model file by the format's rules alone, make weights for it, and run it."""

    def read(text: str, images: Tensor | None = None, weights: Iterable[tuple[str, Tensor]] | None = None) -> Read:
        model = OfficialModel(text)
        if images is None:  # only count
            weights_, images = Weights(device="meta"), torch.empty(1, 3, 256, 256, device="meta")
        else:
            weights_ = Weights(dict(weights or {}), made=weights is None)
        with torch.no_grad():
            outputs = model.forward(images, weights_)
        return Read(model, weights_.values, outputs, weights_.params)

    return read
