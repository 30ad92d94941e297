"""The zoo's names as parameters of tests: of families in several sizes the smallest by default, the others as slow."""

import catscale
import pytest

FAMILIES = {"yolov5": ("yolov5-n", "yolov5-n6"), "yolox": ("yolox-s",), "pp-yoloe": ("pp-yoloe-s",), "yolor-u5": ()}
ALIKE = {"yolov4-tiny-3l"}


def _is_small(name: str) -> bool:
    smallest = next((small for family, small in FAMILIES.items() if name.startswith(family)), (name,))
    return name in smallest and name not in ALIKE


SMALL = [name for name in catscale.names() if _is_small(name)]
MODELS = [pytest.param(name, marks=() if name in SMALL else pytest.mark.slow) for name in catscale.names()]
WITH_ANCHORS = [model for model in MODELS if catscale.load(str(model.values[0])).head.anchored]
