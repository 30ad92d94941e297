"""E-ELAN from one form to another with its weights: groups side by side, or group convolutions. The same function.

Source: YOLOv7, arXiv:2207.02696, section 3.1 and Fig. 2 (d); as released, the groups stand side by side.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, fx

from ..blocks.elan import Elan, Form
from ..blocks.errors import InputError, nearest
from .architecture import Architecture, Node
from .build import build


def regroup(model: fx.GraphModule, form: Form) -> fx.GraphModule:
    """A train model that computes the same with every E-ELAN `parallel` or `grouped`; `model` is left as it is.

    Convolutions and batch norms of the groups are joined, or parted, along their output channels. Images, outputs,
    partial auxiliary heads, parameters and MACs are those of `model`, to rounding of the sums.

    Raises:
        InputError: `model` is a deploy model or has no E-ELAN, one of the forms is `shuffled`, which is another
            function, or a plan of re-parameterisation treats the groups of an E-ELAN differently.
    """
    architecture: Architecture = model.meta["architecture"]
    where = architecture.name
    if form not in get_args(Form):
        raise InputError(f"{where}: form: none is called {form!r}; {nearest(str(form), get_args(Form))}")
    blocks = {
        node.name: node.block
        for node in architecture.nodes
        if isinstance(node.block, Elan) and node.block.groups > 1  # an ELAN has one form
    }
    if not blocks:
        raise InputError(f"{where}: it has no E-ELAN to regroup; make one with the scaling extend")
    for name, block in blocks.items():
        if "shuffled" in (form, block.form):
            raise InputError(
                f"{where}: {name}: a shuffled E-ELAN mixes channels between its groups, which is another function: its "
                "weights cannot be carried to or from the other forms; build it anew"
            )
    if any(name.startswith("detect.decode") for name, _ in model.named_modules()):
        raise InputError(f"{where}: a deploy model is not regrouped; regroup the train model, then deploy it")

    def reformed(node: Node) -> Node:
        return replace(node, block=replace(blocks[node.name], form=form)) if node.name in blocks else node

    made = build(architecture.replace(nodes=tuple(map(reformed, architecture.nodes))))
    weights: dict[str, Tensor] = model.state_dict()
    for name, block in blocks.items():
        if block.form != form:
            weights = _joined(weights, name) if form == "grouped" else _parted(weights, name, block.groups)
    shapes, needed = ({name: value.shape for name, value in of.items()} for of in (weights, made.state_dict()))
    if shapes != needed:
        unlike = min(name for name in {*shapes, *needed} if shapes.get(name) != needed.get(name))
        raise InputError(f"{where}: the groups are not alike at {unlike}; plan RepConvs for all groups or for none")
    some = next(model.parameters())
    made.to(some.device, some.dtype).load_state_dict(weights)
    return made.train(model.training)


def _joined(weights: Mapping[str, Tensor], node: str) -> dict[str, Tensor]:
    """Weights of a node with its groups side by side, to those of group convolutions."""
    inside = re.compile(rf"{re.escape(node)}\.(?:group(\d+)\.)?(.+)")
    joined: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}  # by name, then group
    for name, value in weights.items():
        if found := inside.fullmatch(name):
            parts.setdefault(f"{node}.{found[2]}", {})[int(found[1] or 1)] = value
        else:
            joined[name] = value
    for name, part in parts.items():
        values = [part[group] for group in sorted(part)]
        joined[name] = torch.cat(values) if values[0].dim() else values[0]  # a count of batches is that of each
    return joined


def _parted(weights: Mapping[str, Tensor], node: str, groups: int) -> dict[str, Tensor]:
    """Weights of a node of group convolutions, to those of its groups side by side."""
    parted: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not name.startswith(f"{node}."):
            parted[name] = value
            continue
        parts = value.chunk(groups) if value.dim() else [value] * groups  # a count of batches is that of each
        for group, part in enumerate(parts, 1):
            inside = name.removeprefix(node) if group == 1 else f".group{group}{name.removeprefix(node)}"
            parted[f"{node}{inside}"] = part
    return parted
