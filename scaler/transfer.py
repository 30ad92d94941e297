"""Weights travel between scaled variants: by a layer's name, and where widths differ, as far as they overlap."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..blocks.modules import PredictLayer

BOX_FIELDS = 5  # x, y, w, h, objectness: what an anchor predicts whatever the classes are


@dataclass(frozen=True)
class Transfer:
    """What came over, of the model's parameters; the statistics of batch norms come over with them."""

    parameters: int  # of the model, all elements
    transferred: int  # of these, elements that came over
    whole: tuple[str, ...]  # names of parameters that came over whole
    partial: tuple[str, ...]  # of which a part did
    left: tuple[str, ...]  # of which nothing did: no layer of that name, or of another kind

    @property
    def share(self) -> float:
        return self.transferred / self.parameters

    def __str__(self) -> str:
        return (
            f"{self.share:.1%} of {self.parameters:,} parameters transferred: {len(self.whole)} tensors whole, "
            f"{len(self.partial)} in part, {len(self.left)} left"
        )


def transfer(model: nn.Module, from_model: nn.Module) -> Transfer:
    """Copy weights into `model` from the layers of the same names, in place.

    Where a layer is wider or narrower, its first channels come over, as many as both have; the rest stays as it is. A
    head's raw maps are copied anchor by anchor: boxes and objectness always, class scores where both have as many
    classes.
    """
    theirs = {**dict(from_model.named_parameters()), **dict(from_model.named_buffers())}
    their_modules = dict(from_model.named_modules())
    heads = {
        name: (module, other)
        for name, module in model.named_modules()
        if isinstance(module, PredictLayer) and isinstance(other := their_modules.get(name), PredictLayer)
    }
    parameters = dict(model.named_parameters())
    copied: dict[str, int] = {}
    with torch.no_grad():
        for name, value in {**parameters, **dict(model.named_buffers())}.items():
            pair = heads.get(name.rpartition(".")[0].removesuffix(".conv"))
            copied[name] = 0 if name not in theirs else _copy(value, theirs[name], pair)
    return Transfer(
        parameters=sum(value.numel() for value in parameters.values()),
        transferred=sum(copied[name] for name in parameters),
        whole=tuple(name for name, value in parameters.items() if copied[name] == value.numel()),
        partial=tuple(name for name, value in parameters.items() if 0 < copied[name] < value.numel()),
        left=tuple(name for name in parameters if not copied[name]),
    )


def _copy(value: Tensor, found: Tensor, heads: tuple[PredictLayer, PredictLayer] | None) -> int:
    """Copy what overlaps; how many elements that is."""
    if value.dim() != found.dim() or value.shape[2:] != found.shape[2:]:  # another kind of layer, or another kernel
        return 0
    if heads is not None:
        value, found = _boxes_alike(value, found, *heads)
    part = tuple(slice(0, min(sides)) for sides in zip(value.shape, found.shape, strict=True))
    value[part] = found[part].to(value)
    return found[part].numel()


def _boxes_alike(value: Tensor, found: Tensor, ours: PredictLayer, theirs: PredictLayer) -> tuple[Tensor, Tensor]:
    """Raw maps' channels as anchors x fields, without class scores where the two have other classes."""
    axis = 0 if value.shape[0] > 1 else 1  # implicit vectors are (1, channels, 1, 1)
    channels = (ours.anchors * ours.fields, theirs.anchors * theirs.fields)
    if (value.shape[axis], found.shape[axis]) != channels:
        return value, found
    value = value.unflatten(axis, (ours.anchors, ours.fields))
    found = found.unflatten(axis, (theirs.anchors, theirs.fields))
    if ours.fields != theirs.fields:
        value, found = value.narrow(axis + 1, 0, BOX_FIELDS), found.narrow(axis + 1, 0, BOX_FIELDS)
    return value, found
