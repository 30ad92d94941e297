"""What a checkpoint says beside its weights, held against an architecture: anchors, strides, activation, classes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...blocks.errors import InputError
from ...blocks.levels import Anchors
from ..architecture import Architecture
from .unpickling import Checkpoint

TOLERANCE = 0.01  # of strides and anchors, which the released files hold in half precision


def disagreements(checkpoint: Checkpoint, architecture: Architecture) -> tuple[str, ...]:
    """What a checkpoint says of activation, strides and classes against the architecture, a sentence each."""
    found: list[str] = []
    acts = {act for layer in architecture.graph().layers if (act := getattr(layer.op, "act", None))}
    if checkpoint.activations and set(checkpoint.activations) != acts:
        theirs, ours = (" and ".join(sorted(words)) for words in (checkpoint.activations, acts))
        found.append(f"its activation is {theirs}, that of {architecture.name} is {ours}")
    pixels, cells = _buffer(checkpoint, ".anchor_grid"), _buffer(checkpoint, ".anchors")
    strides = checkpoint.strides
    if pixels is not None and cells is not None and cells.ndim == 3 and pixels.numel() == cells.numel() > 0:
        strides = strides or tuple((pixels.view_as(cells) / cells).mean((1, 2)).tolist())
    if strides is not None and not _close(strides, architecture.strides):
        words = ", ".join(f"{stride:g}" for stride in strides)
        found.append(
            f"its strides are {words}, those of {architecture.name} {', '.join(map(str, architecture.strides))}"
        )
    if checkpoint.names is not None and len(checkpoint.names) != architecture.classes:
        found.append(f"it names {len(checkpoint.names)} classes, {architecture.name} has {architecture.classes}")
    return tuple(found)


def own_anchors(
    checkpoint: Checkpoint, architecture: Architecture, where: str = "checkpoint"
) -> tuple[Anchors, ...] | None:
    """The anchors in pixels of a checkpoint that was trained with others than the architecture's; None: with the same.

    YOLOv5's files have them in cells alone.

    Raises:
        InputError: they are no widths and heights.
    """
    if len({len(level) for level in architecture.anchors}) != 1:  # none, or levels of several numbers: no file has such
        return None
    wanted = torch.tensor(architecture.anchors)  # (levels, anchors, 2)
    pixels, cells = _buffer(checkpoint, ".anchor_grid"), _buffer(checkpoint, ".anchors")
    if pixels is None and cells is not None and cells.shape == wanted.shape:
        pixels = cells * torch.tensor(architecture.strides).view(-1, 1, 1)
    if pixels is None or pixels.numel() != wanted.numel():
        return None
    if not (pixels.isfinite() & (pixels > 0)).all():
        raise InputError(f"{where}: its anchors are no widths and heights above zero; the file is damaged")
    if _close(pixels.flatten().tolist(), wanted.flatten().tolist()):
        return None
    return tuple(tuple((width, height) for width, height in level) for level in pixels.view_as(wanted).tolist())


def _buffer(checkpoint: Checkpoint, end: str) -> Tensor | None:
    return next((value.float() for key, value in checkpoint.tensors.items() if key.endswith(end)), None)


def _close(theirs: Sequence[float], ours: Sequence[float]) -> bool:
    return len(theirs) == len(ours) and all(abs(a - b) <= TOLERANCE * abs(b) for a, b in zip(theirs, ours, strict=True))
