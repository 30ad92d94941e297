"""Weights between our models and official checkpoints, by the place of each layer's row.

An official checkpoint is *unfused*, as trained, or *fused*, with batch norms folded into biases. Ours are the train
graph's and the deploy graph's. A fused file also fits the train graph: its batch norms then change nothing.

Source: facts of the released YOLOv7 and YOLOR checkpoints.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ...blocks.errors import InputError
from ...blocks.levels import Predict
from ...blocks.modules import BN_EPS
from ...blocks.ops import Op, RepConv
from ..architecture import Architecture
from ..build import build
from . import exporting
from .importing import Slot
from .unpickling import Checkpoint

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
REP = {"rbr_dense.0": "dense", "rbr_1x1.0": "point"}  # official convolutions of a RepConv, and ours
REP_NORMS = {"rbr_dense.1": "dense_norm", "rbr_1x1.1": "point_norm", "rbr_identity": "identity_norm"}
FUSED = (".conv.bias", ".rbr_reparam.bias")  # keys end so in fused checkpoints alone
TOLERANCE = 0.01  # of strides and anchors, which the released files hold in half precision


def from_official(
    tensors: Mapping[str, Tensor],
    architecture: Architecture,
    slots: Sequence[Slot] | None = None,
    where: str = "checkpoint",
) -> dict[str, Tensor]:
    """The state dict of `build(architecture)`, in float32, from official tensors.

    Args:
        tensors: by official key (`model.12.conv.weight`), unfused or fused.
        architecture: the detector whose weights they are.
        slots: the place of each layer, as import gave it; where None, that of the architecture's own export.
        where: what messages begin with.

    Raises:
        InputError: the tensors are another architecture's; the first that differs is named, and how many agree.
    """
    own = _shapes(architecture)
    tensors = {key.removeprefix("module."): value for key, value in tensors.items()}  # as from a distributed training
    fused = any(key.endswith(FUSED) for key in tensors)
    ops = {layer.name: layer.op for layer in architecture.graph().layers}
    state: dict[str, Tensor] = {}
    mapped: dict[str, str] = {}  # official key: ours
    for slot in exporting.slots(architecture) if slots is None else slots:
        op = ops[slot.layer]
        folded = fused and (isinstance(op, Predict) or any(f"{slot.prefix}{end}" in tensors for end in FUSED))
        mapped.update(_fused_keys(slot, op) if folded else _keys(slot, op, own))
    _compare(tensors, mapped, own, where)
    for official, ours in mapped.items():
        value = tensors[official]
        state[ours] = value.clone() if value.dtype == torch.int64 else value.float().clone()
    if fused:
        neutral = {name: _neutral(name, shape) for name, shape in own.items() if name not in state}
        state |= neutral
    return {name: state[name] for name in own}


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
                keys = _keys(slot, ops[slot.layer], own)
            elif each.row.module == "RepConv":
                keys = {f"{slot.prefix}.rbr_reparam.{part}": f"{slot.layer}.conv.{part}" for part in ("weight", "bias")}
            else:
                keys = _fused_keys(slot, ops[slot.layer], rep=False)
            tensors |= {official: own[ours].detach().cpu().contiguous() for official, ours in keys.items()}
    head = f"model.{found[-1].row.index}"
    pixels = torch.tensor(architecture.anchors, dtype=torch.float32)
    strides = torch.tensor(architecture.strides, dtype=torch.float32)
    levels, anchors = pixels.shape[:2]
    tensors[f"{head}.anchors"] = pixels / strides.view(-1, 1, 1)
    tensors[f"{head}.anchor_grid"] = pixels.view(levels, 1, anchors, 1, 1, 2)
    return tensors


def disagreements(checkpoint: Checkpoint, architecture: Architecture) -> tuple[str, ...]:
    """What a checkpoint says of activation, strides, anchors and classes against the architecture, a sentence each."""
    found: list[str] = []
    acts = {act for layer in architecture.graph().layers if (act := getattr(layer.op, "act", None))}
    if checkpoint.activations and set(checkpoint.activations) != acts:
        theirs, ours = (" and ".join(sorted(words)) for words in (checkpoint.activations, acts))
        found.append(f"its activation is {theirs}, that of {architecture.name} is {ours}")
    pixels = next((value.float() for key, value in checkpoint.tensors.items() if key.endswith(".anchor_grid")), None)
    cells = next((value.float() for key, value in checkpoint.tensors.items() if key.endswith(".anchors")), None)
    strides = checkpoint.strides
    if pixels is not None and cells is not None and pixels.numel() == cells.numel() > 0:
        strides = strides or tuple((pixels.view_as(cells) / cells).mean((1, 2)).tolist())
    if strides is not None and not _close(strides, architecture.strides):
        words = ", ".join(f"{stride:g}" for stride in strides)
        found.append(
            f"its strides are {words}, those of {architecture.name} {', '.join(map(str, architecture.strides))}"
        )
    ours = [side for level in architecture.anchors for anchor in level for side in anchor]
    if pixels is not None and not _close(pixels.flatten().tolist(), ours):
        found.append(f"its anchors are not those of {architecture.name}")
    if checkpoint.names is not None and len(checkpoint.names) != architecture.classes:
        found.append(f"it names {len(checkpoint.names)} classes, {architecture.name} has {architecture.classes}")
    return tuple(found)


def _close(theirs: Sequence[float], ours: Sequence[float]) -> bool:
    return len(theirs) == len(ours) and all(abs(a - b) <= TOLERANCE * abs(b) for a, b in zip(theirs, ours, strict=True))


def _keys(slot: Slot, op: Op, own: Mapping[str, object]) -> dict[str, str]:
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
        case _:
            norm = {f"{prefix}.bn.{part}": f"{layer}.norm.{part}" for part in NORM}
            return {f"{prefix}.conv.weight": f"{layer}.conv.weight", **norm}


def _fused_keys(slot: Slot, op: Op, rep: bool = True) -> dict[str, str]:
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


@dataclass(frozen=True, slots=True)
class _Mismatch:
    key: str
    what: str


def _mismatches(
    tensors: Mapping[str, Tensor], mapped: Mapping[str, str], own: Mapping[str, torch.Size]
) -> Iterator[_Mismatch]:
    for key, ours in mapped.items():
        if key not in tensors:
            yield _Mismatch(key, "is missing")
        elif tensors[key].shape != own[ours]:
            yield _Mismatch(key, f"has shape {tuple(tensors[key].shape)} instead of {tuple(own[ours])}")


def _compare(
    tensors: Mapping[str, Tensor], mapped: Mapping[str, str], own: Mapping[str, torch.Size], where: str
) -> None:
    """Hold official tensors against those that an architecture needs; anchors and dead implicit vectors may be more."""
    wrong = list(_mismatches(tensors, mapped, own))
    fused = any(key.endswith(FUSED) for key in tensors)
    ignored = (".anchors", ".anchor_grid", *((".implicit",) if fused else ()))
    more = [key for key in tensors if key not in mapped and not key.endswith(ignored)]
    matching = len(mapped) - len(wrong)
    if not wrong and more:
        wrong = [_Mismatch(more[0], "is not in it")]
    if wrong:
        first = wrong[0]
        raise InputError(
            f"{where}: weights of another architecture: {first.key} {first.what}; {matching} of {len(mapped)} tensors "
            "match; name the architecture that they were trained with"
        )


def _shapes(architecture: Architecture) -> dict[str, torch.Size]:
    """Names and shapes of the train graph's state dict; nothing is allocated."""
    with torch.device("meta"):
        return {name: value.shape for name, value in build(architecture).state_dict().items()}


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
