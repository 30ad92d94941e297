"""Exported model files against the released models' facts, by a reader that knows only the official format."""

from typing import Any

import catscale
import pytest
from catscale.scaler.official.text import official_yaml

# Facts of the released configurations: rows and output channels of each level's block, by landmark.
P5 = {  # backbone P2 to P5, S, top-down P4 and P3, bottom-up P4 and P5, head convs P3 to P5; the last row
    "yolov7-tiny": ([7, 14, 21, 28, 37, 47, 57, 65, 73, 74, 75, 76], [64, 128, 256, 512, 256, 128, 64, 128, 256], 77),
    "yolov7": (
        [11, 24, 37, 50, 51, 63, 75, 88, 101, 102, 103, 104],
        [256, 512, 1024, 1024, 512, 256, 128, 256, 512],
        105,
    ),
    "yolov7-x": (
        [13, 28, 43, 58, 59, 73, 87, 102, 117, 118, 119, 120],
        [320, 640, 1280, 1280, 640, 320, 160, 320, 640],
        121,
    ),
}
HEADS = {"yolov7-tiny": [128, 256, 512], "yolov7": [256, 512, 1024], "yolov7-x": [320, 640, 1280]}
P6 = {  # backbone P2 to P6, S, top-down P5 to P3, bottom-up P4 to P6, head convs P3 to P6, auxiliary ones
    "yolov7-w6": ([10, 19, 28, 37, 46, 47, 59, 71, 83, 93, 103, 113, *range(114, 122)], 122),
    "yolov7-e6": ([12, 23, 34, 45, 56, 57, 71, 85, 99, 111, 123, 135, *range(136, 144)], 144),
    "yolov7-d6": ([14, 27, 40, 53, 66, 67, 83, 99, 115, 129, 143, 157, *range(158, 166)], 166),
    "yolov7-e6e": ([23, 45, 67, 89, 111, 112, 137, 162, 187, 210, 233, 256, *range(257, 265)], 265),
}
E6 = [160, 320, 640, 960, 1280, 640, 480, 320, 160, 320, 480, 640, 320, 640, 960, 1280, 320, 640, 960, 1280]
P6_CHANNELS = {
    "yolov7-w6": [
        128,
        256,
        512,
        768,
        1024,
        512,
        384,
        256,
        128,
        256,
        384,
        512,
        256,
        512,
        768,
        1024,
        320,
        640,
        960,
        1280,
    ],
    "yolov7-e6": E6,
    "yolov7-d6": [192, 384, 768, 1152, 1536, 768, 576, 384, 192, 384, 576, 768, *[384, 768, 1152, 1536] * 2],
    "yolov7-e6e": E6,
}


@pytest.mark.parametrize("model", P5)
def test_rows_of_the_released_p5_models(model: str, read_by_rows: Any) -> None:
    rows, channels, last = P5[model]
    read = read_by_rows(official_yaml(catscale.load(model)))
    strides = [4, 8, 16, 32, 32, 16, 8, 16, 32, 8, 16, 32]
    assert [read.shape(row, 256) for row in rows] == list(zip([*channels, *HEADS[model]], strides, strict=True))
    assert len(read.tokens) - 1 == last
    assert read.tokens[-1] == "IDetect"
    assert read.model.rows[-1][0] == rows[-3:]
    assert [read.tokens[row] for row in rows[-3:]] == ["RepConv" if model == "yolov7" else "Conv"] * 3


@pytest.mark.parametrize("model", P6)
def test_rows_of_the_released_p6_models(model: str, read_by_rows: Any) -> None:
    rows, last = P6[model]
    read = read_by_rows(official_yaml(catscale.load(model)))
    strides = [4, 8, 16, 32, 64, 64, 32, 16, 8, 16, 32, 64, *[8, 16, 32, 64] * 2]
    assert [read.shape(row, 256) for row in rows] == list(zip(P6_CHANNELS[model], strides, strict=True))
    assert len(read.tokens) - 1 == last
    assert read.tokens[-1] == "IAuxDetect"
    assert read.model.rows[-1][0] == rows[-8:]
    if model == "yolov7-e6e":  # its auxiliary heads read before the merge
        assert [read.model.rows[row][0] for row in rows[-4:]] == [186, 161, 136, 112]


def test_rows_of_the_csp_baselines(read_by_rows: Any) -> None:
    v4 = read_by_rows(official_yaml(catscale.load("yolov4-csp")))
    assert v4.model.rows[31] == [[22, 26, 30], 1, "Detect", ["nc", "anchors"]]
    bottlenecks = [row[1:] for row in v4.model.rows if "Bottleneck" in row[2]]
    backbone = [[n, "BottleneckCSPC", [c]] for c, n in ((128, 2), (256, 8), (512, 8), (1024, 4))]
    neck = [[2, "BottleneckCSPB", [c]] for c in (256, 128, 256, 512)]
    assert bottlenecks == [[1, "Bottleneck", [64]], *backbone, *neck]
    x = read_by_rows(official_yaml(catscale.load("yolor-csp-x")))
    assert [row[1] for row in x.model.rows if "CSP" in row[2] and row[2] != "SPPCSPC"] == [3, 11, 11, 5, 3, 3, 3, 3]
    p6 = read_by_rows(official_yaml(catscale.load("yolor-p6")))
    assert p6.model.rows[41] == [[28, 32, 36, 40], 1, "IDetect", ["nc", "anchors"]]


@pytest.mark.parametrize(
    ("model", "train", "deploy"),  # trainable tensors of the training and the deploy configuration, before folding
    [
        ("yolov7-tiny", 6_228_762, 6_227_101),
        ("yolov7", 37_622_682, 37_620_125),
        ("yolov7-x", 71_347_394, 71_344_389),
        ("yolov7-w6", 82_312_436, 70_426_236),
        ("yolov7-e6", 111_898_292, 97_246_652),
        ("yolov7-d6", 154_709_364, 133_810_044),
        ("yolov7-e6e", 166_408_884, 151_757_244),
        ("yolov4-csp", 52_921_437, 52_921_437),
        ("yolor-csp", 52_923_994, None),
        ("yolor-csp-x", 96_943_410, None),
        ("yolor-p6", 37_265_016, None),
        ("yolor-w6", 79_873_400, None),
        ("yolor-e6", 115_899_960, None),
        ("yolor-d6", 151_773_240, None),
    ],
)
def test_an_exported_file_has_the_released_models_parameters(
    model: str, train: int, deploy: int | None, read_by_rows: Any
) -> None:
    architecture = catscale.load(model)
    assert read_by_rows(official_yaml(architecture)).params == train == architecture.cost().params_train
    if deploy is not None:
        assert read_by_rows(official_yaml(architecture, "deploy")).params == deploy
