"""Rewritings of a deploy model's program that keep its function to the bit and read or write less memory."""

from operator import add, iadd
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

FRESH = {torch.cat, add, iadd, F.interpolate, F.max_pool2d}  # functions whose result is nobody else's memory


def cascade_pools(model: fx.GraphModule) -> None:
    """Make each of several max pools of one value, stride 1, from the next smaller one: its window covers the rest.

    A 13 x 13 pool of a 9 x 9 pool's result reads 5 x 5. Beyond the border nothing counts, so the edges agree too.
    """
    pools: dict[Any, list[Any]] = {}  # of source: its pools; fx leaves the types of arguments open
    for node in model.graph.nodes:
        if node.op == "call_function" and node.target is F.max_pool2d and node.args[2] == 1 and node.args[1] % 2:
            pools.setdefault(node.args[0], []).append(node)
    for source, group in pools.items():
        before, covered = source, 1
        for pool in sorted(group, key=lambda node: node.args[1]):
            kernel = pool.args[1]
            before.append(pool)
            pool.args = (before, kernel - covered + 1, 1, (kernel - covered) // 2)
            before, covered = pool, kernel
    model.recompile()


def add_in_place(model: fx.GraphModule) -> None:
    """Write a sum into the memory of one of its parts, where that is a layer's own and nothing else reads it."""
    for node in model.graph.nodes:
        if node.op != "call_function" or node.target is not add:
            continue
        first, second = node.args
        if first is second:
            continue
        for kept, other in ((first, second), (second, first)):
            if list(kept.users) == [node] and (kept.op == "call_module" or kept.target in FRESH):
                node.target, node.args = iadd, (kept, other)
                break
    model.recompile()
