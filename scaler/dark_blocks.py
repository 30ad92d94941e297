"""The order of the convs in dark blocks as a scaling: 1x1 first, or 3x3 first. No torch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeGuard

from ..blocks.csp import Dark
from ..blocks.errors import nearest
from ..blocks.roles import Block
from .architecture import Architecture
from .block_scaling import each
from .factors import ScaleError, parts_of_nodes
from .raising import raised

DARK_ORDERS = ("plain", "reversed")


def dark(architecture: Architecture, order: str | Mapping[str, str]) -> Architecture:
    """Dark blocks with their 1x1 conv first (`plain`) or their 3x3 conv (`reversed`): of all, or of parts by name.

    As many parameters and operations, where a block is as wide as what it reads.

    Raises:
        ScaleError: the order is unknown, names a part that is not there, or there is no dark block.

    Source: YOLOv7, arXiv:2207.02696, section 5.4.2, Fig. 7 and Table 5.
    """
    where = f"{architecture.name}: dark"
    for word in order.values() if isinstance(order, Mapping) else (order,):
        if word not in DARK_ORDERS:
            raise ScaleError(f"{where}: no order is called {word!r}; {nearest(str(word), DARK_ORDERS)}")
    architecture = raised(architecture)
    if isinstance(order, Mapping):
        part_of = parts_of_nodes("dark", architecture, order)
        wanted = {name: order[part] for name, part in part_of.items() if part is not None}
    else:
        wanted = dict.fromkeys((node.name for node in architecture.nodes), order)
    blocks = {node.name: node.block for node in architecture.nodes if _is_dark(node.block)}
    turned = {
        name: replace(block, reversed=wanted[name] == "reversed") for name, block in blocks.items() if name in wanted
    }
    if not turned:
        raise ScaleError(f"{where}: it has no dark block there to turn")
    return each(
        architecture, lambda node: turned.get(node.name, node.block), unchanged=turned.items() <= blocks.items()
    )


def _is_dark(block: Block) -> TypeGuard[Dark]:
    """Whether a block is, or holds, dark blocks; one that holds residual units of another kind is not."""
    return isinstance(block, Dark) and getattr(block, "unit", "dark") == "dark"
