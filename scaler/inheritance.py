"""The weights of single layers put into larger ones, at the rows and columns where they belong; in place."""

import torch
from torch import nn

from ..blocks.modules import ConvLayer, PredictLayer, RepConvLayer
from .growth_plan import Place


def copy_conv(ours: nn.Module, theirs: nn.Module, parts: list[Place]) -> int:
    """Copy weights and batch norms of convolutions and RepConvs; how many parameters that is."""
    assert isinstance(ours, ConvLayer | RepConvLayer)
    assert isinstance(theirs, ConvLayer | RepConvLayer)
    count = 0
    pairs: list[tuple[nn.Conv2d, nn.Conv2d]]
    if isinstance(theirs, ConvLayer):
        pairs = [(ours.conv if isinstance(ours, ConvLayer) else ours.dense, theirs.conv)]
    else:
        assert isinstance(ours, RepConvLayer)
        pairs = [(ours.dense, theirs.dense), (ours.point, theirs.point)]
    for conv, other in pairs:
        for rows, columns, own in parts:
            conv.weight[rows] = 0
            conv.weight[torch.tensor(rows)[:, None], torch.tensor(columns)] = other.weight[own].to(conv.weight)
            count += other.weight[own].numel()
        if conv.bias is not None and other.bias is not None:  # no batch norm behind it
            for rows, _, own in parts:
                conv.bias[rows] = other.bias[own].to(conv.bias)
                count += len(rows)
    rows = [row for part in parts for row in part[0]]
    own = [row for part in parts for row in part[2]]
    norms = _norms(theirs)
    for name, norm in _norms(ours).items():
        if (other := norms.get(name)) is None:  # a branch that the base's has not: silent
            _zero(norm, rows)
            continue
        for value, found in zip(
            (*norm.parameters(), *norm.buffers()), (*other.parameters(), *other.buffers()), strict=True
        ):
            if value.dim():
                value[rows] = found[own].to(value)
            else:
                value.copy_(found)
        count += 2 * len(rows)
    return count


def copy_prediction(ours: nn.Module, theirs: nn.Module, columns: list[int]) -> int:
    """Copy a head; of a new implicit vector, begin without effect."""
    assert isinstance(ours, PredictLayer)
    assert isinstance(theirs, PredictLayer)
    assert ours.conv.bias is not None
    assert theirs.conv.bias is not None
    ours.conv.weight.zero_()
    ours.conv.weight[:, columns] = theirs.conv.weight.to(ours.conv.weight)
    ours.conv.bias.copy_(theirs.conv.bias)
    count = theirs.conv.weight.numel() + theirs.conv.bias.numel()
    if ours.added is not None:
        ours.added.zero_()
    if ours.factor is not None:
        ours.factor.fill_(1)
    if theirs.added is not None and ours.added is not None:
        ours.added[:, columns] = theirs.added.to(ours.added)
        count += theirs.added.numel()
    if theirs.factor is not None and ours.factor is not None:
        ours.factor.copy_(theirs.factor)
        count += theirs.factor.numel()
    return count


def _norms(layer: ConvLayer | RepConvLayer) -> dict[str, nn.BatchNorm2d]:
    """Batch norms by their branch; a plain conv's is that of the dense branch."""
    if isinstance(layer, ConvLayer):
        return {"dense": layer.norm} if isinstance(layer.norm, nn.BatchNorm2d) else {}
    found = {"dense": layer.dense_norm, "point": layer.point_norm}
    return found | ({"identity": layer.identity_norm} if layer.identity_norm is not None else {})


def silence(layer: nn.Module, channels: list[int]) -> None:
    """Let channels begin as zero: gain and bias of their batch norms."""
    assert isinstance(layer, ConvLayer | RepConvLayer)
    for norm in _norms(layer).values():
        _zero(norm, channels)


def _zero(norm: nn.BatchNorm2d, channels: list[int]) -> None:
    norm.weight[channels] = 0
    norm.bias[channels] = 0
