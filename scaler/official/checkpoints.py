"""Weights between our models and official checkpoints, by the place that a layer has in their layout.

An official checkpoint is *unfused*, as trained, or *fused*, with batch norms folded into biases. Ours are the train
graph's and the deploy graph's. A fused file also fits the train graph: its batch norms then change nothing.

Source: facts of the released YOLOv7, YOLOR, YOLOv5 and YOLOX checkpoints.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx

from ...blocks.errors import InputError
from ...blocks.modules import BN_EPS
from ..architecture import Architecture
from . import exporting
from .importing import Slot
from .keys import fused_keys, is_fused, keys_of, mapped_keys, mismatches, own_shapes, surplus, unwrapped
from .layouts import Layout, layout_of
from .recognising import models_like


def from_official(
    tensors: Mapping[str, Tensor],
    architecture: Architecture,
    slots: Sequence[Slot] | None = None,
    where: str = "checkpoint",
) -> dict[str, Tensor]:
    """The state dict of `build(architecture)`, in float32, from official tensors.

    Args:
        tensors: by official key (`model.12.conv.weight`), unfused or fused, in one of the layouts of `layouts`.
        architecture: the detector whose weights they are.
        slots: the place of each layer, as import gave it; where None, that of the layout.
        where: what messages begin with.

    Raises:
        InputError: the tensors are another architecture's; the first that differs is named, how many agree, and whose
            they may be.
    """
    tensors = unwrapped(tensors)
    layout = layout_of(tensors, architecture, where) if slots is None else Layout(tuple(slots))
    own = own_shapes(architecture)
    mapped = mapped_keys(tensors, layout.slots, architecture, own)
    _compare(tensors, mapped, own, where)
    state: dict[str, Tensor] = {}
    for official, ours in mapped.items():
        value = tensors[official]
        state[ours] = value.clone() if value.dtype == torch.int64 else value.float().clone()
    if is_fused(tensors):
        neutral = {name: _neutral(name, shape) for name, shape in own.items() if name not in state}
        state |= neutral
    return layout.adapted({name: state[name] for name in own})


def _compare(
    tensors: Mapping[str, Tensor], mapped: Mapping[str, str], own: Mapping[str, torch.Size], where: str
) -> None:
    """Hold official tensors against those that an architecture needs."""
    wrong, more = list(mismatches(tensors, mapped, own)), surplus(tensors, mapped)
    if not wrong and not more:
        return
    key, what = wrong[0] if wrong else (more[0], "is not in it")
    alike = " or ".join(f"{each.name} for {each.classes} classes" for each in models_like(tensors))
    whose = f"they seem to be of {alike}" if alike else "name the architecture that they were trained with"
    raise InputError(
        f"{where}: weights of another architecture: {key} {what}; {len(mapped) - len(wrong)} of {len(mapped)} tensors "
        f"match; {whose}"
    )


def to_official(model: fx.GraphModule) -> dict[str, Tensor]:
    """The official state dict of a model: unfused of a train model, fused of a deploy model, for the same form's file.

    Raises:
        InputError: the architecture has no official form.
    """
    architecture: Architecture = model.meta["architecture"]
    own = model.state_dict()
    trained = any(name.endswith("norm.running_var") for name in own)
    form = "train" if trained else "deploy"
    ops = {layer.name: layer.op for layer in architecture.graph().layers}
    tensors: dict[str, Tensor] = {}
    found = exporting.written(architecture, form)
    for each in found:
        for slot in each.slots:
            if trained:
                keys = keys_of(slot, ops[slot.layer], own)
            elif each.row.module == "RepConv":
                keys = {f"{slot.prefix}.rbr_reparam.{part}": f"{slot.layer}.conv.{part}" for part in ("weight", "bias")}
            else:
                keys = fused_keys(slot, ops[slot.layer], rep=False)
            tensors |= {official: own[ours].detach().cpu().contiguous() for official, ours in keys.items()}
    head = f"model.{found[-1].row.index}"
    pixels = torch.tensor(architecture.anchors, dtype=torch.float32)
    strides = torch.tensor(architecture.strides, dtype=torch.float32)
    levels, anchors = pixels.shape[:2]
    tensors[f"{head}.anchors"] = pixels / strides.view(-1, 1, 1)
    tensors[f"{head}.anchor_grid"] = pixels.view(levels, 1, anchors, 1, 1, 2)
    return tensors


def _neutral(name: str, shape: torch.Size) -> Tensor:
    """What a fused checkpoint has no value for: norms and implicit vectors that change nothing, empty branches."""
    layer, _, part = name.rpartition(".")
    match part:
        case "running_var":
            return torch.full(shape, 1 - BN_EPS)
        case "num_batches_tracked":
            return torch.tensor(0)
        case "factor":
            return torch.ones(shape)
        case "weight" if layer.endswith(".norm") or layer.endswith((".dense_norm", ".point_norm")):
            return torch.ones(shape)
    return torch.zeros(shape)
