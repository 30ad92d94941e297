"""The keys of a layer's weights in official checkpoints, and in ours; and what a checkpoint has otherwise."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import torch
from torch import Tensor

from ...blocks.levels import Predict
from ...blocks.ops import Conv, Op, RepConv
from ..architecture import Architecture
from ..build import build
from .importing import Slot

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
REP = {"rbr_dense.0": "dense", "rbr_1x1.0": "point"}  # official convolutions of a RepConv, and ours
REP_NORMS = {"rbr_dense.1": "dense_norm", "rbr_1x1.1": "point_norm", "rbr_identity": "identity_norm"}
FUSED = (".conv.bias", ".rbr_reparam.bias")  # keys end so in fused checkpoints alone


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the keys that they have outside a distributed training, which puts `module.` before each."""
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def mapped_keys(
    keys: Collection[str], slots: Iterable[Slot], architecture: Architecture, own: Collection[str]
) -> dict[str, str]:
    """Every official key that an architecture needs, and ours, in the form that a checkpoint with these `keys` has.

    Args:
        own: names of the train graph's state dict.
    """
    fused = is_fused(keys)
    ops = {layer.name: layer.op for layer in architecture.graph().layers}
    mapped: dict[str, str] = {}
    for slot in slots:
        op = ops[slot.layer]
        folded = fused and (isinstance(op, Predict) or any(f"{slot.prefix}{end}" in keys for end in FUSED))
        mapped |= fused_keys(slot, op) if folded else keys_of(slot, op, own)
    return mapped


def is_fused(keys: Iterable[str]) -> bool:
    """Whether a checkpoint with these keys holds a folded model."""
    return any(key.endswith(FUSED) for key in keys)


def keys_of(slot: Slot, op: Op, own: Collection[str]) -> dict[str, str]:
    """Official keys of a layer as trained, and ours."""
    prefix, layer = slot.prefix, slot.layer
    match op:
        case Predict():
            return _head_keys(slot, op.implicit)
        case RepConv():
            convs = {f"{prefix}.{theirs}.weight": f"{layer}.{ours}.weight" for theirs, ours in REP.items()}
            norms = {
                f"{prefix}.{theirs}.{part}": f"{layer}.{ours}.{part}"
                for theirs, ours in REP_NORMS.items()
                for part in NORM
            }
            return convs | {official: ours for official, ours in norms.items() if ours in own}
        case Conv(norm=False):
            return {f"{prefix}.{part}": f"{layer}.conv.{part}" for part in ("weight", "bias")}
        case _:
            norm = {f"{prefix}.bn.{part}": f"{layer}.norm.{part}" for part in NORM}
            return {f"{prefix}.conv.weight": f"{layer}.conv.weight", **norm}


def fused_keys(slot: Slot, op: Op, rep: bool = True) -> dict[str, str]:
    """Official keys of a folded layer, and ours: in a train graph the biases are those of its batch norms."""
    prefix, layer = slot.prefix, slot.layer
    match op:
        case Predict():
            return _head_keys(slot, implicit=False)
        case RepConv() if rep:
            return {
                f"{prefix}.rbr_reparam.weight": f"{layer}.dense.weight",
                f"{prefix}.rbr_reparam.bias": f"{layer}.dense_norm.bias",
            }
        case _:
            bias = f"{layer}.norm.bias" if rep else f"{layer}.conv.bias"
            return {f"{prefix}.conv.weight": f"{layer}.conv.weight", f"{prefix}.conv.bias": bias}


def _head_keys(slot: Slot, implicit: bool) -> dict[str, str]:
    keys = {f"{slot.prefix}.{part}": f"{slot.layer}.conv.{part}" for part in ("weight", "bias")}
    if implicit:
        head, _, level = slot.prefix.rpartition(".m.")
        keys[f"{head}.ia.{level}.implicit"] = f"{slot.layer}.added"
        keys[f"{head}.im.{level}.implicit"] = f"{slot.layer}.factor"
    return keys


def mismatches(
    tensors: Mapping[str, Tensor], mapped: Mapping[str, str], own: Mapping[str, torch.Size]
) -> Iterator[tuple[str, str]]:
    """Each key that an architecture needs and that is missing or has another shape, and what is wrong with it."""
    for key, ours in mapped.items():
        if key not in tensors:
            yield key, "is missing"
        elif tensors[key].shape != own[ours]:
            yield key, f"has shape {tuple(tensors[key].shape)} instead of {tuple(own[ours])}"


def surplus(tensors: Mapping[str, Tensor], mapped: Mapping[str, str]) -> list[str]:
    """Keys that an architecture does not need; anchors and dead implicit vectors may be there."""
    ignored = (".anchors", ".anchor_grid", *((".implicit",) if is_fused(tensors) else ()))
    return [key for key in tensors if key not in mapped and not key.endswith(ignored)]


def own_shapes(architecture: Architecture) -> dict[str, torch.Size]:
    """Names and shapes of the train graph's state dict; nothing is allocated."""
    with torch.device("meta"):
        return {name: value.shape for name, value in build(architecture).state_dict().items()}
