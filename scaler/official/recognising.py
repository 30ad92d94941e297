"""Whose weights a checkpoint seems to hold: the models of the zoo with the same tensors, for any number of classes."""

from collections.abc import Mapping

from torch import Tensor

from ...blocks.errors import InputError
from ...blocks.levels import Predict
from ...blocks.ops import Conv, RepConv
from ..architecture import Architecture
from ..zoo import load, names
from .keys import is_fused, mapped_keys, mismatches, own_shapes, surplus
from .layouts import classes_in, layout_of

SUMMED = 2  # convolutions of a RepConv that is not folded


def models_like(tensors: Mapping[str, Tensor]) -> tuple[Architecture, ...]:
    """The zoo's models that a checkpoint fits, each with the number of classes that its predictions are for."""
    convs = sum(key.endswith("weight") and value.ndim == 4 for key, value in tensors.items())
    alike = (each for each in map(load, names()) if _convs(each, is_fused(tensors)) == convs)
    return tuple(found for each in alike if (found := _fitting(tensors, each)))


def _convs(architecture: Architecture, fused: bool) -> int:
    ops = [layer.op for layer in architecture.graph().layers]
    single = sum(isinstance(op, Conv | Predict) for op in ops)
    return single + sum(isinstance(op, RepConv) for op in ops) * (1 if fused else SUMMED)


def _fitting(tensors: Mapping[str, Tensor], architecture: Architecture) -> Architecture | None:
    try:
        slots = layout_of(tensors, architecture).slots
    except InputError:
        return None
    classes = classes_in(tensors, slots, architecture)
    architecture = architecture.replace(classes=classes or architecture.classes)
    own = own_shapes(architecture)
    mapped = mapped_keys(tensors, slots, architecture, own)
    fits = not any(mismatches(tensors, mapped, own)) and not surplus(tensors, mapped)
    return architecture if fits else None
