"""Checkpoints as the official code pickles them: whole modules, whose classes are stand-ins that must never be made."""

import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

TRAP = Path("sprung")  # what hostile files would make, in the working folder


def official_class(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> type[nn.Module]:
    """A stand-in for a class of the official code, under its name, which springs the trap when it is unpickled."""

    def spring(self: Any, state: Any) -> None:
        TRAP.touch()

    if name in vars(sys.modules.get(module, object)):
        return getattr(sys.modules[module], name)
    made = type(name, (nn.Module,), {"__module__": module, "__setstate__": spring})
    for place in ("models", module):
        if place not in sys.modules:
            monkeypatch.setitem(sys.modules, place, types.ModuleType(place))
    monkeypatch.setattr(sys.modules[module], name, made, raising=False)
    return made


def pickled_model(
    document: dict[str, Any],
    strides: Sequence[int],
    tensors: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    act: type[nn.Module],
) -> nn.Module:
    """The tensors of a model file in modules named as the official code's, laid out by their keys, in float16."""
    rows = document["backbone"] + document["head"]
    model = official_class("models.yolo", "Model", monkeypatch)()
    for key, value in tensors.items():
        *path, last = key.split(".")
        place = model
        for depth, part in enumerate(path):
            if part not in place._modules:
                kind = "Sequential"
                if depth == 1:
                    kind = rows[int(part)][2]
                elif depth > 1:
                    kind = {"conv": "Conv2d", "bn": "BatchNorm2d"}.get(part, "Conv")
                module = "models.yolo" if "Detect" in kind else "models.common"
                place.add_module(part, official_class(module, kind, monkeypatch)())
                if kind == "Conv":
                    place._modules[part].add_module("act", act())  # type: ignore[union-attr]
            place = place._modules[part]
            assert place is not None
        if last in ("weight", "bias", "implicit"):
            place.register_parameter(last, nn.Parameter(value))
        else:
            place.register_buffer(last, value)
    names = [f"thing {index}" for index in range(document["nc"])]
    vars(model).update(yaml=document, names=names, stride=torch.tensor(strides, dtype=torch.float32))
    return model.half()
